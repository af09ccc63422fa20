import CsnapCore

/// What client and server compare of the origin while all writers stand still, to notice that one of them has another
/// disk (docs/decisions/0096-one-disk-is-compared.md).
package enum OriginSample {
    /// Bytes from the beginning: partition tables, and what file systems and volume managers write about themselves,
    /// lie there.
    package static let length = 128 << 10
    /// Bytes. Of a shorter origin, whole blocks of this size.
    private static let block = 4096

    /// CRC-32C of what was read from the beginning, at most `length` bytes.
    package static func sum(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt32 {
        Castagnoli.checksum(UnsafeBufferPointer(rebasing: bytes[..<(bytes.count / block * block)]))
    }
}
