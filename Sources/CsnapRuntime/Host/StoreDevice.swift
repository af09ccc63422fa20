import CShims
package import CsnapStore
import Glibc

/// An opened snapshot store: carries out the requests of CsnapStore, synchronously, past the page cache where the
/// device allows that.
///
/// Never a ring and never another thread: when the process is reaped, no request of it is left (docs/data-plane.md,
/// "Fail-over rules" 7). One thread at a time uses it.
package final class StoreDevice {
    package let path: String
    /// Bytes.
    package let size: UInt64
    /// Whether the page cache is passed by.
    package let isDirect: Bool
    private let descriptor: Int32
    private let buffer: UnsafeMutableRawBuffer

    /// Larger requests are cut into parts of this size; all slots fit it.
    private static let bufferSize = 2 << 20

    private typealias UnsafeMutableRawBuffer = UnsafeMutableRawBufferPointer

    /// Opens it and allocates its buffer; nothing more is opened or allocated later.
    package init(path: String, writable: Bool = true) throws(SystemError) {
        var direct: Int32 = 0
        var size: UInt64 = 0
        let descriptor = csnap_open_device(path, writable ? 1 : 0, &direct, &size)
        guard descriptor >= 0 else { throw SystemError("cannot open the store", path, code: -descriptor) }
        self.path = path
        self.size = size
        self.descriptor = descriptor
        isDirect = direct == 1
        buffer = .allocate(byteCount: Self.bufferSize, alignment: StoreLayout.blockSize)
    }

    deinit {
        buffer.deallocate()
        close(descriptor)
    }

    /// Servers hold it shared, who makes a store holds it alone; a local matter of this machine.
    package func lock(exclusively: Bool) throws(SystemError) {
        let result = csnap_lock_device(descriptor, exclusively ? 1 : 0)
        guard result == 0 else { throw SystemError("cannot lock the store", path, code: -result) }
    }

    package func perform(_ request: StoreRequest) -> StoreAnswer {
        switch request {
        case .read(let offset, let count): read(offset, count)
        case .write(let offset, let bytes): write(offset, bytes)
        case .flush: fdatasync(descriptor) == 0 ? .done : .failed(errno)
        }
    }

    private func read(_ offset: UInt64, _ count: Int) -> StoreAnswer {
        // What lies behind the end of a device reads as nothing; the store is then refused as truncated or blank.
        guard offset < size, count >= 0 else { return .bytes([]) }
        let count = Int(min(UInt64(count), size - offset)) / StoreLayout.blockSize * StoreLayout.blockSize
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            let part = min(count - bytes.count, Self.bufferSize)
            let result = pread(descriptor, buffer.baseAddress, part, off_t(offset) + off_t(bytes.count))
            if result < 0, errno == EINTR { continue }
            guard result > 0 else { return .failed(result == 0 ? EIO : errno) }
            bytes.append(contentsOf: buffer[..<result])
        }
        return .bytes(bytes)
    }

    private func write(_ offset: UInt64, _ bytes: [UInt8]) -> StoreAnswer {
        guard offset + UInt64(bytes.count) <= size else { return .failed(ENOSPC) }
        var written = 0
        while written < bytes.count {
            let part = min(bytes.count - written, Self.bufferSize)
            buffer.copyBytes(from: bytes[written..<written + part])
            let result = pwrite(descriptor, buffer.baseAddress, part, off_t(offset) + off_t(written))
            if result < 0, errno == EINTR { continue }
            guard result > 0 else { return .failed(result == 0 ? EIO : errno) }
            written += result
        }
        return .done
    }
}
