import CsnapCore
import Testing

@Suite struct MessageCodecTests {
    @Test func samplesCoverEveryKind() {
        var samples = Samples(seed: 1)
        #expect(samples.messages().map(\.kind.rawValue) == MessageKind.allCases.map(\.rawValue))
    }

    @Test(arguments: UInt64(1)...40) func everyMessageComesBack(seed: UInt64) throws {
        var samples = Samples(seed: seed)
        for message in samples.messages() {
            let bytes = MessageCodec.encode([message])
            #expect(bytes.count == MessageCodec.encodedSize(message))
            #expect(bytes.count <= Limits.payload)
            #expect(try MessageCodec.decode(bytes) == [message])
        }
        let several = samples.messages().filter { $0.kind != .join }.suffix(6)
        #expect(try MessageCodec.decode(MessageCodec.encode(Array(several))) == Array(several))
        #expect(try MessageCodec.decode([]).isEmpty)
    }

    /// A cut packet throws, and so does a cut message whose item says the cut length (padding of a Join apart).
    @Test(arguments: UInt64(1)...5) func everyTruncationIsRefused(seed: UInt64) throws {
        var samples = Samples(seed: seed)
        for message in samples.messages() {
            let bytes = MessageCodec.encode([message])
            for length in 1..<bytes.count {
                #expect(throws: WireError.self) { _ = try MessageCodec.decode(Array(bytes.prefix(length))) }
            }
            guard message.kind != .join else { continue }
            let lengthSize = bytes.count - 1 >= 130 ? 2 : 1
            let body = Array(bytes.dropFirst(1 + lengthSize))
            for length in 0..<body.count {
                var writer = ByteWriter()
                writer.byte(message.kind.rawValue)
                writer.counted(Array(body.prefix(length)))
                #expect(throws: WireError.self) { _ = try MessageCodec.decode(writer.bytes) }
            }
        }
    }

    @Test func unknownKindsAndLaterFieldsAreSkipped() throws {
        let known = Message.renewAck(RenewAck(epoch: Epoch(3), nonce: 4))
        var writer = ByteWriter()
        writer.byte(0xf0)
        writer.counted([1, 2, 3])
        writer.raw(MessageCodec.encode([known]))
        let item = MessageCodec.encode([known])
        writer.byte(item[0])
        writer.counted(Array(item.dropFirst(2)) + [9, 9])
        #expect(try MessageCodec.decode(writer.bytes) == [known, known])
    }

    @Test func unknownGossipIsSkippedAlone() throws {
        let known = GossipItem.configuration(VoterSet(version: 2, voters: [NodeID(1)]))
        let item = MessageCodec.encode([.news([known])]).dropFirst(3)
        var body = ByteWriter()
        body.varint(3)
        body.raw(item)
        body.byte(77)
        body.counted([1, 2, 3])
        body.raw(item)
        var writer = ByteWriter()
        writer.byte(MessageKind.news.rawValue)
        writer.counted(body.bytes)
        #expect(try MessageCodec.decode(writer.bytes) == [.news([known, known])])
    }

    @Test func randomBytesNeverTrap() {
        var samples = Samples(seed: 11)
        var accepted = 0
        for _ in 0..<60_000 {
            if (try? MessageCodec.decode(samples.bytes(samples.below(80)))) != nil { accepted += 1 }
        }
        // Right kind and length, random fields: reaches the decoders of each message.
        for _ in 0..<40_000 {
            var writer = ByteWriter()
            writer.choice(samples.pick(MessageKind.allCases))
            writer.counted(samples.bytes(samples.below(60)))
            if (try? MessageCodec.decode(writer.bytes)) != nil { accepted += 1 }
        }
        #expect(accepted > 0 && accepted < 50_000)
    }

    @Test func changedBytesNeverTrap() {
        var samples = Samples(seed: 12)
        for _ in 0..<500 {
            for message in samples.messages() where message.kind != .join {
                var bytes = MessageCodec.encode([message])
                bytes[samples.below(bytes.count)] ^= UInt8(1 << samples.below(8))
                guard let decoded = try? MessageCodec.decode(bytes) else { continue }
                #expect(MessageCodec.encode(decoded).count <= Limits.datagram)
            }
        }
    }

    @Test func valuesThatWouldOverflowAreRefused() {
        func refused(_ kind: MessageKind, _ fill: (inout ByteWriter) -> Void) -> Bool {
            var body = ByteWriter()
            fill(&body)
            var writer = ByteWriter()
            writer.choice(kind)
            writer.counted(body.bytes)
            return (try? MessageCodec.decode(writer.bytes)) == nil
        }
        #expect(
            refused(.renewAck) {
                $0.varint(.max)
                $0.fixed(UInt64(1))
            })
        #expect(
            refused(.bootTooOld) {
                $0.fixed(UInt64(1))
                $0.varint(1 << 32)
            })
        #expect(
            refused(.configCommit) {
                $0.varint(1)
                $0.varint(1)
                $0.varint(9)
                for node in UInt64(1)...9 { $0.varint(node) }
            })
    }

    @Test func intervalsSaturate() throws {
        let sent = ClientLeaseAck(nonce: 1, tenure: .none, remaining: Interval(nanoseconds: .max))
        let decoded = try MessageCodec.decode(MessageCodec.encode([.clientLeaseAck(sent)]))
        guard case .clientLeaseAck(let seen)? = decoded.first else {
            Issue.record("no ClientLeaseAck")
            return
        }
        #expect(seen.remaining.nanoseconds == Limits.interval)
    }
}
