import CsnapCore
import CsnapStore
import CsnapStoreSimulation
import Testing

@Suite("Branches at their limits")
struct BranchEdgeTests: BranchStories {
    @Test("overwriting a large branch does not sweep all of it each time; without room, or after a takeover, it does")
    func largeBranch() throws {
        let chunks = 1200
        let geometry = StoreGeometry(
            originSize: UInt64(chunks * Self.size), storeSize: StoreLayout.dataOffset + 260 << 15,
            chunkSize: UInt32(Self.size), windowSize: 32 << 10, nodeSize: 512)
        var world = try StoreWorld(StoreFormat(store: Bits128(high: 1, low: 2), geometry: geometry, slotCount: 4))
        try world.perform(.create)
        let branch = try world.store.branch(request(1, "b"), of: SnapshotNumber(1))
        func overwrite(_ range: Range<Int>) throws -> [StoreError?] {
            try world.store.write(range.map { write(branch, at: $0 * Self.size, bytes(7, 512)) })
        }
        func maintain() throws {
            world.store.readersForgot(upTo: world.store.freeStamp)
            while world.store.needsMaintenance { _ = try world.store.maintain() }
        }
        #expect(try overwrite(0..<chunks).allSatisfy { $0 == nil })
        _ = try overwrite(0..<1)
        for _ in 0..<3 { try maintain() }
        #expect(!world.store.awaitsSpace)
        for chunk in 0..<20 {
            // A checkpoint would be due at some time.
            try world.store.checkpointNow()
            #expect(try overwrite(chunk..<chunk + 1) == [nil])
            world.store.readersForgot(upTo: world.store.freeStamp)
            #expect(world.store.awaitsSpace && !world.store.needsMaintenance)
        }
        // All of it again, until there is no room; then what was overwritten makes some.
        var isFull = false
        for round in 0..<8 {
            let outcomes = try overwrite(round * 150..<(round + 1) * 150)
            if outcomes.contains(.full) {
                isFull = true
                for _ in 0..<2 { try maintain() }
                #expect(try overwrite(round * 150..<(round + 1) * 150).allSatisfy { $0 == nil })
            }
        }
        #expect(isFull)
        try world.perform(.takeOver)
        for _ in 0..<3 { try maintain() }
        let report = try world.store.check(data: true)
        #expect(report.problems == [] && report.entries == UInt64(chunks))
    }

    @Test("many branches of several snapshots, written across groups and windows in one call")
    func many() throws {
        var world = try StoreWorld(StoreWorld.format(windows: 120))
        var generator = Generator(seed: 1)
        for round in 0..<24 {
            if round % 8 == 0 {
                try world.perform(.create)
                try world.perform(.write([0..<7]))
            }
            try world.perform(.branch)
            let first = generator.next(below: 10)
            try world.perform(.writeBranch((first..<10).map { BranchPart($0, 0..<1 + $0 % 4) }))
        }
        #expect(world.model.branches.count == 24 && world.problem() == nil)
        // More chunks than a group takes, more than three windows: 240 of them, one write in two parts.
        let branches = world.store.branches
        let writes = branches.flatMap { branch in
            (0..<10).map { write(branch, at: $0 * Self.size, bytes(UInt8(branch.number.value % 200), Self.size)) }
        }
        let halves = branches.map { write($0, at: 2 * Self.size + 1024, bytes(0xEE, 1024)) }
        #expect(try world.store.write(writes + halves) == [StoreError?](repeating: nil, count: 264))
        for _ in 0..<2 {
            for branch in branches {
                let value = bytes(UInt8(branch.number.value % 200), Self.size)
                for chunk in 0..<UInt64(10) where chunk != 2 {
                    #expect(try world.store.read(branch.number, chunk: chunk) == value)
                }
                let expected = value[..<1024] + bytes(0xEE, 1024) + value[2048...]
                #expect(try world.store.read(branch.number, chunk: 2) == Array(expected))
            }
            #expect(try world.store.check(data: true).problems == [])
            try world.perform(.checkpoint)
            try world.perform(.restart)
        }
        try world.perform(.settle)
        #expect(try world.store.check(data: true).entries == 240 + 7 * 3)
        #expect(!world.store.awaitsSpace)
        while !world.model.branches.isEmpty { try world.perform(.deleteBranch) }
        try world.perform(.settle)
        #expect(world.problem() == nil)
        #expect(try world.store.check(data: true).entries == 7 * 3)
    }

    @Test("where the old data is destroyed a partial write fails, and only that; a whole chunk mends it")
    func destroyed() throws {
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        for operation in [StoreOperation.create, .write([0..<10]), .branch, .writeBranch(StoreOperation.parts)] {
            try world.perform(operation)
        }
        let branch = world.store.branches[0]
        guard case .store(let own) = try world.store.locate(branch.number, 0..<1)[0].place,
            case .store(let base) = try world.store.locate(branch.number, 1..<2)[0].place
        else {
            Issue.record("nothing is in the store")
            return
        }
        world.disk.image.flip(Int(own) + 4000, 1)
        world.disk.unreadable = [Int(base)..<Int(base) + 512]
        let writes = (0..<3).map { write(branch, at: $0 * Self.size, bytes(7, 512)) }
        let lost = (0..<2).map { StoreError.damagedData(branch.number, chunk: UInt64($0)) }
        #expect(try world.store.write(writes) == [lost[0], lost[1], nil])
        #expect(throws: lost[0]) { try world.store.read(branch.number, chunk: 0) }
        // An older write of the same chunk makes no difference where a later one covers all of it.
        let whole = writes + (0..<2).map { write(branch, at: $0 * Self.size, bytes(8, Self.size)) }
        #expect(try world.store.write(whole) == [nil, nil, nil, nil, nil])
        #expect(try world.store.read(branch.number, chunk: 0) == bytes(8, Self.size))
        #expect(try world.store.read(branch.number, chunk: 1) == bytes(8, Self.size))
    }

    @Test("behind the end of a branch there are zeros, and nothing can be written, whatever the origin grows to")
    func end() throws {
        let geometry = StoreGeometry(
            originSize: UInt64(9 * Self.size + 1536), storeSize: StoreLayout.dataOffset + 40 << 15,
            chunkSize: UInt32(Self.size), windowSize: 32 << 10, nodeSize: 512)
        let format = try StoreFormat(store: Bits128(high: 1, low: 2), geometry: geometry, slotCount: 4)
        // The origin's device is larger than what the store knows of it, and not empty there.
        var image = DiskImage(size: 12 * Self.size)
        image.write(DiskWrite(offset: 0, bytes: bytes(9, 12 * Self.size)))
        let disk = SimulatedDisk(StoreWorld.blank(format))
        let tenure = Tenure(epoch: Epoch(1), round: Round(1))
        var store = try SnapshotStore.take(
            StoreWorld.claim(tenure, UInt64(disk.image.size)), device: SimulatedDevice(disk),
            origin: SimulatedDevice(SimulatedDisk(image)), settled: [])
        let base = try store.create(request(1, "s"))
        let branch = try store.branch(request(2, "b"), of: base.number)
        try store.resize(originSize: UInt64(12 * Self.size))
        func last() throws -> [UInt8] { try store.read(branch.number, chunk: 9) }
        #expect(try last() == bytes(9, 1536) + bytes(0, 2560))
        #expect(try store.write([write(branch, at: 9 * Self.size + 1024, bytes(1, 512))]) == [nil])
        #expect(try last() == bytes(9, 1024) + bytes(1, 512) + bytes(0, 2560))
        #expect(try store.write([write(branch, at: 9 * Self.size, bytes(2, 1536))]) == [nil])
        #expect(try last() == bytes(2, 1536) + bytes(0, 2560))
        let zeros = BranchWrite(branch: branch.number, offset: UInt64(9 * Self.size + 512), length: 512, bytes: [])
        let impossible = [
            write(branch, at: 9 * Self.size, bytes(3, 1537)), write(branch, at: 10 * Self.size, bytes(3, 512)),
            write(branch, at: Self.size - 1, bytes(3, 2)),
            BranchWrite(branch: branch.number, offset: 0, length: 2, bytes: [1]),
            BranchWrite(branch: branch.number, offset: 0, length: -1, bytes: []),
            BranchWrite(branch: branch.number, offset: .max, length: .max, bytes: []),
        ]
        let refused = [StoreError?](repeating: .outOfRange, count: impossible.count)
        #expect(try store.write([zeros] + impossible) == [nil] + refused)
        #expect(try last() == bytes(2, 512) + bytes(0, 512) + bytes(2, 512) + bytes(0, 2560))
        #expect(try store.read(branch.number, chunk: 10) == bytes(0, Self.size))
        #expect(try store.locate(branch.number, 10..<12).map { $0.place } == [.zero])
        #expect(try store.check(data: true).problems == [])
    }

    @Test("names, uuids and what is no branch")
    func refusals() throws {
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        for operation in [StoreOperation.create, .prepare, .branch] { try world.perform(operation) }
        let (base, branch) = (world.store.snapshots[0], world.store.branches[0])
        for (name, number) in [("s1", base.number), ("b3", branch.number), ("p2", SnapshotNumber(2))] {
            #expect(throws: StoreError.nameTaken(number)) {
                try world.store.branch(request(9, name), of: base.number)
            }
        }
        #expect(throws: StoreError.nameTaken(branch.number)) { try world.store.create(request(9, "b3")) }
        #expect(throws: StoreError.isBranch(branch.number)) {
            try world.store.branch(request(9, "x"), of: branch.number)
        }
        #expect(throws: StoreError.isBranch(branch.number)) {
            try world.store.diff(base.number, branch.number, startingAt: 0, limit: 1)
        }
        let nobody = SnapshotNumber(branch.number.value + 1)
        #expect(throws: StoreError.noSuchSnapshot(nobody)) { try world.store.branch(request(9, "x"), of: nobody) }
        let writes = [base.number, nobody].map { BranchWrite(branch: $0, offset: 0, length: 1, bytes: []) }
        #expect(try world.store.write(writes) == [.isNoBranch(base.number), .noSuchSnapshot(nobody)])
        #expect(world.store.dropCandidate(inUse: []) == nil)
        let changed = try world.store.change(branch.number, name: "new", priority: 3, flags: .pinned)
        world.model.branches[0].name = "new"
        world.model.branches[0].priority = 3
        for operation in [StoreOperation.takeOver, .checkpoint, .takeOver] {
            try world.perform(operation)
            #expect(world.problem() == nil && world.store.branches == [changed])
        }
        #expect(throws: StoreError.pinned(branch.number)) { try world.store.delete(branch.number) }
    }

    @Test("a leaf that held chunks of a snapshot and of a branch that is no more: all of them are named lost")
    func lostLeaf() throws {
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        let whole = (0..<10).map { BranchPart($0, 0..<4) }
        for operation in [StoreOperation.create, .write([0..<7]), .branch, .writeBranch(whole), .deleteBranch] {
            try world.perform(operation)
        }
        try world.perform(.checkpoint)
        // Of two leaves the one that begins with the first key.
        let image = world.disk.image
        let leaf = stride(from: Int(StoreLayout.dataOffset), to: image.size, by: 512).first {
            image.bytes(5, at: $0) == Array("CSTN".utf8) + [0] && image.bytes(4, at: $0 + 32) == [0, 0, 0, 0]
        }
        world.disk.image.flip(try #require(leaf) + 100, 1)
        let outcome = try SnapshotStore.repair(
            device: SimulatedDevice(world.disk), origin: SimulatedDevice(world.originDisk), owner: Repairs.owner)
        let lost: [RepairLoss] = [.chunks(first: 0, end: nil, snapshots: [world.model.snapshots[0].number])]
        #expect(outcome.losses == lost)
    }

    @Test("a server that dies in the checkpoint of its taking locks nobody out")
    func checkpointAtTaking() throws {
        var world = try StoreWorld(StoreWorld.format(windows: 60, slots: 32))
        try world.perform(.create)
        for _ in 0..<6 {
            for operation in [StoreOperation.write([0..<10]), .takeOver, .rename] { try world.perform(operation) }
        }
        for death in 8..<40 {
            let disk = SimulatedDisk(world.disk.image)
            for tenure in [world.tenure.next, world.tenure.next.next] {
                let path = SimulatedDevice.Path(requestsLeft: tenure == world.tenure.next ? death : .max)
                let next = try? StoreWorld(disk, world.originDisk, world.model, tenure, path: path)
                if tenure != world.tenure.next { #expect(next != nil, "death at \(death)") }
            }
        }
    }

    @Test("a catalog that knows no branches is read")
    func olderCatalog() throws {
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        let story: [StoreOperation] = [.create, .write([0..<10]), .create, .checkpoint]
        for operation in story { try world.perform(operation) }
        try Self.ageCatalog(world.disk)
        try world.perform(.takeOver)
        #expect(world.problem() == nil)
        for operation in [StoreOperation.branch, .writeBranch(StoreOperation.parts), .checkpoint, .takeOver] {
            try world.perform(operation)
        }
        #expect(world.problem() == nil)
    }

    /// Makes the newest checkpoint's catalog one of version 2: without the 14 bytes of branches at its end.
    private static func ageCatalog(_ disk: SimulatedDisk) throws {
        let block = StoreLayout.blockSize
        func little(_ bytes: [UInt8]) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        func number(_ count: Int, at offset: Int) -> UInt64 { little(disk.image.bytes(count, at: offset)) }
        func put(_ value: UInt64, _ count: Int, at offset: Int) {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
            disk.image.write(DiskWrite(offset: offset, bytes: bytes))
        }
        let anchors = stride(from: Int(StoreLayout.anchorsOffset), to: Int(StoreLayout.dataOffset), by: block).filter {
            disk.image.bytes(8, at: $0) == Array("CSNAPAN1".utf8) && number(8, at: $0 + 88) > 1
        }
        let first = Int(number(8, at: try #require(anchors.first) + 109))
        var pages = [first]
        while let page = pages.last, number(8, at: page + 16) > 0 { pages.append(Int(number(8, at: page + 16))) }
        let last = try #require(pages.last)
        #expect(number(1, at: first + 32) == 3 && number(4, at: last + 4) > 14)
        put(2, 1, at: first + 32)
        put(number(4, at: last + 4) - 14, 4, at: last + 4)
        var checksum: UInt64 = 0
        for (index, page) in pages.enumerated().reversed() {
            if index + 1 < pages.count { put(checksum, 4, at: page + 24) }
            checksum = UInt64(Castagnoli.checksum(disk.image.bytes(512, at: page)))
        }
        for anchor in anchors {
            put(checksum, 4, at: anchor + 117)
            put(number(4, at: anchor + 121) - 14, 4, at: anchor + 121)
            put(UInt64(Castagnoli.checksum(disk.image.bytes(block - 4, at: anchor))), 4, at: anchor + block - 4)
        }
    }
}
