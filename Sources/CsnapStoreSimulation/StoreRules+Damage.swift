import CsnapCore
import CsnapStore

/// What a damaged tree must not lead to.
extension StoreRules {
    /// Where nodes of trees lie, old ones too; bytes.
    private static func nodes(of image: DiskImage) -> [Int] {
        stride(from: Int(StoreLayout.dataOffset), to: image.size, by: 512).filter {
            image.bytes(4, at: $0) == Array("CSTN".utf8)
        }
    }

    /// The leaf of the last chunk. A checkpoint comes to it when others are written.
    private static func lastLeaf(of world: StoreWorld) throws -> Int? {
        let image = world.disk.image
        let last = StoreWorld.chunks - 1
        return try nodes(of: image).first { place in
            var next = try StoreWorld(SimulatedDisk(image), world.originDisk, world.model, world.tenure.next)
            next.disk.image.flip(place + 77, 4)
            return try next.store.grant([[last..<last + 1]]) == [.damaged(offset: UInt64(place))]
        }
    }

    /// One that cannot be read is an error to whoever needs it; the store goes on, or each server would end at it. What
    /// fails for a moment is no error at all.
    package static func badSector() throws -> String? {
        var world = try StoreWorld(StoreWorld.format())
        let story = [StoreOperation.create, .write([0..<3]), .checkpoint, .takeOver]
        for operation in story { try world.perform(operation) }
        guard let leaf = nodes(of: world.disk.image).first else { return "no leaf" }
        world.disk.unreadable = [leaf..<leaf + 512]
        do {
            guard try world.store.grant([[0..<1]]) == [.damaged(offset: UInt64(leaf))] else { return "no error" }
        } catch { return "the server ends: \(error)" }
        world.disk.unreadable = []
        return try world.store.grant([[0..<1]]) == [.granted] ? nil : "an error when it can be read"
    }

    /// A checkpoint in whose way damage lies costs nothing when it is known, and at the cap of the journal what makes
    /// room, or lets a client in, is still recorded.
    package static func damageInTheWay() throws -> String? {
        var world = try StoreWorld(StoreWorld.format(windows: 320, slots: 64))
        let all = 0..<StoreWorld.chunks
        for _ in 0..<30 {
            try world.perform(.create)
            try world.perform(.write([all]))
        }
        for operation in [StoreOperation.checkpoint, .create, .write([all])] { try world.perform(operation) }
        guard let leaf = try lastLeaf(of: world) else { return "no leaf" }
        world.disk.image.flip(leaf + 77, 4)
        try world.perform(.takeOver)
        do { for _ in 0..<10_000 { try world.perform(.rename) } } catch StoreWorldError.store(.damaged) {}
        for isLater in [false, true] {
            let before = world.path.requests
            for _ in 0..<100 where world.store.needsMaintenance {
                do { try world.perform(.maintain) } catch StoreWorldError.store(.damaged) {}
            }
            let requests = world.path.requests - before
            if isLater, requests > 0 { return "\(requests) writes and flushes in vain" }
        }
        do {
            try world.perform(.writer)
            try world.perform(.deleteOldest)
        } catch { return "at the cap of the journal: \(error)" }
        return nil
    }
}
