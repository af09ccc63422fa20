/// The server is cut off from all others: it stops by itself, the majority goes on, and after the healing all do.
struct PartitionScenario: Scenario {
    let name = "partition"
    let summary = "the server's node is cut off; the majority goes on; the cut heals"

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        try stage.fault("cut node \(server) off") {
            stage.impair(server)
            stage.group.faults.isolate(server, from: 1...stage.options.nodes)
        }
        try stage.waitForNewTenure()
        let after = try stage.currentView()
        stage.expect(after.server != server, "another node should serve, not node \(server)")
        stage.settle(seconds: 1)
        stage.also("heal") { stage.group.faults.healAll() }
        try stage.waitForReturn(of: server)
        stage.expect(try stage.currentView().server == after.server, "the server moved when the cut healed")
    }
}
