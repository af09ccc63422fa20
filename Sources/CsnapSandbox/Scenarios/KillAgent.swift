import Glibc

/// The agent of the server's node dies: its server dies with it, its client lives on, no client sees an error.
struct KillAgent: Scenario {
    let name = "kill-agent"
    let summary = "the agent of the server's node dies and is started again; its client lives on"

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        let client = stage.group.node(server).clientPid
        try stage.fault("kill the agent of node \(server)") { stage.group.node(server).signalAgent(SIGKILL) }
        try stage.waitForNewTenure()
        stage.expectHigherEpoch(try stage.currentView())
        stage.expect(stage.group.node(server).clientPid == client, "the client of node \(server) was restarted")
    }
}
