import Glibc

/// The server's node dies with snapshots in its store; what it wrote may still land, so the next one is refused until
/// the operator says that the machine is off.
struct SnapshotThroughKillNode: Scenario {
    let name = "snapshot-kill-node"
    let summary = "snapshots survive the server's node; the next waits for its lost writer"

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        try stage.startCyclicLoads(chainWithout: server)
        let known = try stage.snapshot("before", by: 2)
        stage.settle(seconds: 0.3)
        try stage.fault("kill node \(server): agent, server, client") { stage.kill(server) }
        try stage.waitForNewTenure()
        for node in stage.survivors { try stage.verify(known, on: node) }
        let caller = stage.survivors[0]
        try stage.expectRefusal("writerLost", of: "refused", by: caller, naming: server)
        try stage.expectWait("writerLost", about: server, by: caller)
        try stage.strikeFenced(server, by: caller)
        let after = try stage.snapshot("after", by: caller)
        stage.settle(seconds: 0.3)
        for node in stage.survivors {
            try stage.verify(known, on: node)
            try stage.verify(after, on: node)
        }
        stage.stopCyclicLoads()
    }
}

/// A client is stopped when a snapshot is made: it is named, nothing changes, and the next one succeeds.
struct ClientLateForBarrier: Scenario {
    let name = "client-late-for-barrier"
    let summary = "a stopped client makes a snapshot fail by name, and nobody else waits long"

    func play(_ stage: Stage) throws {
        try stage.startCyclicLoads()
        let late = stage.options.nodes
        try stage.fault("stop the client of node \(late)") {
            stage.impair(late)
            stage.group.node(late).signalClient(SIGSTOP)
        }
        defer { stage.group.node(late).signalClient(SIGCONT) }
        try stage.expectRefusal("clientLate", of: "late", by: 1, naming: late)
        try stage.waitForWrites()
        stage.also("continue the client of node \(late)") {
            stage.group.node(late).signalClient(SIGCONT)
        }
        try stage.waitForReturn(of: late)
        let known = try stage.snapshot("in-time", by: 1)
        stage.settle(seconds: 0.3)
        for node in stage.living { try stage.verify(known, on: node) }
        stage.stopCyclicLoads()
    }
}
