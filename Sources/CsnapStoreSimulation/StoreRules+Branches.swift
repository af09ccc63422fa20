import CsnapCore
import CsnapStore

/// What branches add to the rules.
extension StoreRules {
    /// All of a branch.
    private static let whole = StoreOperation.writeBranch((0..<Int(StoreWorld.chunks)).map { BranchPart($0, 0..<4) })

    /// What a branch held is written over only when every reader has forgotten it: an answer about an earlier stamp
    /// says nothing. Then all of it comes back.
    package static func branchReadersKeepTheirData() throws -> String? {
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        for operation in [StoreOperation.create, .branch, whole, whole, .settle] { try world.perform(operation) }
        let stamp = world.store.freeStamp
        if let problem = try keepsPlace(&world, stamp) { return problem }
        try world.perform(.settle)
        if world.store.awaitsSpace { return "a sweep is due for ever" }
        let entries = try world.store.check(data: false).entries
        return entries == StoreWorld.chunks ? world.problem() : "\(entries) entries are left"
    }

    /// The same of readers that the server before had, of which nobody has heard yet.
    package static func readersOfTheDeadKeepTheirData() throws -> String? {
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        for operation in [StoreOperation.create, .branch, whole] { try world.perform(operation) }
        return try keepsPlace(&world, nil)
    }

    /// Writes a branch over and over until the store is full. `stamp`: readers have forgotten this one, and say so
    /// again and again; none: another server goes on after the first time, and hears of nobody.
    private static func keepsPlace(_ world: inout StoreWorld, _ stamp: UInt64?) throws -> String? {
        let branch = world.model.branches[0].number
        guard case .store(let offset) = try world.store.locate(branch, 0..<1)[0].place else {
            return "a chunk that was written is not in the store"
        }
        let saved = world.disk.image.bytes(StoreWorld.chunkSize, at: Int(offset))
        try world.perform(whole)
        if stamp == nil { try world.perform(.restart) }
        for _ in 0..<100 {
            do { try world.perform(whole) } catch StoreWorldError.store(.full) { return nil }
            if let stamp { world.store.readersForgot(upTo: stamp) }
            while world.store.needsMaintenance { _ = try world.store.maintain() }
            if world.disk.image.bytes(StoreWorld.chunkSize, at: Int(offset)) != saved {
                return "a chunk that a reader may still read was overwritten"
            }
        }
        return "it never became full"
    }

    /// A sweep that runs while readers look at what was overwritten leaves that for another one.
    package static func leftoverIsSwept() throws -> String? {
        var world = try StoreWorld(StoreWorld.format(windows: 40))
        for operation in [StoreOperation.create, .branch, whole, .settle, whole] { try world.perform(operation) }
        while world.store.needsMaintenance { _ = try world.store.maintain() }
        if let problem = world.problem() { return problem }
        try world.perform(.settle)
        let entries = try world.store.check(data: false).entries
        return entries == StoreWorld.chunks ? world.problem() : "\(entries) entries are left"
    }

    /// So does one after a deletion, of which all is forgotten; what is left this server sweeps later, or the next one.
    package static func deletionLeavesOverwritten() throws -> String? {
        for isTakenOver in [false, true] {
            var world = try StoreWorld(StoreWorld.format(windows: 60))
            let story: [StoreOperation] = [.create, .branch, .branch, whole, .settle, whole, whole, .deleteBranch]
            for operation in story { try world.perform(operation) }
            // All but the last overwriting.
            world.store.readersForgot(upTo: world.store.freeStamp)
            while world.store.needsMaintenance { _ = try world.store.maintain() }
            if try world.store.check(data: false).entries == StoreWorld.chunks { return "swept under readers" }
            if isTakenOver { try world.perform(.takeOver) }
            if let problem = world.problem() { return problem }
            try world.perform(.settle)
            if world.store.awaitsSpace { return "a sweep is due for ever" }
            let entries = try world.store.check(data: false).entries
            if entries != StoreWorld.chunks { return "\(entries) entries are left" }
            if let problem = world.problem() { return problem }
        }
        return nil
    }

    /// Of what finds no room nothing is there; a deletion makes room.
    package static func fullBranch() throws -> String? {
        for windows in 24..<40 {
            var world = try StoreWorld(StoreWorld.format(windows: windows))
            var isFull = false
            for operation in [StoreOperation.create, .branch] { try world.perform(operation) }
            for _ in 0..<100 where !isFull {
                do { try world.perform(whole) } catch StoreWorldError.store(.full) { isFull = true }
                if let problem = world.problem() { return "\(windows) windows: \(problem)" }
            }
            if !isFull { return "\(windows) windows: it never became full" }
            for operation in [StoreOperation.deleteBranch, .settle, .branch, whole] { try world.perform(operation) }
            if let problem = world.problem() { return "\(windows) windows, emptied: \(problem)" }
        }
        return nil
    }
}
