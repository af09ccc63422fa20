import Glibc

/// All nodes write a branch of a snapshot, and one of them reads what the others wrote, while the origin is written,
/// snapshots come and go, and servers die, at last with their node.
struct BranchThroughFailover: Scenario {
    let name = "branch-through-failover"
    let summary = "a branch that all nodes write while servers die has all that was answered; its snapshot is unchanged"

    /// A server dies in each.
    private static let rounds = 4

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        let reader = stage.survivors.last { $0 != server } ?? stage.options.nodes
        try stage.startCyclicLoads(chainWithout: server)
        let base = try stage.snapshot("base", by: reader)
        try stage.startBranch("branch", of: base.name, by: reader, chainWithout: server)
        guard let reading = stage.startReadingBranch(on: reader) else { return }
        defer { reading.stop() }
        for round in 1...Self.rounds {
            let node = 1 + round % stage.options.nodes
            try stage.killingServer(round % 2 == 0) { try stage.snapshot("s\(round)", by: node) }
            try stage.killingServer(round % 2 == 1) { try stage.deleteSnapshot("s\(round)", by: node) }
            try stage.waitForBranchWrites()
            try stage.verify(base, on: node)
        }
        let last = try stage.serverNow()
        stage.expect(last == server, "the server should be replaced on node \(server), not \(last)")
        let before = try stage.currentView().tenure
        stage.also("kill node \(server): agent, server, client") { stage.kill(server) }
        let killedAt = boottime()
        try stage.waitForTenure(above: before)
        try stage.waitForBranchWrites()
        try stage.wait("node \(reader) has read the branch on") {
            reading.hasSpanned(killedAt) || reading.record.error != nil
        }
        reading.stop()
        stage.judge(reading)
        stage.stopBranch()
        for node in stage.survivors {
            try stage.verifyBranch(on: node)
            try stage.verify(base, on: node)
        }
        stage.stopCyclicLoads()
    }
}
