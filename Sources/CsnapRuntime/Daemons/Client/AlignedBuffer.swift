import Glibc

/// Memory from mmap: aligned to a page, zeroed, and resident only where it was used.
///
/// `@unchecked Sendable` is safe: the address never changes, and each buffer is written by the one thread that
/// owns it (the buffer of zeroes by its maker alone).
package final class AlignedBuffer: @unchecked Sendable {
    package let bytes: UnsafeMutableRawBufferPointer

    package init(size: Int) throws(SystemError) {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let address = mmap(nil, size, PROT_READ | PROT_WRITE, flags, -1, 0), address != MAP_FAILED else {
            throw SystemError("cannot get memory for", "a buffer of \(size) bytes")
        }
        bytes = UnsafeMutableRawBufferPointer(start: address, count: size)
    }

    deinit { munmap(bytes.baseAddress, bytes.count) }

    /// Gives the pages from `offset` on back to the system; they read as zeroes afterwards.
    package func release(from offset: Int) {
        guard offset < bytes.count, let start = bytes.baseAddress?.advanced(by: offset) else { return }
        if madvise(start, bytes.count - offset, MADV_DONTNEED) == 0 { return }
        // Locked memory is not given back in that way.
        if madvise(start, bytes.count - offset, Self.dontNeedLocked) == 0 { return }
        memset(start, 0, bytes.count - offset)
    }

    /// MADV_DONTNEED_LOCKED, of Linux 5.18.
    private static let dontNeedLocked: Int32 = 24
}
