import CShims
import CsnapCore
import CsnapSession
import Glibc
import NBDProtocol

/// The origin, open for reading and writing: a block device or a plain file.
///
/// O_DIRECT where it works. Elsewhere O_DSYNC, so that no write outlives its request in the page cache: what the
/// gate counts as finished is on the device.
final class OriginDevice: Sendable {
    let path: String
    let descriptor: Int32
    let isDirect: Bool
    let isRegular: Bool
    /// Bytes when it was opened.
    let size: UInt64
    /// Bytes: 512, or 4096 where the device needs it.
    let minimumBlock: UInt32
    private let zeroes: AlignedBuffer
    /// Of the one thread that flushes for snapshots.
    private let sampled: AlignedBuffer

    /// Opens it and takes this node's lock on it.
    init(path: String, node: NodeID) throws(SystemError) {
        let (descriptor, isDirect) = try Self.open(path)
        self.path = path
        self.descriptor = descriptor
        self.isDirect = isDirect
        do throws(SystemError) {
            try OriginLock.acquire(descriptor, path: path, node: node)
            let file = try Self.examine(descriptor, path)
            isRegular = file.isRegular
            size = file.size
            zeroes = try AlignedBuffer(size: 1 << 20)
            sampled = try AlignedBuffer(size: OriginSample.length)
            minimumBlock = try Self.block(descriptor, path, isRegular: file.isRegular, isDirect: isDirect, zeroes)
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    private static func open(_ path: String) throws(SystemError) -> (descriptor: Int32, isDirect: Bool) {
        let direct = csnap_origin_open(path, 1)
        if direct >= 0 { return (direct, true) }
        guard direct == -EINVAL else { throw SystemError("cannot open the origin", path, code: -direct) }
        let buffered = csnap_origin_open(path, 0)
        guard buffered >= 0 else { throw SystemError("cannot open the origin", path, code: -buffered) }
        return (buffered, false)
    }

    private static func examine(
        _ descriptor: Int32, _ path: String
    ) throws(SystemError) -> (isRegular: Bool, size: UInt64) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw SystemError("cannot examine", path) }
        if status.st_mode & S_IFMT == S_IFREG { return (true, UInt64(max(status.st_size, 0))) }
        guard status.st_mode & S_IFMT == S_IFBLK else {
            throw SystemError("neither a block device nor a file:", path, code: ENOTBLK)
        }
        let size = csnap_device_size(descriptor)
        guard size >= 0 else { throw SystemError("cannot learn the size of", path, code: Int32(-size)) }
        return (false, UInt64(size))
    }

    private static func block(
        _ descriptor: Int32, _ path: String, isRegular: Bool, isDirect: Bool, _ buffer: AlignedBuffer
    ) throws(SystemError) -> UInt32 {
        if !isRegular {
            let size = csnap_device_block(descriptor)
            guard size >= 0 else { throw SystemError("cannot learn the block size of", path, code: -size) }
            return UInt32(max(size, 512))
        }
        // A read of 512 bytes from 512 fails with EINVAL where the file system needs more for O_DIRECT.
        let result = isDirect ? pread(descriptor, buffer.bytes.baseAddress, 512, 512) : 0
        let needsMore = result < 0 && errno == EINVAL
        buffer.release(from: 0)
        return needsMore ? 4096 : 512
    }

    func export(of volume: String, size: UInt64) -> NBDExport {
        NBDExport(
            name: "origin", description: "origin of volume \(volume)", size: size, minimumBlock: minimumBlock,
            preferredBlock: 64 << 10)
    }

    /// Bytes now; it may have grown since it was opened.
    var currentSize: UInt64 { (try? Self.examine(descriptor, path))?.size ?? size }

    /// For a shell without a ring: bytes, 0 or -errno.
    func perform(_ operation: DiskOperation.Kind) -> Int32 {
        switch operation {
        case .read(let data, let length, let offset):
            let count = pread(descriptor, data, Int(length), off_t(offset))
            return count >= 0 ? Int32(count) : -errno
        case .write(let data, let length, let offset, let durable):
            return csnap_origin_write(descriptor, data, length, offset, durable ? 1 : 0)
        case .flush: return -flush()
        case .blocking(let work): return work.perform(self)
        }
    }

    /// A file in memory never waits: its I/O is done at once. A ring serves a device that needs no waiting thread.
    var preferredEngine: DiskEngine {
        if csnap_origin_is_memory(descriptor) == 1 { return .inline }
        defer { zeroes.release(from: 0) }
        let isAsynchronous = csnap_origin_is_asynchronous(descriptor, zeroes.bytes.baseAddress) == 1
        return isDirect && isAsynchronous && RingShell.isPossible ? .ring : .pool
    }

    func flush() -> Int32 { fdatasync(descriptor) == 0 ? 0 : errno }

    /// Reads what is compared with the server's disk: 0 or an errno.
    func sample(_ sum: inout UInt32) -> Int32 {
        defer { sampled.release(from: 0) }
        while true {
            let count = pread(descriptor, sampled.bytes.baseAddress, OriginSample.length, 0)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return errno }
            sum = OriginSample.sum(UnsafeBufferPointer(rebasing: sampled.bytes.bindMemory(to: UInt8.self)[..<count]))
            return 0
        }
    }

    /// Advisory: a device that cannot do it has done it.
    func trim(offset: UInt64, length: UInt64, fua: Bool) -> Int32 {
        let error = csnap_punch_hole(descriptor, Int64(offset), Int64(length))
        if error == EOPNOTSUPP || error == ENODEV { return 0 }
        return error == 0 && (fua || !isDirect) ? flush() : error
    }

    func writeZeroes(offset: UInt64, length: UInt64, fua: Bool, mayPunch: Bool) -> Int32 {
        var error = EOPNOTSUPP
        if mayPunch { error = csnap_punch_hole(descriptor, Int64(offset), Int64(length)) }
        if error != 0 { error = csnap_zero_range(descriptor, Int64(offset), Int64(length)) }
        if error != 0 { error = plainZeroes(offset: offset, length: length) }
        return error == 0 && (fua || !isDirect) ? flush() : error
    }

    private func plainZeroes(offset: UInt64, length: UInt64) -> Int32 {
        var done: UInt64 = 0
        while done < length {
            let count = min(length - done, UInt64(zeroes.bytes.count))
            let moved = pwrite(descriptor, zeroes.bytes.baseAddress, Int(count), off_t(offset + done))
            if moved < 0 && errno == EINTR { continue }
            if moved <= 0 { return moved < 0 ? errno : EIO }
            done += UInt64(moved)
        }
        return 0
    }

    /// Data and holes of the range; a block device is all data.
    func extents(offset: UInt64, length: UInt32, one: Bool) -> [NBDExtent] {
        guard isRegular else { return [NBDExtent(length: length, isHole: false)] }
        var extents: [NBDExtent] = []
        let end = offset + UInt64(length)
        var position = offset
        while position < end, extents.count < (one ? 1 : NBD.maximumExtents) {
            let (next, isHole) = run(at: position, end: end)
            extents.append(NBDExtent(length: UInt32(next - position), isHole: isHole))
            position = next
        }
        return extents
    }

    /// Where the run at `position` ends, on a block's boundary: parts of a block that are a hole count as data.
    private func run(at position: UInt64, end: UInt64) -> (end: UInt64, isHole: Bool) {
        let data = csnap_next_data(descriptor, Int64(position))
        if data < 0 { return (end, data == Int64(-ENXIO)) }
        let block = UInt64(minimumBlock)
        let dataStart = UInt64(data) / block * block
        if dataStart > position { return (min(dataStart, end), true) }
        let hole = csnap_next_hole(descriptor, data)
        if hole < 0 { return (end, false) }
        // What was data a moment ago may be a hole by now; no extent is empty.
        return (min(max((UInt64(hole) + block - 1) / block * block, position + block), end), false)
    }
}
