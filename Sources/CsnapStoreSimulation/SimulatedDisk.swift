package import CsnapStore

/// What lies on a disk, in pages that copies share.
package struct DiskImage: Sendable {
    package static let sector = 512
    private static let pageSize = 4096
    package let size: Int
    /// An empty page holds zeros.
    private var pages: [[UInt8]]

    package init(size: Int) {
        self.size = size
        pages = [[UInt8]](repeating: [], count: (size + Self.pageSize - 1) / Self.pageSize)
    }

    package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) {
        var done = 0
        while done < buffer.count {
            let (page, start) = (offset + done).quotientAndRemainder(dividingBy: Self.pageSize)
            let count = min(Self.pageSize - start, buffer.count - done)
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
            if pages[page].isEmpty {
                part.initializeMemory(as: UInt8.self, repeating: 0)
            } else {
                pages[page].withUnsafeBytes {
                    part.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + count]))
                }
            }
            done += count
        }
    }

    package mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        var done = 0
        while done < bytes.count {
            let (page, start) = (offset + done).quotientAndRemainder(dividingBy: Self.pageSize)
            let count = min(Self.pageSize - start, bytes.count - done)
            let part = UnsafeRawBufferPointer(rebasing: bytes[done..<done + count])
            if pages[page].isEmpty { pages[page] = [UInt8](repeating: 0, count: Self.pageSize) }
            pages[page].withUnsafeMutableBytes {
                UnsafeMutableRawBufferPointer(rebasing: $0[start..<start + count]).copyMemory(from: part)
            }
            done += count
        }
    }

    package mutating func write(_ write: DiskWrite) {
        write.bytes.withUnsafeBytes { self.write($0, at: write.offset) }
    }

    package mutating func flip(_ offset: Int, _ mask: UInt8) {
        var byte: UInt8 = 0
        withUnsafeMutableBytes(of: &byte) { read(into: $0, at: offset) }
        byte ^= mask
        withUnsafeBytes(of: &byte) { write($0, at: offset) }
    }

    package func bytes(_ count: Int, at offset: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        bytes.withUnsafeMutableBytes { read(into: $0, at: offset) }
        return bytes
    }
}

package struct DiskWrite: Sendable {
    package var offset: Int
    package var bytes: [UInt8]

    /// Only some sectors of it: those for which `keeps` says so.
    package func torn(_ keeps: (Int) -> Bool) -> [DiskWrite] {
        stride(from: 0, to: bytes.count, by: DiskImage.sector).filter { keeps($0 / DiskImage.sector) }.map { start in
            let end = min(start + DiskImage.sector, bytes.count)
            return DiskWrite(offset: offset + start, bytes: Array(bytes[start..<end]))
        }
    }
}

package enum DiskEvent: Sendable {
    case write(DiskWrite)
    case flush
}

/// A disk that several servers share, and all that was done to it.
package final class SimulatedDisk {
    package var image: DiskImage
    package var events: [DiskEvent] = []
    package var isRecording = false
    /// Of all servers.
    package var requests = 0
    /// Late writes of the dead, by the number of the request before which they land.
    package var late: [(at: Int, write: DiskWrite)] = []
    /// Offsets of sectors that cannot be read.
    package var unreadable: [Range<Int>] = []

    package init(_ image: DiskImage) { self.image = image }

    package func begin() {
        while let first = late.first, first.at <= requests {
            image.write(first.write)
            late.removeFirst()
        }
        requests += 1
    }
}

/// One server's path to a disk.
package struct SimulatedDevice: BlockDevice {
    package let disk: SimulatedDisk
    package let path: Path

    /// How long the path stands.
    package final class Path {
        /// Writes that still get through; after that the server is dead: everything fails.
        package var writesLeft = Int.max
        package var isDead = false
        /// Writes that have returned since the last flush.
        package var unsynced: [DiskWrite] = []
        /// The write under way when the server died.
        package var inFlight: DiskWrite?
        package var writes = 0

        package init() {}
    }

    package init(_ disk: SimulatedDisk) {
        self.disk = disk
        path = Path()
    }

    package var size: UInt64 { UInt64(disk.image.size) }

    package mutating func read(
        into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
    ) throws(BlockDeviceError) {
        if path.isDead { throw .stopped }
        disk.begin()
        let range = Int(offset)..<Int(offset) + buffer.count
        if disk.unreadable.contains(where: { $0.overlaps(range) }) { throw .system(5) }
        guard range.upperBound <= disk.image.size else { throw .system(5) }
        disk.image.read(into: buffer, at: Int(offset))
    }

    package mutating func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(BlockDeviceError) {
        if path.isDead { throw .stopped }
        disk.begin()
        guard Int(offset) + buffer.count <= disk.image.size else { throw .system(28) }
        let write = DiskWrite(offset: Int(offset), bytes: Array(buffer))
        guard path.writesLeft > 0 else {
            path.isDead = true
            path.inFlight = write
            throw .stopped
        }
        path.writesLeft -= 1
        path.writes += 1
        path.unsynced.append(write)
        if disk.isRecording { disk.events.append(.write(write)) }
        disk.image.write(buffer, at: Int(offset))
    }

    package mutating func flush() throws(BlockDeviceError) {
        if path.isDead { throw .stopped }
        disk.begin()
        path.unsynced = []
        if disk.isRecording { disk.events.append(.flush) }
    }
}
