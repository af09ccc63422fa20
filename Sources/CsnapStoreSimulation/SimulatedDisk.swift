package import CsnapCore
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

    package init(offset: Int, bytes: [UInt8]) {
        self.offset = offset
        self.bytes = bytes
    }

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

/// A write of a dead server that lands when others have gone on.
package struct LateWrite: Sendable {
    /// The number of the request before which it lands.
    package var at: Int
    package var tenure: Tenure
    package var write: DiskWrite
}

/// A disk that several servers share, and all that was done to it.
package final class SimulatedDisk {
    package var image: DiskImage
    /// What a power failure leaves for sure.
    package private(set) var durable: DiskImage
    package var events: [DiskEvent] = []
    package var isRecording = false
    /// Of all servers.
    package var requests = 0
    /// In the order in which they land.
    package private(set) var late: [LateWrite] = []
    /// Offsets of sectors that cannot be read.
    package var unreadable: [Range<Int>] = []

    package init(_ image: DiskImage, durable: DiskImage? = nil) {
        self.image = image
        self.durable = durable ?? image
    }

    /// Where somebody wrote though a dead server's write may still land there; nil: nowhere.
    package private(set) var trespass: Int?

    package func wrote(_ range: Range<Int>) {
        let isHit = late.contains { range.overlaps($0.write.offset..<$0.write.offset + $0.write.bytes.count) }
        if isHit { trespass = trespass ?? range.lowerBound }
    }

    package func hold(_ write: DiskWrite, at request: Int, of tenure: Tenure = .none) {
        let position = late.firstIndex { $0.at > request } ?? late.count
        late.insert(LateWrite(at: request, tenure: tenure, write: write), at: position)
    }

    /// Lands what fits; the rest goes on waiting.
    package func land(_ fits: (LateWrite) -> Bool) {
        for late in late where fits(late) { image.write(late.write) }
        late.removeAll(where: fits)
    }

    package func begin() {
        if let first = late.first, first.at <= requests { land { $0.at <= requests } }
        requests += 1
    }

    package func flush() { durable = image }
}

/// One server's path to a disk.
package struct SimulatedDevice: BlockDevice {
    package let disk: SimulatedDisk
    package let path: Path

    /// How long the path stands.
    package final class Path {
        /// Writes and flushes that still get through; after that the server is dead: everything fails.
        package var requestsLeft = Int.max
        /// Flushes of two writes and more that still get through.
        package var fullFlushesLeft = Int.max
        package var isDead = false
        /// Writes that have returned since the last flush.
        package var unsynced: [DiskWrite] = []
        /// The write under way when the server died.
        package var inFlight: DiskWrite?
        /// Writes and flushes.
        package var requests = 0

        package init(requestsLeft: Int = .max) { self.requestsLeft = requestsLeft }
    }

    package init(_ disk: SimulatedDisk, _ path: Path = Path()) {
        self.disk = disk
        self.path = path
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
        let write = DiskWrite(offset: Int(offset), bytes: Array(buffer))
        try begin(write)
        guard Int(offset) + buffer.count <= disk.image.size else { throw .system(28) }
        path.unsynced.append(write)
        disk.wrote(write.offset..<write.offset + write.bytes.count)
        if disk.isRecording { disk.events.append(.write(write)) }
        disk.image.write(buffer, at: Int(offset))
    }

    package mutating func flush() throws(BlockDeviceError) {
        if path.unsynced.count > 1 {
            if path.fullFlushesLeft == 0 { path.isDead = true }
            path.fullFlushesLeft -= 1
        }
        try begin(nil)
        path.unsynced = []
        disk.flush()
        if disk.isRecording { disk.events.append(.flush) }
    }

    private func begin(_ write: DiskWrite?) throws(BlockDeviceError) {
        if path.isDead { throw .stopped }
        disk.begin()
        guard path.requestsLeft > 0 else {
            path.isDead = true
            path.inFlight = write
            throw .stopped
        }
        path.requestsLeft -= 1
        path.requests += 1
    }
}
