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
        for _ in 0..<80 {
            do {
                try world.perform(StoreOperation.random(&generator))
            } catch StoreWorldError.store(.full) {
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
        // All of them, and what may follow each: `make store-sim`.
        let alphabet = StoreOperation.alphabet
        for index in stride(from: 0, to: CrashImages.beginnings.count * alphabet.count, by: 5) {
            images.run(CrashImages.beginnings[index / alphabet.count], [alphabet[index % alphabet.count]])
        }
        #expect(images.report.problems == [])
        #expect(images.report.images > 300)
    }

    @Test("crash images of takeovers from the dead")
    func killedImages() throws {
        var images = try CrashImages()
        for operation in [StoreOperation.write([0..<10]), .takeOver, .checkpoint] {
            images.runKilled(CrashImages.beginnings[1], operation)
        }
        #expect(images.report.problems == [])
        #expect(images.report.images > 100)
    }

    @Test("late writes of a dead server land where nobody looks")
    func lateWrites() throws {
        var late = try LateWrites()
        // All of them: `make store-sim`.
        for (life, death) in zip(LateWrites.lives, [11, 29, 47, 65]) {
            late.run(life, deaths: death..<death + 1, LateWrites.successors)
        }
        #expect(late.report.problems == [])
        #expect(late.report.images > 100)
    }

    @Test("chains of killed servers, late writes of several, tenures settled meanwhile")
    func lateChains() throws {
        var chains = LateChains()
        // 4: a journal's later windows were free once their tenure was settled. 34: a window that held data when a
        // piece began had become a later tenure's journal.
        for seed in [4, 34, 41, 44] as [UInt64] { chains.run(seed: seed) }
        #expect(chains.report.problems == [])
        #expect(chains.settled > 0)
    }

    @Test("flipped bytes are noticed or harmless, never a wrong answer")
    func flippedBytes() throws {
        // `make store-sim` tries many more.
        for (var flips, parts) in zip(try BitFlips.all(), [4999, 39_989]) {
            flips.enumerate(of: parts)
            #expect(flips.report.problems == [])
            #expect(flips.report.images > 3 && flips.noticed > 0)
        }
    }

    @Test("a destroyed group at the beginning of a journal's next window is named where it lies")
    func groupInNextWindow() throws {
        // Found by flipped bytes: the end of the window before it was named.
        var flips = try BitFlips.all()[1]
        let starts = flips.journalStarts
        #expect(starts.count > 2)
        for start in starts.suffix(3) { flips.flip(start + 40, 0x80) }
        #expect(flips.report.problems == [])
    }

    @Test("a destroyed page of the space map is an error to the writes that need it, not the end of the server")
    func spaceMap() throws {
        var world = try StoreWorld(StoreWorld.format())
        for operation in [StoreOperation.create, .write([0..<3]), .checkpoint] { try world.perform(operation) }
        let image = world.disk.image
        let page = try #require(
            stride(from: Int(StoreLayout.dataOffset), to: image.size, by: 512).first {
                image.bytes(4, at: $0) == Array("CSPG".utf8) && image.bytes(1, at: $0 + 28) == [2]
            })
        world.disk.image.flip(page + 100, 1)
        try world.perform(.takeOver)
        let outcomes = try world.store.grant([[0..<2], [5..<6]])
        #expect(outcomes == [.granted, .damaged(offset: UInt64(page))])
        #expect(try world.store.read(SnapshotNumber(1), chunk: 1) == StoreModel.content(1, 0, StoreWorld.chunkSize))
    }

    @Test("a lost write is noticed or harmless, never a wrong answer")
    func lostWrites() throws {
        var noticed = 0
        for var flips in try BitFlips.all() {
            flips.lose(stride: 5)
            #expect(flips.report.problems == [])
            noticed += flips.noticed
        }
        #expect(noticed > 1)
    }

    @Test("an open window is sealed only when its last write is done")
    func sealedWindow() throws {
        // Found by late writes: ten chunks over the edge of a window of eight.
        var late = try LateWrites()
        late.run([.create, .write([0..<10])], deaths: 0..<8, [LateWrites.successors[0]])
        #expect(late.report.problems == [])
    }

    @Test("a node that serves again settles its earlier kernels when its present one is old, nobody else's")
    func ownKernels() throws {
        // Every takeover of this world is on the next of three nodes, with a kernel of its own.
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        for _ in 0..<3 { try world.perform(.takeOver) }
        #expect(world.store.unsettled.map { $0.tenure.epoch.value } == [1, 2, 3])
        let owner = StoreWorld.claim(world.tenure, 0).owner
        try world.store.settle([.own(owner, isKernelOld: false)])
        #expect(world.store.unsettled.count == 3)
        try world.store.settle([.own(owner, isKernelOld: true)])
        #expect(world.store.unsettled.map { $0.tenure.epoch.value } == [2, 3])
    }

    @Test("an heir keeps every window of the journal that it inherits")
    func inheritedJournal() throws {
        // Found by `csnap-sim data`: only windows in which a journal began were kept, and the next heir was refused.
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        for _ in 0..<30 { try world.perform(.writer) }
        try world.perform(.takeOver)
        try world.store.settle(world.store.unsettled.map { .tenure($0.tenure) })
        for _ in 0..<3 {
            try world.perform(.create)
            try world.perform(.write([0..<10]))
        }
        var heir = try StoreWorld(world.disk, world.originDisk, world.model, world.tenure.next)
        #expect(heir.problem() == nil)
    }
}
