import CsnapCore
import Testing

@Suite struct LocalCodecTests {
    /// Every case, many values: equal after the way there and back; every truncation and any appended byte refused.
    private func check<Value: WireValue & Equatable>(
        _ values: [Value], encode: (Value) -> [UInt8], decode: ([UInt8]) throws(WireError) -> Value
    ) throws {
        for value in values {
            let bytes = encode(value)
            #expect(bytes.count <= Limits.localFrame)
            #expect(try decode(bytes) == value)
            for length in 0..<bytes.count {
                #expect(throws: WireError.self) { _ = try decode(Array(bytes.prefix(length))) }
            }
            #expect(throws: WireError.trailingBytes) { _ = try decode(bytes + [0]) }
        }
    }

    @Test(arguments: UInt64(1)...20) func everyCaseComesBack(seed: UInt64) throws {
        var samples = Samples(seed: seed)
        try check(samples.agentToServer(), encode: LocalCodec.encode, decode: LocalCodec.agentToServer)
        try check(samples.serverToAgent(), encode: LocalCodec.encode, decode: LocalCodec.serverToAgent)
        try check(samples.agentToClient(), encode: LocalCodec.encode, decode: LocalCodec.agentToClient)
        try check(samples.clientToAgent(), encode: LocalCodec.encode, decode: LocalCodec.clientToAgent)
    }

    @Test func unknownKindIsNamed() {
        #expect(throws: WireError.unknownKind(200)) { _ = try LocalCodec.agentToServer(from: [200]) }
        #expect(throws: WireError.unknownKind(99)) { _ = try LocalCodec.clientToAgent(from: [99, 1, 2]) }
    }

    @Test func randomBytesNeverTrap() {
        var samples = Samples(seed: 7)
        var accepted = 0
        for _ in 0..<100_000 {
            let bytes = samples.bytes(samples.below(40))
            if (try? LocalCodec.agentToServer(from: bytes)) != nil { accepted += 1 }
            if (try? LocalCodec.serverToAgent(from: bytes)) != nil { accepted += 1 }
            if (try? LocalCodec.agentToClient(from: bytes)) != nil { accepted += 1 }
            if (try? LocalCodec.clientToAgent(from: bytes)) != nil { accepted += 1 }
        }
        #expect(accepted < 100_000)
    }

    @Test func epochsThatWouldOverflowAreRefused() {
        var writer = ByteWriter()
        writer.byte(4)
        writer.varint(.max)
        writer.varint(0)
        #expect(throws: WireError.malformed) { _ = try LocalCodec.agentToServer(from: writer.bytes) }
    }
}
