import CsnapCore
import CsnapStore
import CsnapStoreSimulation
import Testing

/// docs/decisions/0058-a-revert-is-a-client.md
@Suite("Revert, store")
struct RevertStateTests {
    static func state(_ cursor: UInt64) -> RevertState {
        RevertState(uuid: Bits128(high: 5, low: 2), target: SnapshotNumber(1), node: NodeID(3), cursor: cursor)
    }

    /// Snapshots 1 and 2; the second has the revert's uuid.
    static func begun() throws -> StoreWorld {
        var world = try StoreWorld(StoreWorld.format())
        try world.perform(.create)
        try world.perform(.write([0..<3]))
        try world.perform(.create)
        try world.store.setRevert(state(0))
        return world
    }

    @Test("it survives takeovers, by the journal and by a checkpoint, until it has ended")
    func survives() throws {
        var world = try Self.begun()
        try world.perform(.takeOver)
        #expect(world.store.revert == Self.state(0))
        try world.store.setRevert(Self.state(7))
        try world.store.checkpointNow()
        try world.perform(.takeOver)
        #expect(world.store.revert == Self.state(7))
        try world.store.setRevert(nil)
        try world.perform(.takeOver)
        #expect(world.store.revert == nil)
        #expect(world.problem() == nil)
    }

    @Test("neither where it goes nor what was before is deleted meanwhile, by hand or for room")
    func keepsItsSnapshots() throws {
        var world = try Self.begun()
        for number in [SnapshotNumber(1), SnapshotNumber(2)] {
            #expect(throws: StoreError.pinned(number)) { try world.store.delete(number) }
        }
        #expect(world.store.dropCandidate(inUse: []) == nil)
        try world.store.setRevert(nil)
        #expect(world.store.dropCandidate(inUse: []) == SnapshotNumber(1))
        try world.store.delete(SnapshotNumber(1))
    }

    @Test("to a snapshot that is not there it does not begin")
    func unknown() throws {
        var world = try StoreWorld(StoreWorld.format())
        #expect(throws: StoreError.noSuchSnapshot(SnapshotNumber(1))) { try world.store.setRevert(Self.state(0)) }
    }

    @Test("a repair keeps it: the origin is as half reverted as before")
    func repaired() throws {
        var world = try Self.begun()
        try world.store.setRevert(Self.state(7))
        guard case .store(let offset) = try world.store.locate(SnapshotNumber(1), 2..<3)[0].place else {
            Issue.record("chunk 2 is not in the store")
            return
        }
        world.disk.image.flip(Int(offset), 1)
        let outcome = try SnapshotStore.repair(
            device: SimulatedDevice(world.disk), origin: SimulatedDevice(world.originDisk), owner: Repairs.owner)
        #expect(outcome.isChanged)
        let next = try Repairs.take(
            SimulatedDevice(world.disk), SimulatedDevice(world.originDisk), above: world.tenure.epoch.value + 9)
        #expect(next.revert == Self.state(7))
    }

    @Test("a server that dies while the cursor moves leaves the old place or the new one")
    func dies() throws {
        for step in 0..<2 {
            var world = try Self.begun()
            world.store.device.path.requestsLeft = step
            try? world.store.setRevert(Self.state(9))
            let next = try StoreWorld(world.disk, world.originDisk, world.model, world.tenure.next)
            #expect(next.store.revert == Self.state(step == 0 ? 0 : 9))
        }
    }
}
