import CsnapCore
import CsnapStore

/// Rules that no crash and no late write shows: small stories, each with one thing that must hold.
package enum StoreRules {
    /// The first rule that does not hold; nil: all do.
    package static func problem() throws -> String? {
        if let problem = try failedCopy() { return problem }
        if let problem = try readersKeepTheirData() { return problem }
        if let problem = try destroyedData() { return problem }
        if let problem = try surpassed() { return problem }
        if let problem = try claimWithoutAnchor() { return problem }
        return try deviceKeepsNothingUnflushed()
    }

    /// A copy-out that cannot read its origin is an error to that write, never a grant.
    package static func failedCopy() throws -> String? {
        var world = try StoreWorld(StoreWorld.format())
        try world.perform(.create)
        world.originDisk.unreadable = [3 * StoreWorld.chunkSize..<3 * StoreWorld.chunkSize + 512]
        let outcomes = try world.store.grant([[0..<2], [2..<5], [6..<7]])
        let expected: [GrantOutcome] = [.granted, .originRead(chunk: 3, .system(5)), .granted]
        return outcomes == expected ? nil : "a copy-out that failed was answered \(outcomes)"
    }

    /// Space of a deleted snapshot is written again only when every reader has forgotten it.
    package static func readersKeepTheirData() throws -> String? {
        var world = try StoreWorld(StoreWorld.format())
        try world.perform(.create)
        try world.perform(.write([0..<StoreWorld.chunks]))
        let snapshot = world.model.snapshots[0]
        guard case .store(let offset) = try world.store.locate(snapshot.number, 0..<1)[0].place else {
            return "a chunk that was saved is not in the store"
        }
        let saved = world.disk.image.bytes(StoreWorld.chunkSize, at: Int(offset))
        try world.perform(.deleteOldest)
        while world.store.needsMaintenance { _ = try world.store.maintain() }
        for _ in 0..<20 {
            try world.perform(.create)
            do { try world.perform(.write([0..<StoreWorld.chunks])) } catch StoreWorldError.store(.full) { break }
            if world.disk.image.bytes(StoreWorld.chunkSize, at: Int(offset)) != saved {
                return "a chunk that a reader may still read was overwritten"
            }
        }
        return nil
    }

    /// Saved data that is not what was saved is an error by name.
    package static func destroyedData() throws -> String? {
        var world = try StoreWorld(StoreWorld.format())
        try world.perform(.create)
        try world.perform(.write([2..<3]))
        let number = world.model.snapshots[0].number
        guard case .store(let offset) = try world.store.locate(number, 2..<3)[0].place else { return "not saved" }
        world.disk.image.flip(Int(offset) + 77, 4)
        do throws(StoreError) {
            _ = try world.store.read(number, chunk: 2)
            return "destroyed data was read as if it were whole"
        } catch {
            return error == .damagedData(number, chunk: 2) ? nil : "\(error)"
        }
    }

    /// A server that sleeps while another takes the store writes nothing but to what it had before.
    package static func surpassed() throws -> String? {
        var old = try StoreWorld(StoreWorld.format())
        try old.perform(.create)
        try old.perform(.write([0..<1]))
        var new = try StoreWorld(old.disk, old.originDisk, old.model, epoch: old.epoch + 1)
        // The old one fills its window, and must not open another.
        var ended: StoreError?
        do throws(StoreError) {
            for chunk in 1..<StoreWorld.chunks { _ = try old.store.grant([[chunk..<chunk + 1]]) }
        } catch {
            ended = error
        }
        guard case .surpassed(let tenure, _) = ended, tenure.epoch == Epoch(new.epoch) else {
            return "a deposed server opened a window: \(String(describing: ended))"
        }
        return new.problem()
    }

    /// Who claimed but never stood is nobody's base.
    package static func claimWithoutAnchor() throws -> String? {
        var world = try StoreWorld(StoreWorld.format())
        try world.perform(.create)
        try world.perform(.write([0..<4]))
        let device = SimulatedDevice(world.disk)
        // Both copies of the claim, then death.
        device.path.writesLeft = 2
        do throws(StoreRefusal) {
            _ = try SnapshotStore.take(
                StoreWorld.claim(world.epoch + 1, UInt64(world.disk.image.size)), device: device,
                origin: SimulatedDevice(world.originDisk), settled: [])
            return "a dead device was taken"
        } catch {}
        var next = try StoreWorld(world.disk, world.originDisk, world.model, epoch: world.epoch + 2)
        return next.problem()
    }

    /// All that a grant, a creation or a deletion rests on is flushed when it returns.
    package static func deviceKeepsNothingUnflushed() throws -> String? {
        var world = try StoreWorld(StoreWorld.format())
        for operation in StoreOperation.alphabet + StoreOperation.alphabet {
            do { try world.perform(operation) } catch StoreWorldError.store(.full) {}
            if operation != .maintain, !world.store.device.path.unsynced.isEmpty {
                return "\(operation) returned with unflushed writes"
            }
        }
        return nil
    }
}
