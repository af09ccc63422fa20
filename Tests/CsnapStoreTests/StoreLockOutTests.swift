import CsnapCore
import CsnapStore
import CsnapStoreSimulation
import Testing

@Suite("A store that dead servers lock")
struct StoreLockOutTests {
    /// Of no node of the world.
    private static let outsider = StoreOwner(
        process: NodeBoot(node: NodeID(9), boot: Boot(0)), machineID: Bits128(high: 0, low: 9),
        kernelBootID: Bits128(high: 1, low: 9))

    /// A full store that one server after the other takes and dies with, nobody settled, until there is no room for the
    /// next one. `work`: what each does besides.
    private func lockedOut(windows: Int, work: [StoreOperation] = []) throws -> StoreWorld {
        var world = try StoreWorld(StoreWorld.format(windows: windows, slots: 64))
        for _ in 0..<StoreLimits.unsettledTenures {
            do {
                for operation in work { try world.perform(operation) }
                for _ in 0..<200 {
                    try world.perform(.write([0..<StoreWorld.chunks]))
                    try world.perform(.create)
                }
            } catch StoreWorldError.store(.full) {}
            do { try world.perform(.takeOver) } catch StoreWorldError.store(.full) { return world }
        }
        throw NeverLocked()
    }

    private struct NeverLocked: Error {}

    private func refusal(_ world: StoreWorld, _ tenure: Tenure, settled: [SettleFact] = []) -> StoreRefusal? {
        do throws(StoreRefusal) {
            _ = try StoreWorld(world.disk, world.originDisk, world.model, tenure, settled: settled)
            return nil
        } catch {
            return error
        }
    }

    private func settleAll(_ world: StoreWorld) throws(StoreRefusal) -> [Tenure] {
        try SnapshotStore.settleAll(
            device: SimulatedDevice(world.disk), origin: SimulatedDevice(world.originDisk),
            owner: Self.outsider)
    }

    @Test("it is refused by name, and taken by anybody once an operator answers for the dead", arguments: [24, 40, 72])
    func lockOut(windows: Int) throws {
        let locked = try lockedOut(windows: windows)
        let dead = locked.store.unsettled.map(\.tenure) + [locked.tenure]
        for epoch in [UInt64(40), 41] {
            #expect(refusal(locked, Tenure(epoch: Epoch(epoch), round: Round(1))) == .unsettled)
        }
        #expect(StoreRefusal.unsettled.failure == .storeUnsettled)
        #expect(StoreRefusal.unsettled.sentence("/dev/x").contains("csnapctl volume check --repair --fenced"))
        #expect(try settleAll(locked) == dead)
        // Two in a row, and the operator's own tenure is not settled for either.
        for epoch in [UInt64(50), 51] {
            var next = try StoreWorld(
                locked.disk, locked.originDisk, locked.model, Tenure(epoch: Epoch(epoch), round: Round(1)))
            next.uuid = locked.uuid
            next.version = locked.version
            #expect(next.problem() == nil, "each snapshot is what it was")
            #expect(!next.store.unsettled.contains { dead.contains($0.tenure) })
            if epoch == 50 { continue }
            for operation in [StoreOperation.deleteOldest, .deleteOldest, .settle, .write([0..<StoreWorld.chunks])] {
                try next.perform(operation)
            }
            #expect(next.problem() == nil)
        }
    }

    /// Its journals, which no checkpoint has passed, and its data fill it: the next one goes on behind a dead one's.
    @Test func aStoreWithoutAFreeWindowIsTakenOnceAllAreSettled() throws {
        let locked = try lockedOut(windows: 24, work: [StoreOperation](repeating: .rename, count: 40))
        #expect(refusal(locked, Tenure(epoch: Epoch(40), round: Round(1))) == .unsettled)
        #expect(try !settleAll(locked).isEmpty)
        var next = try StoreWorld(
            locked.disk, locked.originDisk, locked.model, Tenure(epoch: Epoch(50), round: Round(1)))
        next.uuid = locked.uuid
        next.version = locked.version
        #expect(next.problem() == nil)
        for operation in [StoreOperation.deleteOldest, .deleteOldest, .settle, .write([0..<StoreWorld.chunks])] {
            try next.perform(operation)
        }
        #expect(next.problem() == nil)
    }

    /// A repair writes beside what is there, in windows that are free.
    @Test func aDamagedStoreWithoutAnyRoomIsRefusedAndStaysAsItWas() throws {
        let locked = try lockedOut(windows: 24, work: [StoreOperation](repeating: .rename, count: 40))
        locked.disk.image.flip(StoreLayout.blockSize, 1)
        #expect(throws: StoreRefusal.noRoomToRepair) {
            try SnapshotStore.repair(
                device: SimulatedDevice(locked.disk), origin: SimulatedDevice(locked.originDisk),
                owner: Self.outsider)
        }
        var found = try SnapshotStore.inspect(
            device: SimulatedDevice(locked.disk), origin: SimulatedDevice(locked.originDisk))
        #expect(locked.model.difference(&found) == nil)
    }

    @Test func aStoreThatNobodyTookIsLeftAlone() throws {
        let format = try StoreWorld.format()
        let disk = SimulatedDisk(StoreWorld.blank(format))
        let before = disk.image
        let origin = SimulatedDevice(SimulatedDisk(DiskImage(size: Int(format.geometry.originSize))))
        let settled = try SnapshotStore.settleAll(
            device: SimulatedDevice(disk), origin: origin, owner: Self.outsider)
        #expect(settled.isEmpty)
        #expect(disk.image.bytes(before.size, at: 0) == before.bytes(before.size, at: 0))
    }
}
