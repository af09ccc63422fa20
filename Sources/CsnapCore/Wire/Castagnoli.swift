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

    /// Eight bytes a step (Kounavis and Berry 2005, "slicing-by-8"); of long input four lanes at once, since a step
    /// waits for the one before it and the processor would idle meanwhile.
    package static func checksum(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt32 {
        guard let base = bytes.baseAddress else { return 0 }
        let start = UnsafeRawPointer(base)
        return tables.withUnsafeBufferPointer { table in
            var crc: UInt32 = ~0
            var done = 0
            if bytes.count >= longInput {
                done = bytes.count / 32 * 32
                crc = lanes(crc, start, done / 4, table)
            }
            while done + 8 <= bytes.count {
                crc = step(crc, start, done, table)
                done += 8
            }
            for byte in bytes[done...] { crc = crc >> 8 ^ table[Int((crc ^ UInt32(byte)) & 0xff)] }
            return ~crc
        }
    }

    /// Bytes from which on lanes are worth their joining.
    private static let longInput = 2048

    /// Four neighbouring lanes of so many bytes, a multiple of 8. Joined by linearity: what lies before a lane counts
    /// as if it were followed by as many zeros.
    private static func lanes(
        _ crc: UInt32, _ start: UnsafeRawPointer, _ length: Int, _ table: UnsafeBufferPointer<UInt32>
    ) -> UInt32 {
        var (first, second, third, fourth) = (crc, UInt32(0), UInt32(0), UInt32(0))
        for offset in stride(from: 0, to: length, by: 8) {
            first = step(first, start, offset, table)
            second = step(second, start, offset + length, table)
            third = step(third, start, offset + 2 * length, table)
            fourth = step(fourth, start, offset + 3 * length, table)
        }
        let zeros = zeros(length)
        second ^= product(first, zeros)
        third ^= product(second, zeros)
        return fourth ^ product(third, zeros)
    }

    @inline(__always)
    private static func step(
        _ crc: UInt32, _ start: UnsafeRawPointer, _ offset: Int, _ table: UnsafeBufferPointer<UInt32>
    ) -> UInt32 {
        let word = UInt64(littleEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        let low = crc ^ UInt32(truncatingIfNeeded: word)
        let high = UInt32(truncatingIfNeeded: word >> 32)
        let near =
            table[1792 + Int(low & 0xff)] ^ table[1536 + Int(low >> 8 & 0xff)]
            ^ table[1280 + Int(low >> 16 & 0xff)] ^ table[1024 + Int(low >> 24)]
        let far =
            table[768 + Int(high & 0xff)] ^ table[512 + Int(high >> 8 & 0xff)]
            ^ table[256 + Int(high >> 16 & 0xff)] ^ table[Int(high >> 24)]
        return near ^ far
    }

    /// By this polynomial `count` zero bytes multiply a checksum: x to the power of 8 · count.
    private static func zeros(_ count: Int) -> UInt32 {
        var power: UInt32 = 1 << 23
        var result: UInt32 = 1 << 31
        var rest = count
        while rest > 0 {
            if rest & 1 == 1 { result = product(result, power) }
            power = product(power, power)
            rest >>= 1
        }
        return result
    }

    /// Of two polynomials, modulo ours; bit 31 is the coefficient of 1.
    private static func product(_ first: UInt32, _ second: UInt32) -> UInt32 {
        var result: UInt32 = 0
        var term = second
        for bit in stride(from: UInt32(31), through: 0, by: -1) {
            if first >> bit & 1 == 1 { result ^= term }
            term = term & 1 == 1 ? term >> 1 ^ polynomial : term >> 1
        }
        return result
    }
}
