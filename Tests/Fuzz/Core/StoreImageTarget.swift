import CsnapCore
import CsnapStore
package import CsnapStoreSimulation

/// A store with snapshots and branches on which some bytes are changed, and all checksums over them made right: it is
/// taken, read and checked, or refused by name.
///
/// An input is a list of changes: three bytes of place, among the blocks that hold something, and one to be mixed in.
package enum StoreImageTarget {
    private static let limit = 16
    private static let block = StoreLayout.blockSize

    private struct Base {
        let image: DiskImage
        let origin: SimulatedDisk
        let model: StoreModel
        let tenure: Tenure
        /// Offsets of the blocks that are not all zeros.
        let blocks: [Int]
        let seals: StoreSeals
    }

    /// A branch with chunks of its own, of which some were overwritten, another one that was deleted and not swept, and
    /// a third; the catalog knows of the first two, the journal of the rest.
    private static let branches: [StoreOperation] = [
        .branch, .writeBranch(StoreOperation.parts), .branch, .writeBranch(StoreOperation.parts), .deleteBranch,
        .writer, .checkpoint, .writeBranch(StoreOperation.otherParts), .branch, .writeBranch([BranchPart(2, 0..<3)]),
        .write([0..<3]),
    ]

    /// Made once; there is only one thread.
    nonisolated(unsafe) private static let base: Base = {
        do {
            let format = try StoreWorld.format(windows: 24)
            var world = try StoreWorld(format)
            for operation in CrashImages.beginnings[3] + branches { try world.perform(operation) }
            precondition(world.store.branches.count == 2 && world.store.awaitsSpace)
            let image = world.disk.image
            let blocks = stride(from: 0, to: image.size, by: block).filter { offset in
                !image.bytes(min(block, image.size - offset), at: offset).allSatisfy { $0 == 0 }
            }
            return Base(
                image: image, origin: world.originDisk, model: world.model, tenure: world.tenure, blocks: blocks,
                seals: StoreSeals(image, blocks, nodeSize: Int(format.geometry.nodeSize)))
        } catch {
            preconditionFailure("\(error)")
        }
    }()

    static func run(_ bytes: [UInt8]) {
        var changes: [(offset: Int, mask: UInt8)] = []
        for start in stride(from: 0, to: min(bytes.count, limit * 4) - 3, by: 4) {
            let place = Int(bytes[start]) | Int(bytes[start + 1]) << 8 | Int(bytes[start + 2]) << 16
            let offset = base.blocks[place / block % base.blocks.count] + place % block
            if offset < base.image.size { changes.append((offset, bytes[start + 3])) }
        }
        guard var world = taken(changes) else { return }
        var store = world.store
        for image in store.snapshots.prefix(8) + store.branches.prefix(8) {
            for chunk in 0..<StoreWorld.chunks { _ = try? store.read(image.number, chunk: chunk) }
        }
        _ = try? store.check(data: true)
        // What a server does with it, then the same offline.
        for operation in [.settle, .create, .write([0..<3]), .deleteOldest, .settle, .checkpoint] as [StoreOperation] {
            try? world.perform(operation)
        }
        _ = try? SnapshotStore.repair(
            device: SimulatedDevice(world.disk), origin: SimulatedDevice(world.originDisk), owner: Repairs.owner)
    }

    /// What all changes are made to.
    package static var image: DiskImage { base.image }

    /// The store with these changes; nil: it is refused.
    package static func taken(_ changes: [(offset: Int, mask: UInt8)]) -> StoreWorld? {
        var image = base.image
        for change in changes { image.flip(change.offset, change.mask) }
        base.seals.mend(&image, at: changes.map(\.offset))
        do throws(StoreRefusal) {
            return try StoreWorld(SimulatedDisk(image), base.origin, base.model, base.tenure.next)
        } catch {
            precondition(!error.sentence("/store").isEmpty)
            return nil
        }
    }
}
