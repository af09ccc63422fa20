import CsnapCore
import CsnapStore
import CsnapStoreSimulation
import Testing

@Suite("Checking and repairing a store")
struct StoreCheckTests {
    /// A store with three snapshots and a tree of some leaves.
    private func world() throws -> StoreWorld {
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        for _ in 0..<3 { for operation in [StoreOperation.create, .write([0..<10])] { try world.perform(operation) } }
        try world.perform(.checkpoint)
        return world
    }

    private func inspect(_ world: StoreWorld) throws -> CheckReport {
        var store = try SnapshotStore.inspect(
            device: SimulatedDevice(world.disk), origin: SimulatedDevice(world.originDisk))
        return try store.check(data: true)
    }

    private func repair(_ world: StoreWorld) throws -> RepairReport {
        try SnapshotStore.repair(
            device: SimulatedDevice(world.disk), origin: SimulatedDevice(world.originDisk), owner: Repairs.owner)
    }

    @Test("a sound store is clean, whoever looks, and a repair writes nothing")
    func clean() throws {
        let world = try world()
        let report = try inspect(world)
        #expect(report.problems == [])
        #expect(report.entries == 30)
        #expect(report.snapshots == 3)
        let requests = world.disk.image
        let outcome = try repair(world)
        #expect(!outcome.isChanged)
        #expect(world.disk.image.bytes(requests.size, at: 0) == requests.bytes(requests.size, at: 0))
    }

    @Test("destroyed data is named with its chunk; the repair marks just the snapshots that need it")
    func destroyedData() throws {
        let world = try world()
        var store = world.store
        let second = world.model.snapshots[1].number
        guard case .store(let offset) = try store.locate(second, 4..<5)[0].place else { return }
        world.disk.image.flip(Int(offset) + 9, 1)
        #expect(try inspect(world).problems == [.damagedData(chunk: 4, end: second.value)])
        let outcome = try repair(world)
        #expect(outcome.losses == [.chunks(first: 4, end: 5, snapshots: [second])])
        #expect(outcome.generation > world.store.facts.generation)
        #expect(try inspect(world).problems == [])
        let next = try Repairs.take(
            SimulatedDevice(world.disk), SimulatedDevice(world.originDisk), above: world.tenure.epoch.value + 9)
        #expect(next.snapshots.map { $0.about.flags } == [[], .damaged, []])
    }

    @Test("a disk that cannot read a sector is a finding, not the end of the check")
    func unreadable() throws {
        let world = try world()
        var store = world.store
        guard case .store(let offset) = try store.locate(SnapshotNumber(1), 0..<1)[0].place else { return }
        world.disk.unreadable = [Int(offset)..<Int(offset) + 512]
        #expect(try inspect(world).problems == [.damagedData(chunk: 0, end: 1)])
    }

    @Test("both copies of a slot, one of the format: named, and mended without a loss")
    func slots() throws {
        let world = try world()
        world.disk.image.flip(20, 1)
        // Slot 3 of 4: nobody stood there.
        for copy in 0..<2 { world.disk.image.flip(Int(StoreLayout.slotsOffset) + (6 + copy) * 4096 + 50, 1) }
        #expect(try inspect(world).problems == [.damagedSlot(3), .damagedNode(offset: 0)])
        let outcome = try repair(world)
        #expect(outcome.losses == [])
        #expect(try inspect(world).problems == [])
        var next = try Repairs.take(
            SimulatedDevice(world.disk), SimulatedDevice(world.originDisk), above: world.tenure.epoch.value + 9)
        #expect(world.model.difference(&next) == nil)
    }

    @Test("whatever byte is destroyed: after a repair the store is clean, and what is wrong was named")
    func flips() throws {
        var repairs = try Repairs()
        repairs.enumerate(stride: 211)
        #expect(repairs.report.problems == [])
        #expect(repairs.repaired > 50)
        #expect(repairs.refused < repairs.repaired / 4)
    }

    @Test("a repair that dies is finished by the next one")
    func interrupted() throws {
        var repairs = try Repairs()
        repairs.interrupt()
        #expect(repairs.report.problems == [])
        #expect(repairs.report.images > 20)
    }

    @Test("the check of a store that serves sees the same, step by step, while the store changes")
    func online() throws {
        var world = try world()
        let second = world.model.snapshots[1].number
        guard case .store(let offset) = try world.store.locate(second, 4..<5)[0].place else { return }
        world.disk.image.flip(Int(offset) + 9, 1)
        var check = world.store.beginOnlineCheck()
        var steps = 0
        while !check.isDone {
            try world.store.step(&check)
            try world.perform(steps % 2 == 0 ? .write([0..<2]) : .checkpoint)
            if steps % 3 == 0 { try world.perform(.create) }
            steps += 1
        }
        #expect(check.report.problems == [.damagedData(chunk: 4, end: second.value)])
        #expect(check.report.entries >= 30)
        #expect(check.report.nodes > 3)
        #expect(check.total >= check.report.entries)
    }

    @Test("the online check names pages of the catalog and of the space map that are destroyed")
    func onlinePages() throws {
        for kind in [UInt8(1), 2] {
            var world = try world()
            try world.perform(.checkpoint)
            let image = world.disk.image
            let pages = stride(from: Int(StoreLayout.dataOffset), to: image.size, by: 512).filter {
                image.bytes(4, at: $0) == Array("CSPG".utf8) && image.bytes(1, at: $0 + 28) == [kind]
            }
            for page in pages { world.disk.image.flip(page + 100, 1) }
            var check = world.store.beginOnlineCheck()
            while !check.isDone { try world.store.step(&check) }
            let found = check.report.problems.filter { problem in
                pages.contains { problem == .damagedNode(offset: UInt64($0)) }
            }
            #expect(found.count == 1 && check.report.problems == found, "kind \(kind): \(check.report.problems)")
        }
    }

    @Test("the online check names a node that is destroyed on the disk, though the store has it in memory")
    func onlineNode() throws {
        var world = try world()
        let image = world.disk.image
        let node = try #require(
            stride(from: Int(StoreLayout.dataOffset), to: image.size, by: 512).reversed().first {
                image.bytes(4, at: $0) == Array("CSTN".utf8)
            })
        world.disk.image.flip(node + 40, 1)
        var check = world.store.beginOnlineCheck()
        while !check.isDone { try world.store.step(&check) }
        #expect(check.report.problems == [.damagedNode(offset: UInt64(node))])
    }
}
