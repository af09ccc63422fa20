/// CRC32C (Castagnoli, RFC 3720 appendix B.4), the checksum of what is on disk.
package enum Checksum {
    package static func crc32c(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var remainder: UInt32 = 0xffff_ffff
        for byte in bytes {
            remainder = table[Int((remainder ^ UInt32(byte)) & 0xff)] ^ (remainder >> 8)
        }
        return ~remainder
    }

    private static let table: [UInt32] = (0..<256).map { (index: UInt32) in
        var word = index
        for _ in 0..<8 { word = word & 1 == 1 ? (word >> 1) ^ 0x82f6_3b78 : word >> 1 }
        return word
    }
}
