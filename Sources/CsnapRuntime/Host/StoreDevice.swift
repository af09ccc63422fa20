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
    /// Bytes, when it was opened or measured last.
    package private(set) var size: UInt64
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

    /// A device may have grown.
    package func measure() throws(SystemError) {
        let end = lseek(descriptor, 0, SEEK_END)
        guard end >= 0 else { throw SystemError("cannot learn the size of", path) }
        size = UInt64(end)
    }

    /// Servers hold it shared, who makes a store holds it alone; a local matter of this machine.
    package func lock(exclusively: Bool) throws(SystemError) {
        let result = csnap_lock_device(descriptor, exclusively ? 1 : 0)
        guard result == 0 else { throw SystemError("cannot lock the store", path, code: -result) }
    }

    package func perform(_ request: StoreRequest) -> StoreAnswer {
        switch request {
        case .read(let offset, let count): return read(offset, count)
        case .write(let offset, let bytes):
            let code = bytes.withUnsafeBytes { write($0, at: offset) }
            return code == 0 ? .done : .failed(code)
        case .flush:
            let code = flush()
            return code == 0 ? .done : .failed(code)
        }
    }

    /// 0 or an errno.
    package func flush() -> Int32 { fdatasync(descriptor) == 0 ? 0 : errno }

    private func read(_ offset: UInt64, _ count: Int) -> StoreAnswer {
        // What lies behind the end of a device reads as nothing; the store is then refused as truncated or blank.
        guard offset < size, count >= 0 else { return .bytes([]) }
        let count = Int(min(UInt64(count), size - offset)) / StoreLayout.blockSize * StoreLayout.blockSize
        var code: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { memory, filled in
            code = read(into: UnsafeMutableRawBufferPointer(memory), at: offset)
            filled = code == 0 ? count : 0
        }
        return code == 0 ? .bytes(bytes) : .failed(code)
    }

    /// Fills the whole buffer: 0 or an errno. What is not aligned to blocks goes through our own buffer.
    package func read(into target: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int32 {
        guard offset + UInt64(target.count) <= size else { return EIO }
        var done = 0
        while done < target.count {
            let position = offset + UInt64(done)
            let part = min(target.count - done, Self.bufferSize)
            let place = target.baseAddress?.advanced(by: done)
            let isPlain = !isDirect || Self.isAligned(place, part, position)
            let wanted = isPlain ? part : (part + StoreLayout.blockSize - 1) & ~(StoreLayout.blockSize - 1)
            let result = pread(
                descriptor, isPlain ? place : buffer.baseAddress, min(wanted, Self.bufferSize), off_t(position))
            if result < 0, errno == EINTR { continue }
            guard result > 0 else { return result == 0 ? EIO : errno }
            let taken = min(result, part)
            if !isPlain, let base = buffer.baseAddress { place?.copyMemory(from: base, byteCount: taken) }
            done += taken
        }
        return 0
    }

    /// 0 if a block can be read at its beginning, in its middle or at its end, or if there is none but those of
    /// `known`; else an errno.
    package func failure(besides known: Range<UInt64>?) -> Int32 {
        let block = UInt64(StoreLayout.blockSize)
        let blocks = size / block
        var failure: Int32 = 0
        for place in [0, blocks / 2, max(blocks, 1) - 1] where blocks > 0 && known?.contains(place * block) != true {
            guard case .failed(let code) = read(place * block, Int(block)) else { return 0 }
            failure = code
        }
        return failure
    }

    /// Writes the whole buffer: 0 or an errno.
    package func write(_ source: UnsafeRawBufferPointer, at offset: UInt64) -> Int32 {
        guard offset + UInt64(source.count) <= size else { return ENOSPC }
        var done = 0
        while done < source.count {
            let position = offset + UInt64(done)
            let part = min(source.count - done, Self.bufferSize)
            let place = source.baseAddress?.advanced(by: done)
            let isPlain = !isDirect || Self.isAligned(place, part, position)
            if !isPlain, let place { buffer.baseAddress?.copyMemory(from: place, byteCount: part) }
            let result = pwrite(
                descriptor, isPlain ? place : UnsafeRawPointer(buffer.baseAddress), part, off_t(position))
            if result < 0, errno == EINTR { continue }
            guard result > 0 else { return result == 0 ? EIO : errno }
            done += result
        }
        return 0
    }

    private static func isAligned(_ place: UnsafeRawPointer?, _ count: Int, _ offset: UInt64) -> Bool {
        (UInt(bitPattern: place) | UInt(count) | UInt(offset)) % UInt(StoreLayout.blockSize) == 0
    }
}
