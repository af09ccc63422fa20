import CsnapCore
import CsnapStore
import CsnapStoreSimulation
import Testing

@Suite("A full store")
struct StoreFullTests {
    /// Snapshots and writes until there is no room for another copy.
    private func full() throws -> StoreWorld {
        var world = try StoreWorld(StoreWorld.format(windows: 72, slots: 64))
        #expect(try fill(&world))
        return world
    }

    /// Writes and makes snapshots until there is no room; false: it never came to that.
    private func fill(_ world: inout StoreWorld) throws -> Bool {
        for _ in 0..<200 {
            do {
                try world.perform(.write([0..<StoreWorld.chunks]))
                try world.perform(.create)
            } catch StoreWorldError.store(.full) {
                return true
            }
        }
        return false
    }

    @Test("it is taken over again and again, no snapshot is wrong, and deleting makes room")
    func takeOver() throws {
        var world = try full()
        #expect(world.store.space.percent > 90)
        for _ in 0..<3 {
            try world.perform(.takeOver)
            #expect(world.problem() == nil)
            #expect(try fill(&world), "what the dead had open gives some room, not much")
            try world.store.settle(world.store.unsettled.map { .tenure($0.tenure) })
        }
        for _ in 0..<3 { try world.perform(.deleteOldest) }
        #expect(world.store.awaitsSpace)
        try world.perform(.settle)
        #expect(!world.store.awaitsSpace)
        try world.perform(.write([0..<StoreWorld.chunks]))
        #expect(world.problem() == nil)
    }

    /// Half of what each window gets is deleted soon. Journals need whole windows, and so does each tenure while the
    /// windows of the dead are kept away.
    @Test("half full, it has whole windows left for seven tenures more")
    func holesAreFilledBeforeWindowsRunShort() throws {
        var world = try StoreWorld(StoreWorld.format(windows: 72, slots: 64))
        for _ in 0..<70 {
            try world.perform(.create)
            try world.perform(.write([0..<4]))
            try world.perform(.create)
            try world.perform(.write([0..<4]))
            try world.perform(.deleteNewest)
            try world.perform(.settle)
        }
        #expect(world.store.space.percent < 70)
        for _ in 0..<7 {
            try world.perform(.takeOver)
            try world.perform(.write([0..<StoreWorld.chunks]))
        }
        #expect(world.problem() == nil)
    }

    @Test("marks are crossed at 80, 95 and 100 percent, and what no chunk can use counts as used")
    func levels() throws {
        let world = try full()
        let space = world.store.space
        #expect(space.level >= .critical)
        #expect(StoreLevel(percent: 79) == .ample && StoreLevel(percent: 80) == .low)
        #expect(StoreLevel(percent: 95) == .critical && StoreLevel(percent: 100) == .full)
        #expect(space.free < UInt64(world.store.facts.geometry.windowSize), "less than a window is left")
    }
}
