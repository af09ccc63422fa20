import Glibc

/// Memory from mmap: aligned to a page, zeroed, and resident only where it was used.
///
/// `@unchecked Sendable` is safe: the address never changes, and each buffer is written by the one thread that
/// owns it (the buffer of zeroes by its maker alone).
final class AlignedBuffer: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer

    init(size: Int) throws(SystemError) {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let address = mmap(nil, size, PROT_READ | PROT_WRITE, flags, -1, 0), address != MAP_FAILED else {
            throw SystemError("cannot get memory for", "a buffer of \(size) bytes")
        }
        bytes = UnsafeMutableRawBufferPointer(start: address, count: size)
    }

    deinit { munmap(bytes.baseAddress, bytes.count) }

    /// Gives the pages from `offset` on back to the system; they read as zeroes afterwards.
    func release(from offset: Int) {
        guard offset < bytes.count else { return }
        madvise(bytes.baseAddress?.advanced(by: offset), bytes.count - offset, MADV_DONTNEED)
    }
}
