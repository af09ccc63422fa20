import CsnapCore
import Testing

@Suite struct StoredStateTests {
    @Test func checksumIsCastagnoli() {
        #expect(Castagnoli.checksum(Array("123456789".utf8)) == 0xe306_9283)
        #expect(Castagnoli.checksum([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
    }

    /// Long input is taken in lanes.
    @Test func checksumOfAnyLengthIsThatOfItsBits() {
        let bytes = (0..<66_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 9) }
        for count in [1, 7, 8, 33, 2047, 2048, 2049, 2079, 4095, 4096, 16_383, 65_536, 65_573] {
            for start in [0, 3] {
                var crc: UInt32 = ~0
                for byte in bytes[start..<start + count] {
                    crc ^= UInt32(byte)
                    for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
                }
                #expect(Castagnoli.checksum(bytes, start..<start + count) == ~crc, "\(count) bytes from \(start)")
            }
        }
    }

    @Test(arguments: UInt64(1)...50) func comesBack(seed: UInt64) throws {
        var samples = Samples(seed: seed)
        let state = samples.storedState()
        #expect(try StoredStateCodec.decode(StoredStateCodec.encode(state)) == state)
    }

    @Test(arguments: UInt64(1)...5) func everyFlippedBitIsSeen(seed: UInt64) throws {
        var samples = Samples(seed: seed)
        let bytes = StoredStateCodec.encode(samples.storedState())
        for index in bytes.indices {
            for bit in 0..<8 {
                var flipped = bytes
                flipped[index] ^= UInt8(1 << bit)
                #expect(throws: StoredStateError.self) { _ = try StoredStateCodec.decode(flipped) }
            }
        }
    }

    @Test func truncatedDamagedNewer() {
        var samples = Samples(seed: 9)
        let bytes = StoredStateCodec.encode(samples.storedState())
        for length in 0..<bytes.count {
            #expect(throws: StoredStateError.truncated) {
                _ = try StoredStateCodec.decode(Array(bytes.prefix(length)))
            }
        }
        #expect(throws: StoredStateError.damaged) { _ = try StoredStateCodec.decode(bytes + [0]) }
        #expect(throws: StoredStateError.damaged) { _ = try StoredStateCodec.decode(Array("hello, world".utf8)) }
        var newer = Array(bytes.dropLast(4))
        newer[4] = 7
        var writer = ByteWriter()
        writer.raw(newer)
        writer.fixed(Castagnoli.checksum(newer))
        #expect(throws: StoredStateError.newerVersion(7)) { _ = try StoredStateCodec.decode(writer.bytes) }
    }

    @Test func randomBytesNeverTrap() {
        var samples = Samples(seed: 10)
        for _ in 0..<20_000 {
            #expect(throws: StoredStateError.self) {
                _ = try StoredStateCodec.decode(samples.bytes(samples.below(64)))
            }
            // A right checksum over a random body.
            let body = samples.bytes(samples.below(120))
            var writer = ByteWriter()
            writer.raw("CSNS".utf8)
            writer.fixed(StoredStateCodec.version)
            writer.fixed(UInt32(body.count))
            writer.raw(body)
            writer.fixed(Castagnoli.checksum(writer.bytes))
            _ = try? StoredStateCodec.decode(writer.bytes)
        }
    }
}
