import CsnapCore
import CsnapStore
import CsnapStoreSimulation
import Testing

@Suite("Snapshot store")
struct SnapshotStoreTests {
    @Test("snapshots keep their images through writes, checkpoints, deletions and takeovers")
    func story() throws {
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        for _ in 0..<3 {
            for operation in StoreOperation.alphabet { try world.perform(operation) }
            #expect(world.problem() == nil)
        }
        #expect(!world.model.snapshots.isEmpty)
    }

    @Test("random operations against the model", arguments: 1...4 as ClosedRange<UInt64>)
    func random(seed: UInt64) throws {
        var generator = Generator(seed: seed)
        var world = try StoreWorld(StoreWorld.format(windows: 24 + Int(seed)))
        var full = 0
        for _ in 0..<80 {
            let operation: StoreOperation =
                generator.next(below: 3) == 0
                ? .write([UInt64(generator.next(below: 5))..<UInt64(6 + generator.next(below: 5))])
                : StoreOperation.alphabet[generator.next(below: StoreOperation.alphabet.count)]
            do {
                try world.perform(operation)
            } catch StoreWorldError.store(.full) {
                full += 1
                for _ in 0..<2 { try? world.perform(.deleteOldest) }
                try world.perform(.settle)
            }
        }
        #expect(world.problem() == nil)
    }

    @Test("a difference names what was written between two images, and nothing else")
    func difference() throws {
        var world = try StoreWorld(StoreWorld.format())
        try world.perform(.create)
        try world.perform(.write([1..<3]))
        try world.perform(.create)
        try world.perform(.write([2..<4, 9..<10]))
        try world.perform(.create)
        try world.perform(.write([0..<1]))
        func changed(_ from: UInt64, _ to: UInt64?, from first: UInt64 = 0) throws -> [Range<UInt64>] {
            let to = to.map { SnapshotNumber($0) }
            return try world.store.diff(SnapshotNumber(from), to, startingAt: first, limit: 100).ranges
        }
        for _ in 0..<2 {
            #expect(try changed(1, 1) == [])
            #expect(try changed(1, 2) == [1..<3])
            #expect(try changed(2, 3) == [2..<4, 9..<10])
            #expect(try changed(1, 3) == [1..<4, 9..<10])
            #expect(try changed(1, 3, from: 3) == [3..<4, 9..<10])
            #expect(try changed(3, nil) == [0..<1])
            #expect(try changed(1, nil) == [0..<4, 9..<10])
            #expect(throws: StoreError.outOfRange) { try changed(3, 1) }
            #expect(throws: StoreError.noSuchSnapshot(SnapshotNumber(7))) { try changed(1, 7) }
            // The same from the tree.
            try world.perform(.checkpoint)
        }
        let part = try world.store.diff(SnapshotNumber(3), nil, startingAt: 0, limit: 1)
        #expect(part.next == 1 && part.ranges == [0..<1])
        // One entry is looked at, and it is not of this difference.
        let older = try world.store.diff(SnapshotNumber(3), nil, startingAt: 1, limit: 1)
        #expect(older.next != nil && older.ranges == [])
        // The middle one's own entries go, the others' differences stay.
        try world.store.delete(SnapshotNumber(2))
        world.model.snapshots.remove(at: 1)
        try world.perform(.settle)
        #expect(try changed(1, 3) == [1..<4, 9..<10])
        try world.store.resize(originSize: 12 * 4096)
        #expect(try changed(3, nil) == [0..<1, 10..<12], "what an origin has grown by is another thing")
    }

    @Test("crash images of single operations")
    func crashImages() throws {
        var images = try CrashImages()
        images.enumerate(length: 1, StoreOperation.alphabet)
        #expect(images.report.problems == [])
        #expect(images.report.images > 400)
    }

    @Test("late writes of a dead server land where nobody looks")
    func lateWrites() throws {
        var late = try LateWrites()
        late.enumerate(stride: 12)
        #expect(late.report.problems == [])
        #expect(late.report.images > 100)
    }

    @Test("flipped bytes are noticed or harmless, never a wrong answer")
    func flippedBytes() throws {
        var flips = try BitFlips()
        flips.enumerate(stride: 997)
        #expect(flips.report.problems == [])
        #expect(flips.noticed > 20)
    }

    @Test("an open window is sealed only when its last write is done")
    func sealedWindow() throws {
        // Found by late writes: ten chunks over the edge of a window of eight.
        var late = try LateWrites()
        late.run([.create, .write([0..<10])], deaths: 0..<8, LateWrites.successors[0])
        #expect(late.report.problems == [])
    }
}

/// Defects of the implementation of 2006 that concern the store: one test each.
@Suite("Snapshot store, known defects of 2006")
struct StoreDefectTests {
    @Test("a copy-out error is never a grant")
    func copyOutError() throws { #expect(try StoreRules.failedCopy() == nil) }

    @Test("checksums cover all of a block")
    func checksums() throws { #expect(try StoreRules.destroyedData() == nil) }

    @Test("every durable answer is flushed")
    func flushes() throws { #expect(try StoreRules.deviceKeepsNothingUnflushed() == nil) }

    @Test("a deposed server ends before it uses new space")
    func surpassed() throws { #expect(try StoreRules.surpassed() == nil) }

    @Test("who claimed but never stood is nobody's base")
    func claimed() throws { #expect(try StoreRules.claimWithoutAnchor() == nil) }

    @Test("space is used again only when its readers have forgotten it")
    func readers() throws { #expect(try StoreRules.readersKeepTheirData() == nil) }

    @Test("an interrupted deletion leaves no listed, wrong snapshot")
    func interruptedDeletion() throws {
        var images = try CrashImages()
        images.run(CrashImages.beginnings[1], [.deleteOldest, .settle, .deleteNewest, .maintain, .maintain])
        #expect(images.report.problems == [])
    }

    @Test("priority and flags survive a takeover")
    func priority() throws {
        var world = try StoreWorld(StoreWorld.format())
        let made = try world.store.create(
            SnapshotRequest(uuid: Bits128(high: 0, low: 1), name: "one", priority: -7, flags: .pinned))
        #expect(made.about.priority == -7)
        _ = try world.store.create(SnapshotRequest(uuid: Bits128(high: 0, low: 2), name: "two", priority: 3))
        _ = try world.store.change(SnapshotNumber(2), name: "zwei", priority: 9, flags: [])
        let next = try StoreWorld(world.disk, world.originDisk, world.model, epoch: 2)
        #expect(next.store.snapshots.map { $0.about.priority } == [-7, 9])
        #expect(next.store.snapshots.map { $0.about.name } == ["one", "zwei"])
        #expect(next.store.dropCandidate(inUse: []) == SnapshotNumber(2), "the pinned one stays")
    }

    @Test("a command repeated after a fail-over finds what it made")
    func idempotent() throws {
        var world = try StoreWorld(StoreWorld.format())
        let request = SnapshotRequest(uuid: Bits128(high: 0, low: 1), name: "one")
        let made = try world.store.create(request)
        var next = try StoreWorld(world.disk, world.originDisk, world.model, epoch: 2)
        #expect(try next.store.create(request) == made)
        #expect(next.store.snapshots.count == 1)
    }

    @Test("an heir keeps every window of the journal that it inherits")
    func inheritedJournal() throws {
        // Found by `csnap-sim data`: only the windows in which a journal began were kept, and the next heir was refused.
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        for _ in 0..<30 { try world.perform(.writer) }
        try world.perform(.takeOver)
        try world.store.settle(world.store.unsettled.map { .tenure($0.tenure) })
        for _ in 0..<3 {
            try world.perform(.create)
            try world.perform(.write([0..<10]))
        }
        let next = try StoreWorld(world.disk, world.originDisk, world.model, epoch: world.epoch + 1)
        var heir = next
        #expect(heir.problem() == nil)
    }

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
        try world.store.settle([.kernelGone(machineID: Bits128(high: 0, low: 2), kernelBootID: .zero)])
        #expect(world.store.unsettled.isEmpty)
        #expect(world.store.space.quarantined == 0)
        #expect(world.problem() == nil)
    }
}
