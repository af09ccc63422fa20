import Glibc

/// Everything on the server's node hangs (a paused virtual machine), and goes on later with its old beliefs.
struct StopNode: Scenario {
    let name = "stop-node"
    let summary = "the server's node is paused as a whole, and goes on later"

    func play(_ stage: Stage) throws {
        let number = try stage.serverNow()
        let node = stage.group.node(number)
        try stage.fault("stop node \(number): agent, server, client (SIGSTOP)") {
            stage.impair(number)
            node.signalAgent(SIGSTOP)
            node.signalServer(SIGSTOP)
            node.signalClient(SIGSTOP)
        }
        try stage.waitForNewTenure()
        let after = try stage.currentView()
        stage.expect(after.server != number, "another node should serve, not node \(number)")
        stage.settle(seconds: 1)
        stage.also("let node \(number) go on") {
            node.signalServer(SIGCONT)
            node.signalClient(SIGCONT)
            node.signalAgent(SIGCONT)
        }
        try stage.waitForReturn(of: number)
        stage.settle(seconds: 1)
        stage.expect(try stage.currentView().server == after.server, "the server moved again when the node went on")
    }
}
