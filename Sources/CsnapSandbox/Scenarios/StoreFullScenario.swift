import CsnapCore
import CsnapRuntime
import Glibc

/// Snapshots are made until the store is full: writes wait by name, none fails, no snapshot is wrong. The full store is
/// taken over, and deleting snapshots lets the writes go on.
struct StoreFull: Scenario {
    let name = "store-full"
    let summary = "a full store holds writes by name, through a fail-over, until snapshots are deleted"
    /// 72 windows: room for some dozen snapshots of what the loads overwrite.
    let storeSize: UInt64 = 80 << 20

    func play(_ stage: Stage) throws {
        try stage.startCyclicLoads()
        var known: [KnownSnapshot] = []
        while try !stage.storeIsFull(), known.count < 100 {
            known.append(try stage.snapshot("fill-\(known.count + 1)", by: 1 + known.count % stage.options.nodes))
            // Each round of the loads fills the next part of the store.
            stage.settle(seconds: 0.5)
        }
        try stage.wait("the server says that writes wait for room") { try stage.storeIsFull() }
        try stage.expectEvent("storeSpace")
        for node in stage.survivors { try stage.verify(known[0], on: node) }
        let server = try stage.serverNow()
        try stage.fault("kill the server's process on node \(server), with its store full") {
            _ = stage.group.node(server).signalServer(SIGKILL)
        }
        // No write may complete; but all clients are resumed.
        try stage.wait("the full store is taken over, and all clients are resumed") {
            stage.survivors.allSatisfy { node in
                guard let view = stage.view(of: node), let before = stage.before else { return false }
                return view.isActive && view.resumed && view.tenure > before.tenure
            }
        }
        for snapshot in [known[0], known[known.count - 1]] { try stage.verify(snapshot, on: 2) }
        for snapshot in known.dropLast() { try stage.deleteSnapshot(snapshot.name, by: 1) }
        try stage.wait("no write waits for room any more") { try !stage.storeIsFull() }
        try stage.waitForWrites()
        let after = try stage.snapshot("after", by: 3)
        stage.settle(seconds: 0.3)
        for node in stage.survivors {
            try stage.verify(known[known.count - 1], on: node)
            try stage.verify(after, on: node)
        }
        // Without snapshots no write needs the store: the loads go on as long as they are judged.
        for snapshot in [known[known.count - 1], after] { try stage.deleteSnapshot(snapshot.name, by: 2) }
        try stage.waitForWrites()
        stage.stopCyclicLoads()
    }
}

extension Stage {
    /// Whether the server's agent names the wait.
    package func storeIsFull() throws -> Bool {
        guard let server = try? serverNow(), let status = group.status(server) else { return false }
        return status.waits.contains { $0.kind == "storeFull" }
    }

    /// Some agent has told of it.
    package func expectEvent(_ kind: String) throws {
        try wait("the event \(kind)") {
            self.survivors.contains { node in
                let events = try? AgentCaller(path: self.group.directory.controlSocket(node)).events(since: nil)
                return events?.contains { $0.kind == kind } ?? false
            }
        }
    }
}
