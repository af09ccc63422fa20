import Glibc

/// The server's agent hangs (SIGSTOP) while its server runs on: the server must stop by its own lease check before
/// another may serve. A build without that check shows two servers here.
struct StopAgent: Scenario {
    let name = "stop-agent"
    let summary = "the agent of the server's node hangs: its server stops by itself, another node serves"

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        try stage.fault("stop the agent of node \(server) (SIGSTOP)") {
            stage.impair(server)
            stage.group.node(server).signalAgent(SIGSTOP)
        }
        try stage.waitForNewTenure()
        let after = try stage.currentView()
        stage.expect(after.server != server, "another node should serve, not node \(server)")
        stage.expectHigherEpoch(after)
        // Longer than the 3 s of a client's ping: a server that serves on without its lease is caught answering one.
        stage.settle(seconds: 4)
        stage.also("let the agent of node \(server) go on") { stage.group.node(server).signalAgent(SIGCONT) }
        try stage.waitForReturn(of: server)
        stage.settle(seconds: 1)
        stage.expect(
            try stage.currentView().server == after.server, "the server moved again when the agent went on")
    }
}
