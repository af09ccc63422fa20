import CsnapCore
import CsnapSession
import CsnapStore
import CsnapStoreSimulation

/// What a server does and says, judged when it does.
extension ServerShell {
    /// Reads with the store's own eyes, of which nothing is hidden.
    func looking<Result>(_ body: (inout SnapshotStore<SimulatedPath>) -> Result) -> Result? {
        guard var store = volume?.store else { return nil }
        storePath.isOracle = true
        originPath.isOracle = true
        defer {
            storePath.isOracle = false
            originPath.isOracle = false
        }
        return body(&store)
    }

    /// D1 for every chunk of every snapshot and branch.
    func sweep() {
        guard !isDead else { return }
        let problem = looking { world.model.difference(&$0) ?? world.branches.difference(&$0) } ?? nil
        world.statistics[.sweeps] += 1
        if let problem { world.fail("D1", problem) }
    }

    /// D1: new data on the origin, where a snapshot still looks.
    func landed(_ chunk: UInt64) {
        let problem = looking { world.model.exposed(chunk, &$0) } ?? nil
        if let problem { world.fail("D1", problem) }
    }

    /// D5: there is what there was, but for what was ordered.
    func judgeImages(_ order: StoreOrder, _ volume: SimulatedVolume) {
        let problem =
            world.model.done(order, volume.store.snapshots) ?? world.branches.done(order, volume.store.branches)
        if let problem { world.fail("D5", problem) }
    }

    /// D5: what was asked for on this connection is done.
    func judgeWritten(_ request: UInt64, _ id: ConnectionID) {
        guard let asked = branchesAsked[id]?.removeValue(forKey: request) else {
            return world.fail("D5", "an answer to the write \(request) to a branch that nobody waits for")
        }
        if let problem = world.branches.problem(answering: asked.data, since: asked.since) { world.fail("D5", problem) }
    }

    /// D2: causes before their effects; and nobody's write is at the disk.
    func judgeCommit(_ order: StoreOrder) {
        guard case .commit(_, let uuid, _) = order, let image = world.model.image(of: uuid) else { return }
        world.statistics[.snapshots] += 1
        if let problem = world.probes.problem(in: image) { world.fail("D2", problem) }
    }

    /// D3, D5, D6, D10.
    func judgeGrant(_ request: UInt64, _ id: ConnectionID) {
        guard let ranges = asked[id]?[request], let speaker = speakers[id] else {
            return world.fail("D5", "a grant of request \(request) that nobody waits for")
        }
        asked[id]?[request] = nil
        world.statistics[.grants] += 1
        if let holder = world.ledger.holder(of: ranges) {
            return world.fail("D6", "node \(speaker.process.node.value) is granted a chunk that \(holder) reads")
        }
        guard let newest = world.model.newest else { return }
        world.statistics[.grantsUnderSnapshot] += 1
        let isDurable = world.store.unsynced.isEmpty
        for chunk in ranges.flatMap({ $0.first..<$0.end }) {
            let place = looking { try? $0.locate(newest, chunk..<chunk + 1).first?.place }
            guard case .store(let offset)?? = place else {
                return world.fail("D3", "chunk \(chunk) is granted, and snapshot \(newest.value) does not have it")
            }
            let bytes = world.store.durable.bytes(DataWorld.chunkSize, at: Int(offset))
            if let problem = world.model.difference(newest, Int(chunk), bytes) { return world.fail("D3", problem) }
        }
        if !isDurable, let problem = durableProblem(ranges, newest) { world.fail("D3", problem) }
    }

    /// What a successor would find if the power failed now.
    private func durableProblem(_ ranges: [ChunkRange], _ newest: SnapshotNumber) -> String? {
        let path = DiskPath()
        path.isOracle = true
        do {
            var store = try SnapshotStore.inspect(
                device: SimulatedPath(disk: SharedDisk(world.store.durable), path: path),
                origin: SimulatedPath(disk: world.origin, path: path))
            for chunk in ranges.flatMap({ $0.first..<$0.end }) {
                guard case .store = try store.locate(newest, chunk..<chunk + 1).first?.place else {
                    return "chunk \(chunk) is granted, and its place is not durable"
                }
            }
            return nil
        } catch {
            return "a grant, and the durable store says \(error)"
        }
    }

    /// The writer's record is durable before its first WELCOME.
    func judgeWelcome(_ id: ConnectionID) {
        guard let hello = speakers[id], hello.image == SessionHello.origin, let store = volume?.store else { return }
        world.statistics[.welcomes] += 1
        let record = WriterRecord(
            node: hello.process.node, machineID: hello.machineID, kernelBootID: hello.kernelBootID)
        if !store.writers.contains(record) {
            world.fail("writer", "node \(hello.process.node.value) is welcome, and the store does not know its writer")
        }
    }

    /// D11.
    func judgeStrike(_ process: NodeBoot) {
        struck.append(process)
        world.statistics[.strikes] += 1
        // In the same step: what the table says now is what is left.
        world.ledger.struck(process)
        guard let table else { return }
        if table.sessions(of: process) > 0 { world.fail("D11", "a session of \(process) is left after its strike") }
        if table.reads(of: process) > 0 { world.fail("D11", "a hold of \(process) is left after its strike") }
    }

    func judgeStruck(_ frame: ServerFrame, _ id: ConnectionID) {
        guard let speaker = speakers[id] else { return }
        if case .goAway = frame { return }
        if case .refused = frame { return }
        if struck.contains(where: { $0.node == speaker.process.node && speaker.process.boot <= $0.boot }) {
            world.fail("D11", "the struck \(speaker.process) is told \(frame)")
        }
    }
}
