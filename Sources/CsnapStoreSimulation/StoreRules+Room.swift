import CsnapCore
import CsnapStore

/// What keeps a full store from being lost for want of room (docs/decisions/0086).
extension StoreRules {
    private static let epochs: UInt64 = 40
    /// Everybody who may have had the store before that.
    private static let everybody = (1...3).map { SettleFact.node(NodeBoot(node: NodeID($0), boot: Boot(epochs))) }

    /// Where dead servers keep all room away, the store can be taken once they are settled, and emptied then; also by
    /// the one that has it, whose journal is used up.
    package static func settledRoom() throws -> String? {
        for windows in [24, 40] {
            for renames in [0, 7, 40] {
                var locked = try StoreWorld(StoreWorld.format(windows: windows, slots: 64))
                guard let takeovers = try fillUp(&locked, renames, most: StoreLimits.unsettledTenures) else { continue }
                var last = try StoreWorld(StoreWorld.format(windows: windows, slots: 64))
                _ = try fillUp(&last, renames, most: takeovers)
                do {
                    if let problem = try takenOver(locked) ?? settled(&last) {
                        return "\(windows) windows, \(renames) renames: \(problem)"
                    }
                } catch {
                    return "\(windows) windows, \(renames) renames: \(error)"
                }
            }
        }
        return nil
    }

    /// By one server after the other, nobody settled, until there is no room for the next one. How many took it; nil:
    /// these did, and it might be taken again.
    private static func fillUp(_ world: inout StoreWorld, _ renames: Int, most: Int) throws -> Int? {
        for takeovers in 0...most {
            do {
                for _ in 0..<renames { try world.perform(.rename) }
                for _ in 0..<200 {
                    try world.perform(.write([0..<StoreWorld.chunks]))
                    try world.perform(.create)
                }
            } catch StoreWorldError.store(.full) {}
            if takeovers == most { return nil }
            do { try world.perform(.takeOver) } catch StoreWorldError.store(.full) { return takeovers }
        }
        return nil
    }

    private static func takenOver(_ locked: StoreWorld) throws -> String? {
        var next = try StoreWorld(
            locked.disk, locked.originDisk, locked.model, Tenure(epoch: Epoch(epochs), round: Round(1)),
            settled: everybody)
        next.uuid = locked.uuid
        next.version = locked.version
        return try next.problem() ?? emptied(&next)
    }

    private static func settled(_ world: inout StoreWorld) throws -> String? {
        do {
            for _ in 0..<1000 { try world.perform(.writer) }
            return "the journal of a full store has no end"
        } catch StoreWorldError.store(.full) {}
        try world.store.settle(everybody)
        try world.perform(.settle)
        return try world.problem() ?? emptied(&world)
    }

    /// In the last windows a takeover keeps the dead one's journal no longer than its first checkpoint takes, and that
    /// begins at once.
    package static func scarceRoom() throws -> String? {
        var world = try StoreWorld(StoreWorld.format(windows: 24, slots: 64))
        try fillUp(&world)
        try world.perform(.checkpoint)
        let before = world.store.space.used
        for _ in 0..<12 {
            try world.perform(.rename)
            try world.perform(.takeOver)
            try world.perform(.settle)
            let lost = Int(world.store.space.used) - Int(before)
            if lost > 0 { return "\(lost) bytes are lost" }
        }
        return world.problem()
    }

    /// Writers and deletions fill a window of the journal before they take the last one.
    package static func lastWindows() throws -> String? {
        for windows in [20, 21, 24, 36] {
            var world = try StoreWorld(StoreWorld.format(windows: windows, slots: 64))
            try fillUp(&world)
            let before = world.store.space.used
            for _ in 0..<2 { try world.perform(.writer) }
            if world.store.space.used > before {
                do { try world.perform(.takeOver) } catch StoreWorldError.store(.full) {
                    return "\(windows) windows: two records took the last one"
                }
            }
            if let problem = world.problem() { return "\(windows) windows: \(problem)" }
        }
        return nil
    }

    /// A dead server's journal is left alone while it may still write there, however little room there is.
    package static func livingJournals() throws -> String? {
        for windows in [24, 32, 40] {
            var world = try StoreWorld(StoreWorld.format(windows: windows, slots: 64))
            try fillUp(&world)
            for _ in 0..<StoreLimits.unsettledTenures {
                world.path.requestsLeft = 0
                do { try world.perform(.writer) } catch StoreWorldError.store {}
                let dead = world
                if let late = dead.path.inFlight { dead.disk.hold(late, at: .max, of: dead.tenure) }
                do throws(StoreRefusal) {
                    world = try StoreWorld(dead.disk, dead.originDisk, dead.model, dead.tenure.next)
                } catch {
                    if error == .unsettled { break }
                    throw error
                }
                do { for _ in 0..<2 { try world.perform(.writer) } } catch StoreWorldError.store(.full) {}
                if let byte = world.disk.trespass { return "\(windows) windows: byte \(byte) was written" }
            }
        }
        return nil
    }
}
