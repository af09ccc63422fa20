import CsnapCore
import CsnapStore
import CsnapStoreSimulation

/// A store with snapshots on which some bytes are changed, and all checksums over them made right again: it is taken,
/// read and checked, or refused by name.
///
/// An input is a list of changes: three bytes of place, among the blocks that hold something, and one to be mixed in.
enum StoreImageTarget {
    private static let changes = 16
    private static let block = StoreLayout.blockSize

    private struct Base {
        let image: DiskImage
        let origin: SimulatedDisk
        let model: StoreModel
        let tenure: Tenure
        let format: StoreFormat
        /// Offsets of the blocks that are not all zeros.
        let blocks: [Int]
    }

    /// Made once; there is only one thread.
    nonisolated(unsafe) private static let base: Base = {
        do {
            let format = try StoreWorld.format()
            var world = try StoreWorld(format)
            for operation in CrashImages.beginnings[3] + [.writer, .checkpoint, .write([0..<3])] {
                try world.perform(operation)
            }
            let image = world.disk.image
            let blocks = stride(from: 0, to: image.size, by: block).filter { offset in
                !image.bytes(min(block, image.size - offset), at: offset).allSatisfy { $0 == 0 }
            }
            return Base(
                image: image, origin: world.originDisk, model: world.model, tenure: world.tenure, format: format,
                blocks: blocks)
        } catch {
            preconditionFailure("\(error)")
        }
    }()

    static func run(_ bytes: [UInt8]) {
        var image = base.image
        for start in stride(from: 0, to: min(bytes.count, changes * 4) - 3, by: 4) {
            let place = Int(bytes[start]) | Int(bytes[start + 1]) << 8 | Int(bytes[start + 2]) << 16
            let offset = base.blocks[place / block % base.blocks.count] + place % block
            guard offset < image.size else { continue }
            image.flip(offset, bytes[start + 3])
            mend(&image, at: offset)
        }
        take(image)
    }

    private static func take(_ image: DiskImage) {
        let world: StoreWorld
        do throws(StoreRefusal) {
            world = try StoreWorld(SimulatedDisk(image), base.origin, base.model, base.tenure.next)
        } catch {
            precondition(!error.sentence("/store").isEmpty)
            return
        }
        var store = world.store
        for snapshot in store.snapshots.prefix(8) {
            for chunk in 0..<StoreWorld.chunks { _ = try? store.read(snapshot.number, chunk: chunk) }
        }
        _ = try? store.check(data: true)
    }

    // MARK: - Checksums

    /// The checksums over a changed byte; nodes are found by their mark, and named anew by whatever points to them.
    private static func mend(_ image: inout DiskImage, at offset: Int) {
        if offset < Int(StoreLayout.dataOffset) { return seal(&image, offset / block * block) }
        let size = Int(base.format.geometry.nodeSize)
        let node = offset / size * size
        if little32(image.bytes(4, at: node), 0) == 0x4E54_5343 {
            let old = Castagnoli.checksum(base.image.bytes(size, at: node))
            rename(&image, UInt64(node), old, Castagnoli.checksum(image.bytes(size, at: node)))
        }
        let start = offset / block * block
        let length = Int(little32(image.bytes(12, at: start), 8))
        if little32(image.bytes(8, at: start), 4) == 0x474A_5343, length > 4, length <= 4 * block,
            start + length <= image.size
        {
            let body = image.bytes(length - 4, at: start + 4)
            put(Castagnoli.checksum(body), in: &image, at: start)
        }
    }

    private static func seal(_ image: inout DiskImage, _ start: Int) {
        let checksum = Castagnoli.checksum(image.bytes(block - 4, at: start))
        put(checksum, in: &image, at: start + block - 4)
    }

    /// Wherever the node's offset stands with its old checksum behind it.
    private static func rename(_ image: inout DiskImage, _ node: UInt64, _ old: UInt32, _ new: UInt32) {
        let pattern = bytes(of: node) + bytes(of: old)
        for start in base.blocks where start < Int(StoreLayout.dataOffset) {
            let content = image.bytes(block, at: start)
            for place in 0..<block - pattern.count where content[place] == pattern[0] {
                guard content[place..<place + pattern.count].elementsEqual(pattern) else { continue }
                put(new, in: &image, at: start + place + 8)
                seal(&image, start)
            }
        }
    }

    private static func put(_ checksum: UInt32, in image: inout DiskImage, at offset: Int) {
        bytes(of: checksum).withUnsafeBytes { image.write($0, at: offset) }
    }

    private static func little32(_ bytes: [UInt8], _ start: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[start + $1]) << (8 * UInt32($1)) }
    }

    private static func bytes(of value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }
}
