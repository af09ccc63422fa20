import CsnapCore
import CsnapStore

/// Rules that no crash and no late write shows: small stories, each with one thing that must hold.
package enum StoreRules {
    /// Each with what it tells.
    package static let all: [(name: String, problem: @Sendable () throws -> String?)] = [
        ("a copy-out that failed is no grant", failedCopy),
        ("readers keep their data", readersKeepTheirData),
        ("destroyed data is an error", destroyedData),
        ("who is surpassed ends", surpassed),
        ("a claim alone is no base", claimWithoutAnchor),
        ("answers are flushed", deviceKeepsNothingUnflushed),
        ("a repeated command finds what it made", repeatedCommand),
        ("a full store can be taken over and emptied", fullStore),
        ("the last room is for writers and deletions", lastRoom),
        ("a full store whose dead are settled can be taken", settledRoom),
        ("a takeover in the last windows takes none for long", scarceRoom),
        ("the last windows are taken last", lastWindows),
        ("a checkpoint without room costs nothing", vainCheckpoints),
        ("a node that cannot be read is an error there alone", badSector),
        ("a checkpoint in whose way damage lies costs nothing", damageInTheWay),
        ("damage of a moment is in the way for no longer", damageOfAMoment),
        ("a sweep goes past what cannot be read", sweepPastDamage),
        ("a page of the space map that cannot be read is no room, elsewhere there is", onePage),
        ("what lies under a page of the space map is freed when that can be read again", pageOfAMoment),
        ("a repair marks what it lost, and nothing else", lossOfOne),
        ("settling offline may be cut short", settlingInterrupted),
        ("nothing is copied that cannot be recorded", copiesInVain),
        ("a repair that died is a dead tenure like any other", deadRepair),
        ("what is freed where copies go is used again", openWindowRefilled),
        ("what is decided elsewhere needs no room", decidedWithoutRoom),
        ("twelve servers in a row may die", twelveDeaths),
        ("a journal goes on where nobody else may write", livingJournals),
        ("space comes back after twenty kills", twentyKills),
        ("too many unsettled tenures are refused", tooManyUnsettled),
        ("a slow claimer's list counts for nobody", slowClaimer),
        ("readers of a branch keep their data", branchReadersKeepTheirData),
        ("readers of a dead server's branch keep their data", readersOfTheDeadKeepTheirData),
        ("what a sweep goes past is swept later", leftoverIsSwept),
        ("a sweep after a deletion leaves readers what was overwritten", deletionLeavesOverwritten),
        ("a branch write without room is refused", fullBranch),
    ]

    /// The first rule that does not hold; nil: all do.
    package static func problem() throws -> String? {
        for rule in all {
            if let problem = try rule.problem() { return "\(rule.name): \(problem)" }
        }
        return nil
    }

    /// A copy-out that cannot read its origin is an error to that write, never a grant.
    package static func failedCopy() throws -> String? {
        var world = try StoreWorld(StoreWorld.format())
        try world.perform(.create)
        world.originDisk.unreadable = [3 * StoreWorld.chunkSize..<3 * StoreWorld.chunkSize + 512]
        let outcomes = try world.store.grant([[0..<2], [2..<5], [6..<7]])
        let expected: [GrantOutcome] = [.granted, .originRead(chunk: 3, .system(5)), .granted]
        return outcomes == expected ? nil : "a copy-out that failed was answered \(outcomes)"
    }

    /// Space of a deleted snapshot is written again only when every reader has forgotten it.
    package static func readersKeepTheirData() throws -> String? {
        var world = try StoreWorld(StoreWorld.format())
        try world.perform(.create)
        try world.perform(.write([0..<StoreWorld.chunks]))
        let snapshot = world.model.snapshots[0]
        guard case .store(let offset) = try world.store.locate(snapshot.number, 0..<1)[0].place else {
            return "a chunk that was saved is not in the store"
        }
        let saved = world.disk.image.bytes(StoreWorld.chunkSize, at: Int(offset))
        try world.perform(.deleteOldest)
        while world.store.needsMaintenance { _ = try world.store.maintain() }
        for _ in 0..<20 {
            try world.perform(.create)
            do { try world.perform(.write([0..<StoreWorld.chunks])) } catch StoreWorldError.store(.full) { break }
            if world.disk.image.bytes(StoreWorld.chunkSize, at: Int(offset)) != saved {
                return "a chunk that a reader may still read was overwritten"
            }
        }
        return nil
    }

    /// Saved data that is not what was saved is an error by name.
    package static func destroyedData() throws -> String? {
        var world = try StoreWorld(StoreWorld.format())
        try world.perform(.create)
        try world.perform(.write([2..<3]))
        let number = world.model.snapshots[0].number
        guard case .store(let offset) = try world.store.locate(number, 2..<3)[0].place else { return "not saved" }
        world.disk.image.flip(Int(offset) + 77, 4)
        do throws(StoreError) {
            _ = try world.store.read(number, chunk: 2)
            return "destroyed data was read as if it were whole"
        } catch {
            return error == .damagedData(number, chunk: 2) ? nil : "\(error)"
        }
    }

    /// A server that sleeps while another takes the store writes nothing but to what it had before.
    package static func surpassed() throws -> String? {
        var old = try StoreWorld(StoreWorld.format())
        try old.perform(.create)
        try old.perform(.write([0..<1]))
        var new = try StoreWorld(old.disk, old.originDisk, old.model, old.tenure.next)
        // The old one fills its window, and must not open another.
        var ended: StoreError?
        do throws(StoreError) {
            for chunk in 1..<StoreWorld.chunks { _ = try old.store.grant([[chunk..<chunk + 1]]) }
        } catch {
            ended = error
        }
        guard case .surpassed(let tenure, _) = ended, tenure == new.tenure else {
            return "a deposed server opened a window: \(String(describing: ended))"
        }
        return new.problem()
    }

    /// Who claimed but never stood is nobody's base.
    package static func claimWithoutAnchor() throws -> String? {
        var world = try StoreWorld(StoreWorld.format())
        try world.perform(.create)
        try world.perform(.write([0..<4]))
        // Both copies of the claim with their flushes, then death.
        let path = SimulatedDevice.Path(requestsLeft: 4)
        do throws(StoreRefusal) {
            _ = try StoreWorld(world.disk, world.originDisk, world.model, world.tenure.next, path: path)
            return "a dead device was taken"
        } catch {}
        var next = try StoreWorld(world.disk, world.originDisk, world.model, world.tenure.next.next)
        return next.problem()
    }

    /// All that a grant, a creation or a deletion rests on is flushed when it returns.
    package static func deviceKeepsNothingUnflushed() throws -> String? {
        var world = try StoreWorld(StoreWorld.format())
        for operation in StoreOperation.alphabet + StoreOperation.alphabet {
            do { try world.perform(operation) } catch StoreWorldError.store(.full) {}
            if operation != .maintain, !world.path.unsynced.isEmpty {
                return "\(operation) returned with unflushed writes"
            }
        }
        return nil
    }

    /// The uuid of a command is its snapshot's: asked for again after a fail-over, nothing is made twice.
    package static func repeatedCommand() throws -> String? {
        var world = try StoreWorld(StoreWorld.format())
        let request = SnapshotRequest(uuid: Bits128(high: 0, low: 1), name: "one")
        let made = try world.store.create(request)
        var next = try StoreWorld(world.disk, world.originDisk, world.model, world.tenure.next)
        let again = try next.store.create(request)
        return again == made && next.store.snapshots.count == 1 ? nil : "made twice: \(next.store.snapshots.count)"
    }

    /// What is kept for takeovers and deletion suffices for them, even if no dead server is settled.
    package static func fullStore() throws -> String? {
        var world = try StoreWorld(StoreWorld.format(windows: 72))
        do throws(StoreWorldError) {
            for _ in 0..<100 {
                try world.perform(.create)
                try world.perform(.write([0..<StoreWorld.chunks]))
            }
            return "it never became full"
        } catch {
            guard error == .store(.full) else { return "\(error)" }
        }
        let full = world.store.space
        guard full.level == .full || full.level == .critical else { return "full at \(full.percent) %" }
        for operation in [StoreOperation.takeOver, .takeOver, .deleteOldest, .deleteOldest, .takeOver, .settle] {
            try world.perform(operation)
        }
        if let problem = world.problem() { return problem }
        try world.perform(.write([0..<StoreWorld.chunks]))
        return world.problem()
    }

    /// Whoever could take a store has room for a writer's record and for a deletion, which makes more; even where dead
    /// servers that nobody has settled keep all the rest away.
    package static func lastRoom() throws -> String? {
        for windows in [24, 32, 52] {
            for takeovers in 0..<6 {
                var world = try StoreWorld(StoreWorld.format(windows: windows, slots: 64))
                guard try fillUp(&world, takeovers) else { break }
                do {
                    if let problem = try emptied(&world) { return "\(windows) windows, \(takeovers) dead: \(problem)" }
                } catch {
                    return "\(windows) windows, \(takeovers) dead: \(error)"
                }
            }
        }
        return nil
    }

    static func emptied(_ world: inout StoreWorld) throws -> String? {
        for _ in 0..<2 { try world.perform(.writer) }
        while world.model.snapshots.count > 1 {
            try world.perform(.deleteOldest)
            world.store.readersForgot(upTo: world.store.freeStamp)
            for _ in 0..<200 where world.store.needsMaintenance {
                do { try world.perform(.maintain) } catch StoreWorldError.store(.full) {}
            }
        }
        if let problem = world.problem() { return problem }
        try world.perform(.write([0..<StoreWorld.chunks]))
        return world.problem()
    }

    /// By one server after the other; false: one of them found no room at all and was refused.
    static func fillUp(_ world: inout StoreWorld, _ takeovers: Int) throws -> Bool {
        try fillUp(&world)
        for _ in 0..<takeovers {
            do { try world.perform(.takeOver) } catch StoreWorldError.store(.full) { return false }
            try fillUp(&world)
        }
        return true
    }

    /// With copies, then with records that could wait as well.
    static func fillUp(_ world: inout StoreWorld) throws {
        for operations in [[StoreOperation.create, .write([0..<StoreWorld.chunks])], [.rename]] {
            var isFull = false
            for _ in 0..<2000 where !isFull {
                do {
                    for operation in operations { try world.perform(operation) }
                } catch StoreWorldError.store(.full) {
                    isFull = true
                }
            }
        }
    }

    /// On one kernel a reaped server has nothing under way: its space comes back with its successor.
    package static func twentyKills() throws -> String? {
        var world = try StoreWorld(StoreWorld.format(windows: 24, slots: 64))
        let free = world.store.space.free
        for kill in 0..<20 {
            world.path.requestsLeft = 3 + kill * 7 % 40
            var after = world.model
            do throws(StoreWorldError) {
                for operation in [StoreOperation.create, .write([0..<6]), .deleteOldest, .checkpoint, .write([2..<9])] {
                    after = world.planned(operation)
                    after.origin = world.model.origin
                    try world.perform(operation)
                }
                after = world.model
            } catch {
                guard error == .store(.device(.stopped)) else { return "kill \(kill): \(error)" }
            }
            let dead = world
            world = try StoreWorld(dead.disk, dead.originDisk, dead.model, dead.tenure.next)
            world.uuid = dead.uuid
            world.version = dead.version
            if world.model.difference(&world.store) != nil { world.model = after }
            if world.store.unsettled.isEmpty { return "kill \(kill): nothing is kept away" }
            try world.store.settle(world.store.unsettled.map { .tenure($0.tenure) })
            if !world.store.unsettled.isEmpty || world.store.space.quarantined > 0 {
                return "kill \(kill): space is kept away though all is settled"
            }
            while world.model.snapshots.count > 2 { try world.perform(.deleteOldest) }
            try world.perform(.settle)
            if let problem = world.problem() { return "kill \(kill): \(problem)" }
        }
        while !world.model.snapshots.isEmpty { try world.perform(.deleteOldest) }
        for operation in [StoreOperation.settle, .checkpoint, .settle] { try world.perform(operation) }
        let lost = Int(free) - Int(world.store.space.free)
        return lost > 4 * 32 << 10 ? "\(lost) bytes are lost" : world.problem()
    }

    /// An anchor names so many dead tenures and no more; one that is settled makes room.
    package static func tooManyUnsettled() throws -> String? {
        var world = try StoreWorld(StoreWorld.format(windows: 120, slots: 64))
        try world.perform(.create)
        try world.perform(.write([0..<5]))
        for _ in 0..<StoreLimits.unsettledTenures { try world.perform(.takeOver) }
        do throws(StoreWorldError) {
            try world.perform(.takeOver)
            return "taken over though nobody was settled"
        } catch {
            guard error == .store(.full) else { return "\(error)" }
        }
        // The one that was refused has claimed its slot.
        let dead = SettleFact.tenure(Tenure(epoch: Epoch(1), round: Round(1)))
        var next = try StoreWorld(
            world.disk, world.originDisk, world.model, world.tenure.next.next, settled: [dead])
        return next.problem()
    }

    /// Two claim at once, and the lower one's first anchor comes late: what it lists is void.
    package static func slowClaimer() throws -> String? {
        var world = try StoreWorld(StoreWorld.format(windows: 40, slots: 16))
        try world.perform(.create)
        try world.perform(.write([0..<2]))
        // Dies with its first anchor under way: it knows the journal as far as it goes now.
        let path = SimulatedDevice.Path(requestsLeft: 5)
        do throws(StoreRefusal) {
            _ = try StoreWorld(world.disk, world.originDisk, world.model, world.tenure.next, path: path)
            return "a dead device was taken"
        } catch {}
        guard let anchor = path.inFlight else { return "no anchor was under way" }
        // The one before has not noticed yet; its grant is as good as any.
        try world.perform(.write([4..<5]))
        var next = try StoreWorld(world.disk, world.originDisk, world.model, world.tenure.next.next)
        world.disk.image.write(anchor)
        try next.perform(.rename)
        var last = try StoreWorld(next.disk, next.originDisk, next.model, next.tenure.next)
        return last.problem()
    }
}
