/// CRC-32C (Castagnoli, RFC 3720 §12.1): the checksum of session frames, of the state file and of
/// all that lies in a snapshot store.
package enum Castagnoli {
    /// The reflected polynomial.
    private static let polynomial: UInt32 = 0x82F6_3B78

    /// `tables[k][b]`: the checksum's change by byte `b` followed by `k` zero bytes.
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var word = UInt32(byte)
            for _ in 0..<8 { word = word & 1 == 1 ? word >> 1 ^ polynomial : word >> 1 }
            tables[byte] = word
        }
        for index in 256..<2048 {
            let before = tables[index - 256]
            tables[index] = before >> 8 ^ tables[Int(before & 0xff)]
        }
        return tables
    }()

    /// The checksum of all bytes; 0 for none.
    package static func checksum(_ bytes: [UInt8]) -> UInt32 {
        bytes.withUnsafeBufferPointer { checksum($0) }
    }

    /// The checksum of a part of an array; the range must lie in it.
    package static func checksum(_ bytes: [UInt8], _ range: Range<Int>) -> UInt32 {
        bytes.withUnsafeBufferPointer { checksum(UnsafeBufferPointer(rebasing: $0[range])) }
    }

    /// Eight bytes a step (Kounavis and Berry 2005, "slicing-by-8").
    package static func checksum(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt32 {
        tables.withUnsafeBufferPointer { table in
            var crc: UInt32 = ~0
            var index = 0
            while index + 8 <= bytes.count {
                let low = crc ^ word(bytes, at: index)
                let high = word(bytes, at: index + 4)
                crc = table[1792 + Int(low & 0xff)] ^ table[1536 + Int(low >> 8 & 0xff)]
                crc ^= table[1280 + Int(low >> 16 & 0xff)] ^ table[1024 + Int(low >> 24)]
                crc ^= table[768 + Int(high & 0xff)] ^ table[512 + Int(high >> 8 & 0xff)]
                crc ^= table[256 + Int(high >> 16 & 0xff)] ^ table[Int(high >> 24)]
                index += 8
            }
            while index < bytes.count {
                crc = crc >> 8 ^ table[Int((crc ^ UInt32(bytes[index])) & 0xff)]
                index += 1
            }
            return ~crc
        }
    }

    @inline(__always)
    private static func word(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> UInt32 {
        UInt32(bytes[index]) | UInt32(bytes[index + 1]) << 8
            | UInt32(bytes[index + 2]) << 16 | UInt32(bytes[index + 3]) << 24
    }
}
