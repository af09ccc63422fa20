import CsnapRuntime
import Glibc

/// Snapshots are made, read and deleted while three nodes overwrite what they hold, and servers die meanwhile.
struct SnapshotUnderLoad: Scenario {
    let name = "snapshot-under-load"
    let summary = "snapshots made, read and deleted under load, while servers die"

    func play(_ stage: Stage) throws {
        try stage.startCyclicLoads()
        var known: [KnownSnapshot] = []
        for index in 1...4 {
            known.append(try stage.snapshot("before-\(index)", by: 1 + index % stage.options.nodes))
            stage.settle(seconds: 0.3)
        }
        try stage.verify(known[0], on: 2)
        try stage.verify(known[3], on: 3)
        let server = try stage.serverNow()
        try stage.fault("kill the server's process on node \(server)") {
            _ = stage.group.node(server).signalServer(SIGKILL)
        }
        try stage.waitForNewTenure()
        for node in stage.survivors { for snapshot in known { try stage.verify(snapshot, on: node) } }
        known.append(try stage.snapshot("after-1", by: 1))
        try stage.deleteSnapshot(known[1].name, by: 2)
        known.remove(at: 1)
        stage.settle(seconds: 0.5)
        known.append(try stage.snapshot("after-2", by: 2))
        let second = try stage.serverNow()
        let before = try stage.currentView().tenure
        stage.also("kill the server's process again, on node \(second)") {
            _ = stage.group.node(second).signalServer(SIGKILL)
        }
        try stage.waitForTenure(above: before)
        for node in stage.survivors { for snapshot in known { try stage.verify(snapshot, on: node) } }
        stage.stopCyclicLoads()
    }
}

/// The server's node dies with snapshots in its store; what it wrote may still land, so the next one is refused until
/// the operator says that the machine is off.
struct SnapshotThroughKillNode: Scenario {
    let name = "snapshot-kill-node"
    let summary = "snapshots survive the server's node; the next waits for its lost writer"

    func play(_ stage: Stage) throws {
        try stage.startCyclicLoads()
        let known = try stage.snapshot("before", by: 2)
        stage.settle(seconds: 0.3)
        let server = try stage.serverNow()
        try stage.fault("kill node \(server): agent, server, client") { stage.kill(server) }
        try stage.waitForNewTenure()
        for node in stage.survivors { try stage.verify(known, on: node) }
        let caller = stage.survivors[0]
        try stage.expectRefusal("writerLost", of: "refused", by: caller)
        try stage.group.command(
            caller, "Strike", ["node": .integer(Int64(server)), "fenced": .bool(true)])
        stage.mark("strike \(server) --fenced")
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
        try stage.expectRefusal("clientLate", of: "late", by: 1)
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
