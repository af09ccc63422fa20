import CsnapCore
import CsnapStore
import CsnapStoreSimulation
import Testing

/// Defects of the implementation of 2006 that concern the store: one test each. Those of sessions and clients are
/// listed in docs/testing.md §9 with the tests that have them.
@Suite("Snapshot store, known defects of 2006")
struct StoreDefectTests {
    @Test("copy-out errors only logged, then granted: an error to that write alone")
    func copyOutError() throws { #expect(try StoreRules.failedCopy() == nil) }

    @Test("commit checksum over three words of the block: every byte of a committed group counts")
    func commitChecksum() throws {
        var world = try StoreWorld(StoreWorld.format())
        try world.perform(.create)
        let before = world.disk.image
        try world.perform(.rename)
        // A group that is followed by another was durable: whichever of its bytes is lost, replay says so.
        try world.perform(.writer)
        let blocks = (0..<world.disk.image.size / 4096).filter {
            before.bytes(4096, at: $0 * 4096) != world.disk.image.bytes(4096, at: $0 * 4096)
        }
        let group = try #require(blocks.first) * 4096
        // Its length in bytes; behind it there is padding.
        let length = Int(world.disk.image.bytes(1, at: group + 8)[0])
        #expect(length > 64)
        for offset in group..<group + length {
            var image = world.disk.image
            image.flip(offset, 0x10)
            #expect(throws: StoreRefusal.self) {
                _ = try StoreWorld(SimulatedDisk(image), world.originDisk, world.model, world.tenure.next)
            }
        }
    }

    @Test("replay by the wrong index: every record of a journal that fills several windows comes back in its order")
    func replayOrder() throws {
        var world = try StoreWorld(StoreWorld.format(windows: 64))
        for round in 0..<12 {
            try world.perform(round % 2 == 0 ? .create : .rename)
            for chunk in 0..<StoreWorld.chunks { try world.perform(.write([chunk..<chunk + 1])) }
        }
        var next = try StoreWorld(world.disk, world.originDisk, world.model, world.tenure.next)
        #expect(next.problem() == nil)
    }

    @Test("tree root outside the journal: a power failure in a checkpoint leaves the old tree or the new one")
    func checkpointIsAtomic() throws {
        var images = try CrashImages()
        images.run(CrashImages.beginnings[2], [.checkpoint, .write([0..<10]), .checkpoint])
        #expect(images.report.problems == [])
        #expect(images.report.images > 50)
    }

    @Test("delete interrupted leaves a listed, wrong snapshot: it is there and right, or gone")
    func interruptedDeletion() throws {
        var images = try CrashImages()
        images.run(CrashImages.beginnings[1], [.deleteOldest, .settle, .deleteNewest, .maintain, .maintain])
        #expect(images.report.problems == [])
    }

    @Test("priority acknowledged but not saved: it survives a takeover, as flags and names do")
    func priority() throws {
        var world = try StoreWorld(StoreWorld.format())
        let made = try world.store.create(
            SnapshotRequest(uuid: Bits128(high: 0, low: 1), name: "one", priority: -7, flags: .pinned))
        #expect(made.about.priority == -7)
        _ = try world.store.create(SnapshotRequest(uuid: Bits128(high: 0, low: 2), name: "two", priority: 3))
        _ = try world.store.change(SnapshotNumber(2), name: "zwei", priority: 9, flags: [])
        let next = try StoreWorld(world.disk, world.originDisk, world.model, world.tenure.next)
        #expect(next.store.snapshots.map { $0.about.priority } == [-7, 9])
        #expect(next.store.snapshots.map { $0.about.name } == ["one", "zwei"])
        #expect(next.store.dropCandidate(inUse: []) == SnapshotNumber(2), "the pinned one stays")
    }

    @Test("no device flush: every durable answer is flushed")
    func flushes() throws { #expect(try StoreRules.deviceKeepsNothingUnflushed() == nil) }

    @Test("delete stops all I/O: a step of the sweep is bounded, and grants go on between two of them")
    func deletionIsPaced() throws {
        var world = try StoreWorld(StoreWorld.format(windows: 64))
        for _ in 0..<6 {
            try world.perform(.create)
            try world.perform(.write([0..<10]))
        }
        for _ in 0..<4 { try world.perform(.deleteOldest) }
        var steps = 0
        world.store.readersForgot(upTo: world.store.freeStamp)
        while world.store.needsMaintenance {
            let before = world.disk.requests
            try world.perform(.maintain)
            #expect(world.disk.requests - before < 60)
            try world.perform(.write([3..<4]))
            steps += 1
        }
        #expect(steps > 1)
        #expect(world.problem() == nil)
    }

    @Test("format obeyed from anybody: a store that a server holds is not made anew")
    func formattedStore() throws {
        // The runtime holds a lock besides; the store itself says whose it is.
        var world = try StoreWorld(StoreWorld.format())
        try world.perform(.create)
        var claim = StoreWorld.claim(world.tenure.next, UInt64(world.disk.image.size))
        claim.cluster = Bits128(high: 7, low: 7)
        #expect(throws: StoreRefusal.foreign(cluster: StoreWorld.cluster)) {
            _ = try SnapshotStore.take(
                claim, device: SimulatedDevice(world.disk), origin: SimulatedDevice(world.originDisk), settled: [])
        }
    }
}

/// The rules that no crash and no late write shows are played by `csnap-sim store`.
@Suite("Snapshot store, settling")
struct StoreSettlingTests {
    @Test("a window of a dead server comes back when it is settled, and only then")
    func settling() throws {
        var world = try StoreWorld(StoreWorld.format())
        try world.perform(.create)
        try world.perform(.write([0..<3]))
        try world.perform(.takeOver)
        #expect(world.store.unsettled.count == 1)
        #expect(world.store.space.quarantined > 0)
        try world.store.settle([.tenure(Tenure(epoch: Epoch(9), round: Round(1)))])
        #expect(world.store.unsettled.count == 1, "another tenure's end says nothing")
        let owner = world.store.unsettled[0].owner
        let other = WriterRecord(node: owner.process.node, machineID: owner.machineID, kernelBootID: .zero)
        try world.store.settle([.kernelGone(other)])
        #expect(world.store.unsettled.count == 1, "so does another kernel's")
        try world.store.settle([.kernelGone(WriterRecord(owner))])
        #expect(world.store.unsettled.isEmpty)
        #expect(world.store.space.quarantined == 0)
        #expect(world.problem() == nil)
    }
}
