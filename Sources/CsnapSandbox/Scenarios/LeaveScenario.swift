/// The server's node leaves the group: a planned hand-over, then its agent ends.
struct LeaveScenario: Scenario {
    let name = "leave"
    let summary = "the server's node leaves the group: a planned hand-over"

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        try stage.fault("node \(server) leaves") {
            stage.forget(server)
            try? stage.group.command(server, "Leave")
        }
        try stage.waitForNewTenure()
        try stage.wait("the agent of node \(server) has ended") { stage.group.node(server).agentPid == nil }
        let exit = stage.group.node(server).lastExit
        stage.expect(exit == 0, "the agent of node \(server) should exit with 0, it did with \(exit ?? -1)")
        let after = try stage.currentView()
        stage.expect(after.server != server, "another node should serve, not node \(server)")
    }
}
