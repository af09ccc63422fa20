import CsnapCore
import CsnapStore
import CsnapStoreSimulation

/// A disk that all nodes see. It has a cache: what was written since the last flush can be lost with the power.
final class SharedDisk {
    private(set) var image: DiskImage
    /// What survives the loss of power.
    private(set) var durable: DiskImage
    private(set) var unsynced: [DiskWrite] = []
    /// What was written since somebody looked.
    var recent: [Range<UInt64>] = []

    init(_ image: DiskImage) {
        self.image = image
        durable = image
    }

    func write(_ write: DiskWrite) {
        image.write(write)
        unsynced.append(write)
        recent.append(UInt64(write.offset)..<UInt64(write.offset + write.bytes.count))
    }

    func flush() {
        for write in unsynced { durable.write(write) }
        unsynced = []
    }

    /// Any subset of what was not flushed is gone, some of it torn.
    func losePower(_ random: inout Generator) {
        for write in unsynced {
            switch random.next(below: 4) {
            case 0: durable.write(write)
            case 1: for part in write.torn({ _ in random.next(below: 2) == 0 }) { durable.write(part) }
            default: break
            }
        }
        image = durable
        unsynced = []
    }
}

/// How a server reaches a disk, and what goes wrong there.
final class DiskPath {
    /// Nothing gets through any more.
    var isDead = false
    /// Then the process dies in a write.
    var writesLeft = Int.max
    /// The next write or flush fails with this error.
    var failure: Int32?
    /// What cannot be read now.
    var unreadable: Range<UInt64>?
    /// Writes whose fate is open: of a process that died in it, or that failed.
    var uncertain: [DiskWrite] = []
    /// Its flush does not reach what other nodes wrote.
    var hasOwnCache = false
    /// The oracle looks: nothing fails.
    var isOracle = false
}

struct SimulatedPath: BlockDevice {
    let disk: SharedDisk
    let path: DiskPath

    var size: UInt64 { UInt64(disk.image.size) }

    mutating func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(BlockDeviceError) {
        guard offset + UInt64(buffer.count) <= size else { throw .system(5) }
        if !path.isOracle {
            if path.isDead { throw .stopped }
            if path.unreadable?.overlaps(offset..<offset + UInt64(buffer.count)) == true { throw .system(5) }
        }
        disk.image.read(into: buffer, at: Int(offset))
    }

    mutating func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(BlockDeviceError) {
        if path.isDead { throw .stopped }
        let write = DiskWrite(offset: Int(offset), bytes: Array(buffer))
        if path.writesLeft == 0 {
            path.isDead = true
            path.uncertain.append(write)
            throw .stopped
        }
        path.writesLeft -= 1
        if let code = path.failure {
            path.failure = nil
            path.uncertain.append(write)
            throw .system(code)
        }
        disk.write(write)
    }

    mutating func flush() throws(BlockDeviceError) {
        if path.isDead { throw .stopped }
        if let code = path.failure {
            path.failure = nil
            throw .system(code)
        }
        if !path.hasOwnCache { disk.flush() }
    }
}

/// A write that its machine gave to a disk and whose end nobody waits for any more.
final class LateWrite {
    let write: DiskWrite
    /// It has landed, or never will.
    var isOver = false

    init(_ write: DiskWrite) { self.write = write }
}
