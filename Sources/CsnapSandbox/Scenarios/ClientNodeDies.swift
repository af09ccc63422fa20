import CsnapRuntime

/// A node that does not serve dies: it is struck; nobody else pauses.
struct ClientNodeDies: Scenario {
    let name = "client-node-dies"
    let summary = "a node that does not serve dies: it is struck, the others do not pause"

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        guard let victim = stage.survivors.last(where: { $0 != server }) else { return }
        try stage.fault("kill node \(victim): agent, client") { stage.kill(victim) }
        try stage.wait("node \(victim) is evicted") {
            stage.group.status(server)?.admissions.contains {
                $0.node == UInt32(victim) && $0.status != "admitted"
            } == true
        }
        stage.mark("node \(victim) is struck")
        try stage.expectUnmoved()
    }
}
