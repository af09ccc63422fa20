import CsnapCore

/// Why a device did not do what it was asked to.
package enum BlockDeviceError: Error, Equatable, Sendable {
    /// The system's error number.
    case system(Int32)
    /// The shell does not let this request pass any more: the tenure is over, or the simulated power is off.
    case stopped
}

/// A block device or a file that looks like one; one request at a time, synchronously, past the page cache where
/// that is possible.
///
/// Offsets and sizes are bytes and multiples of `StoreLayout.blockSize`, except at the end of an origin. The store
/// passes memory that is aligned to a block wherever much of it is moved (`AlignedBuffer`); a shell copies only
/// what is not. A write that failed may or may not have happened, and may still happen later.
package protocol BlockDevice {
    /// Bytes.
    var size: UInt64 { get }
    /// Fills the whole buffer, or throws.
    mutating func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(BlockDeviceError)
    /// Writes the whole buffer, or throws. Before a server's write begins its gate must be open.
    mutating func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(BlockDeviceError)
    /// All writes that have returned are durable when this returns.
    mutating func flush() throws(BlockDeviceError)
}

extension BlockDevice {
    mutating func read(_ count: Int, at offset: UInt64) throws(BlockDeviceError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBufferPointer { buffer throws(BlockDeviceError) in
            try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
        }
        return bytes
    }

    mutating func write(_ bytes: [UInt8], at offset: UInt64) throws(BlockDeviceError) {
        try bytes.withUnsafeBufferPointer { buffer throws(BlockDeviceError) in
            try write(UnsafeRawBufferPointer(buffer), at: offset)
        }
    }
}

/// Memory for direct I/O, allocated once.
final class AlignedBuffer {
    let bytes: UnsafeMutableRawBufferPointer

    init(byteCount: Int) { bytes = .allocate(byteCount: byteCount, alignment: StoreLayout.blockSize) }

    deinit { bytes.deallocate() }

    /// The range must lie in the buffer.
    func part(_ range: Range<Int>) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: bytes[range])
    }

    /// The checksum of a part; the range must lie in the buffer.
    func checksum(_ range: Range<Int>) -> UInt32 {
        part(range).withMemoryRebound(to: UInt8.self) { Castagnoli.checksum(UnsafeBufferPointer($0)) }
    }
}
