import CsnapRuntime

/// The server's node dies, and then another while the group recovers from that.
struct CascadeScenario: Scenario {
    let name = "cascade"
    let summary = "the server's node dies, then another one inside the recovery (4 or 5 nodes)"
    var nodes: Int { 4 }
    var fewestNodes: Int { 4 }

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        let voters = stage.group.status(server)?.voters.map(Int.init) ?? []
        let next = stage.survivors.filter { $0 != server }.min() ?? 0
        // With five voters the new holder itself may die; with three, only a learner.
        let second = voters.count >= 5 ? next : stage.survivors.last { !voters.contains($0) } ?? 0
        let witness = stage.survivors.first { $0 != server && $0 != second } ?? 0
        try stage.fault("kill node \(server), the server's") { stage.kill(server) }
        try stage.wait("the next recovery has begun") {
            stage.followers[witness]?.snapshot.contains { event in
                event.kind == "recovering" && event.at >= stage.faultAt ?? 0
            } == true
        }
        stage.also("kill node \(second) inside the recovery") { stage.kill(second) }
        try stage.waitForNewTenure()
        stage.expectHigherEpoch(try stage.currentView())
    }
}
