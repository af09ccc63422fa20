import CsnapCore
import CsnapStore

/// What a store that lacks room must not do again and again (docs/decisions/0094).
extension StoreRules {
    /// With each step of its own work and with each write that it refuses a full store costs nothing: afterwards it can
    /// be emptied as before. Its tree lies in several windows, and servers that died keep some room away.
    package static func vainCheckpoints() throws -> String? {
        for (nodeSize, windows, dead) in [(8192, 52, 4), (16384, 40, 3)] as [(UInt32, Int, Int)] {
            var world = try StoreWorld(
                StoreWorld.format(windows: windows, slots: 64, windowSize: 128 << 10, nodeSize: nodeSize))
            guard try fillUp(&world, dead) else { return "nodes of \(nodeSize) bytes: no room for the dead" }
            do {
                if let problem = try refusing(&world) { return "nodes of \(nodeSize) bytes: \(problem)" }
            } catch {
                return "nodes of \(nodeSize) bytes: \(error)"
            }
        }
        return nil
    }

    /// Where a copy could not be recorded, none is made.
    package static func copiesInVain() throws -> String? {
        for snapshots in 14..<17 {
            var world = try StoreWorld(StoreWorld.format(windows: 24, slots: 64))
            do {
                for _ in 0..<snapshots {
                    try world.perform(.create)
                    try world.perform(.write([1..<StoreWorld.chunks]))
                }
            } catch StoreWorldError.store(.full) { break }
            do { for _ in 0..<1000 { try world.perform(.rename) } } catch StoreWorldError.store(.full) {}
            let before = world.path.requests
            do { try world.perform(.write([0..<1])) } catch StoreWorldError.store(.full) {
                let requests = world.path.requests - before
                if requests > 0 { return "\(snapshots) snapshots: \(requests) writes and flushes in vain" }
            }
        }
        return nil
    }

    private static func refusing(_ world: inout StoreWorld) throws -> String? {
        for isLater in [false, true] {
            let before = world.path.requests
            for _ in 0..<300 {
                world.store.readersForgot(upTo: world.store.freeStamp)
                if world.store.needsMaintenance {
                    do { try world.perform(.maintain) } catch StoreWorldError.store(.full) {}
                }
                do { try world.perform(.write([0..<StoreWorld.chunks])) } catch StoreWorldError.store(.full) {}
            }
            let requests = world.path.requests - before
            if isLater, requests > 0 { return "\(requests) writes and flushes while nothing was done" }
        }
        return try world.problem() ?? emptied(&world)
    }

    /// A snapshot of several volumes that is decided is made where it is prepared, however little room there is.
    package static func decidedWithoutRoom() throws -> String? {
        for windows in [20, 32] {
            var world = try StoreWorld(StoreWorld.format(windows: windows, slots: 64))
            try world.perform(.prepare)
            try fillUp(&world)
            do { try world.perform(.commitPrepared) } catch { return "\(windows) windows: \(error)" }
            if let problem = try world.problem() ?? emptied(&world) { return "\(windows) windows: \(problem)" }
        }
        return nil
    }

    /// Servers die one after the other right after the first group of their journals: the store can be taken still.
    package static func twelveDeaths() throws -> String? {
        var world = try servedStore()
        if let refusal = try die(12, &world) { return "\(refusal)" }
        let dead = world
        var next = try StoreWorld(dead.disk, dead.originDisk, dead.model, dead.tenure.next)
        return try next.problem() ?? emptied(&next)
    }

    private static func servedStore() throws -> StoreWorld {
        var world = try StoreWorld(StoreWorld.format(windows: 80, slots: 64))
        for _ in 0..<3 {
            try world.perform(.create)
            try world.perform(.write([0..<StoreWorld.chunks]))
        }
        return world
    }

    /// Servers die before a checkpoint of theirs counts; the refusal that ends the row.
    private static func die(_ count: Int, _ world: inout StoreWorld) throws -> StoreRefusal? {
        for _ in 0..<count {
            // How long would its taking be?
            let probe = SimulatedDevice.Path()
            do throws(StoreRefusal) {
                _ = try StoreWorld(
                    SimulatedDisk(world.disk.image), world.originDisk, world.model, world.tenure.next, path: probe)
            } catch {
                return error
            }
            let path = SimulatedDevice.Path()
            // One with a checkpoint ends before that counts.
            if probe.requests > 16 { path.requestsLeft = probe.requests - 5 }
            do throws(StoreRefusal) {
                let dead = world
                world = try StoreWorld(dead.disk, dead.originDisk, dead.model, dead.tenure.next, path: path)
                world.uuid = dead.uuid
            } catch {
                guard path.isDead else { return error }
                world.tenure = world.tenure.next
                continue
            }
            try world.perform(.rename)
        }
        return nil
    }

    /// When so many have died that nobody can take the store, all are settled offline; also when that was begun before
    /// and cut short at any moment.
    package static func settlingInterrupted() throws -> String? {
        var world = try servedStore()
        guard try die(40, &world) == .unsettled else { return "the store can be taken" }
        let origin = SimulatedDevice(world.originDisk)
        for requests in stride(from: 1, to: 400, by: 9) {
            let disk = SimulatedDisk(world.disk.image)
            let dying = SimulatedDevice(disk)
            dying.path.requestsLeft = requests
            _ = try? SnapshotStore.settleAll(device: dying, origin: origin, owner: Repairs.owner)
            do throws(StoreRefusal) {
                _ = try SnapshotStore.settleAll(device: SimulatedDevice(disk), origin: origin, owner: Repairs.owner)
            } catch { return "settled after \(requests) requests of another: \(error)" }
            var tenure = world.tenure
            for _ in 0..<60 { tenure = tenure.next }
            var next = try StoreWorld(disk, world.originDisk, world.model, tenure)
            if let problem = next.problem() { return "after \(requests) requests: \(problem)" }
            if !dying.path.isDead { return nil }
        }
        return "it has no end"
    }

    /// A repair that dies at any moment leaves a store that can be taken again and again, however long its journal was.
    package static func deadRepair() throws -> String? {
        var world = try StoreWorld(StoreWorld.format(windows: 80, slots: 64))
        try world.perform(.create)
        try world.perform(.write([2..<3]))
        guard case .store(let saved) = try world.store.locate(world.model.snapshots[0].number, 2..<3)[0].place else {
            return "not saved"
        }
        for _ in 0..<58 { try world.perform(.rename) }
        for requests in 1..<100 {
            let disk = SimulatedDisk(world.disk.image)
            disk.image.flip(Int(saved) + 77, 4)
            let device = SimulatedDevice(disk)
            device.path.requestsLeft = requests
            do throws(StoreRefusal) {
                _ = try SnapshotStore.repair(
                    device: device, origin: SimulatedDevice(world.originDisk), owner: Repairs.owner)
            } catch {}
            var tenure = world.tenure
            for takeover in 1...3 {
                tenure = tenure.next.next
                do throws(StoreRefusal) {
                    let next = try StoreWorld(disk, world.originDisk, world.model, tenure)
                    let names = next.store.snapshots.map(\.about.name)
                    if names != world.model.snapshots.map(\.name) { return "snapshots \(names) after \(requests)" }
                } catch {
                    return "repair dead after \(requests) writes, takeover \(takeover): \(error)"
                }
            }
            if !device.path.isDead { return nil }
        }
        return "the repair has no end"
    }

    /// What a deletion frees in the window that is being filled is used again.
    package static func openWindowRefilled() throws -> String? {
        for windows in [20, 28] {
            var world = try StoreWorld(StoreWorld.format(windows: windows, slots: 64))
            do {
                while true {
                    try world.perform(.create)
                    try world.perform(.write([0..<2]))
                }
            } catch StoreWorldError.store(.full) {}
            let before = world.store.space.used
            // Of the last one nothing was copied; the copies of the one before are the last there are.
            for _ in 0..<2 { try world.perform(.deleteNewest) }
            try world.perform(.settle)
            if world.store.space.used == before { return "\(windows) windows: nothing is free" }
            try world.perform(.create)
            try world.perform(.write([0..<2]))
            if let problem = world.problem() { return "\(windows) windows: \(problem)" }
        }
        return nil
    }
}
