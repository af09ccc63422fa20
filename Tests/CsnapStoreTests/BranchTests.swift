import CsnapCore
import CsnapStore
import CsnapStoreSimulation
import Testing

@Suite("Branches of a snapshot")
struct BranchTests: BranchStories {
    @Test("a branch shows its snapshot, then what was written to it; the snapshot and the origin stay as they are")
    func story() throws {
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        try world.perform(.write([0..<10]))
        try world.perform(.create)
        try world.perform(.write([0..<2]))
        let base = world.model.snapshots[0]
        let branch = try world.store.branch(request(1, "b"), of: base.number)
        #expect(try world.store.branch(request(1, "b"), of: base.number) == branch)
        for chunk in 0..<UInt64(10) {
            #expect(
                try world.store.read(branch.number, chunk: chunk) == world.store.read(base.number, chunk: chunk))
        }
        // Half of a chunk that is saved, half of one that is on the origin, a whole one, and two parts of one.
        let writes = [
            write(branch, at: 0, bytes(1, 2048)), write(branch, at: 5 * Self.size + 2048, bytes(2, 2048)),
            write(branch, at: 7 * Self.size, bytes(3, Self.size)), write(branch, at: 9 * Self.size, bytes(4, 512)),
            write(branch, at: 9 * Self.size + 256, bytes(5, 512)),
        ]
        #expect(try world.store.write(writes) == [nil, nil, nil, nil, nil])
        for _ in 0..<3 {
            let old = try world.store.read(base.number, chunk: 0)
            #expect(try world.store.read(branch.number, chunk: 0) == bytes(1, 2048) + old[2048...])
            let fifth = try world.store.read(base.number, chunk: 5)
            #expect(try world.store.read(branch.number, chunk: 5) == fifth[..<2048] + bytes(2, 2048))
            #expect(try world.store.read(branch.number, chunk: 7) == bytes(3, Self.size))
            let last = try world.store.read(base.number, chunk: 9)
            #expect(try world.store.read(branch.number, chunk: 9) == bytes(4, 256) + bytes(5, 512) + last[768...])
            #expect(try world.store.check(data: true).problems == [])
            try world.perform(.checkpoint)
            try world.perform(.takeOver)
        }
        #expect(throws: StoreError.hasBranch(base.number, branch.number)) { try world.store.delete(base.number) }
        try world.store.delete(branch.number)
        try world.perform(.settle)
        #expect(world.problem() == nil)
        try world.perform(.deleteOldest)
        try world.perform(.settle)
        #expect(world.problem() == nil)
        #expect(try world.store.check(data: true).entries == 0)
    }

    @Test("what is overwritten without a pause comes back, but not under a reader")
    func overwriting() throws {
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        try world.perform(.create)
        let branch = try world.store.branch(request(1, "b"), of: world.model.snapshots[0].number)
        for round in 0..<UInt8(200) {
            let writes = (0..<10).map { write(branch, at: $0 * Self.size + 1024, bytes(round, 512)) }
            #expect(try world.store.write(writes) == [StoreError?](repeating: nil, count: 10))
            world.store.readersForgot(upTo: world.store.freeStamp)
            for _ in 0..<4 where world.store.needsMaintenance { _ = try world.store.maintain() }
        }
        for _ in 0..<4 {
            world.store.readersForgot(upTo: world.store.freeStamp)
            while world.store.needsMaintenance { _ = try world.store.maintain() }
        }
        #expect(!world.store.awaitsSpace)
        let report = try world.store.check(data: true)
        #expect(report.problems == [] && report.entries == 10)
        guard case .store(let place) = try world.store.locate(branch.number, 3..<4)[0].place else {
            Issue.record("chunk 3 is not in the store")
            return
        }
        let before = world.disk.image.bytes(Self.size, at: Int(place))
        for round in 0..<UInt8(60) {
            let outcomes = try world.store.write((0..<10).map { write(branch, at: $0 * Self.size, bytes(round, 512)) })
            if outcomes.contains(.full) { break }
            while world.store.needsMaintenance { _ = try world.store.maintain() }
        }
        #expect(world.disk.image.bytes(Self.size, at: Int(place)) == before)
    }

    @Test("of writes that come together into a store that gets full, those have room that are answered so")
    func full() throws {
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        try world.perform(.create)
        let branch = try world.store.branch(request(1, "b"), of: world.model.snapshots[0].number)
        var shown = [UInt8](repeating: 0, count: 10)
        var isFull = false
        for round in UInt8(1)..<200 where !isFull {
            let writes = (0..<10).map { write(branch, at: $0 * Self.size, bytes(round, Self.size)) }
            let outcomes = try world.store.write(writes)
            isFull = outcomes.contains(.full)
            for chunk in 0..<10 {
                if outcomes[chunk] == nil { shown[chunk] = round }
                #expect(
                    try world.store.read(branch.number, chunk: UInt64(chunk)) == bytes(shown[chunk], Self.size))
            }
        }
        #expect(isFull)
    }
}
