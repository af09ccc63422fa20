import CShims
import CsnapCore
import Glibc

/// Chunks that lie in the store one after the other, and what they are to be.
struct SavedChunks {
    /// Of the first one, in bytes.
    var address: UInt64
    /// Bytes.
    var chunkSize: Int
    /// CRC-32C of each.
    var checksums: [UInt32]
}

/// Why chunks of a snapshot cannot be shown.
enum StoreReadError: Error, Equatable {
    case system(Int32)
    /// The chunk at this byte is not what was saved.
    case damaged(UInt64)

    /// An errno.
    var code: Int32 {
        switch self {
        case .system(let code): code
        case .damaged: EIO
        }
    }
}

/// The snapshot store, open for reading alone.
final class StoreReader: Sendable {
    private static let block = 4096
    private let descriptor: Int32
    private let isDirect: Bool

    init(path: String) throws(SystemError) {
        var direct: Int32 = 0
        var size: UInt64 = 0
        descriptor = csnap_open_device(path, 0, &direct, &size)
        isDirect = direct == 1
        guard descriptor >= 0 else { throw SystemError("cannot open the store", path, code: -descriptor) }
    }

    deinit { close(descriptor) }

    /// Fills the buffer from byte `offset` of these chunks on, all of which it must lie in. Only a whole chunk can be
    /// checked: of the first and the last one all is read, whatever is asked for (docs/decisions/0091).
    func read(
        _ buffer: UnsafeMutableRawBufferPointer, of chunks: SavedChunks, at offset: Int
    ) throws(StoreReadError) {
        let size = chunks.chunkSize
        var done = 0
        while done < buffer.count {
            let (chunk, skipped) = (offset + done).quotientAndRemainder(dividingBy: size)
            let whole = skipped == 0 && mayFill(buffer, at: done) ? (buffer.count - done) / size : 0
            let count = whole > 0 ? whole * size : min(size - skipped, buffer.count - done)
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
            if whole > 0 {
                try fill(target, with: chunk..<chunk + whole, of: chunks)
            } else {
                let one = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: Self.block)
                defer { one.deallocate() }
                try fill(one, with: chunk..<chunk + 1, of: chunks)
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: one[skipped..<skipped + count]))
            }
            done += count
        }
    }

    private func fill(
        _ buffer: UnsafeMutableRawBufferPointer, with range: Range<Int>, of chunks: SavedChunks
    ) throws(StoreReadError) {
        guard range.upperBound <= chunks.checksums.count else { throw .system(EIO) }
        let size = chunks.chunkSize
        let start = chunks.address + UInt64(range.lowerBound * size)
        try Self.fill(buffer, descriptor, at: start)
        for chunk in range {
            let place = (chunk - range.lowerBound) * size
            let bytes = UnsafeRawBufferPointer(rebasing: buffer[place..<place + size])
            let checksum = Castagnoli.checksum(bytes.bindMemory(to: UInt8.self))
            if checksum != chunks.checksums[chunk] { throw .damaged(start + UInt64(place)) }
        }
    }

    /// Past the page cache only into memory on a block's boundary.
    private func mayFill(_ buffer: UnsafeMutableRawBufferPointer, at place: Int) -> Bool {
        !isDirect || (UInt(bitPattern: buffer.baseAddress) + UInt(place)) % UInt(Self.block) == 0
    }

    /// The whole buffer.
    static func fill(
        _ buffer: UnsafeMutableRawBufferPointer, _ descriptor: Int32, at offset: UInt64
    ) throws(StoreReadError) {
        var done = 0
        while done < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done, off_t(offset) + off_t(done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .system(count == 0 ? EIO : errno) }
            done += count
        }
    }
}
