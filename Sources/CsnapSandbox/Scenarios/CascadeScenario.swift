import CsnapRuntime

/// The server's node dies, and then another while the group recovers from that.
struct CascadeScenario: Scenario {
    let name = "cascade"
    let summary = "the server's node dies, then inside the recovery a learner (4 nodes) or the new holder (5)"
    var nodes: Int { 4 }
    var fewestNodes: Int { 4 }

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        let voters = stage.group.status(server)?.voters.map(Int.init) ?? []
        let others = stage.survivors.filter { $0 != server }.sorted()
        guard let next = others.first, let last = others.last else { return }
        // With five voters the new holder itself may die; with three, only a learner.
        let isHolder = voters.count >= 5
        let second = isHolder ? next : others.last { !voters.contains($0) } ?? last
        let witness = others.first { $0 != second && $0 != last } ?? last
        try stage.fault("kill node \(server), the server's") {
            stage.kill(server)
            // One node does not hear the new holder, whose recovery waits for it until it dies itself.
            if isHolder { stage.group.faults.cut(from: next, to: last) }
        }
        var claimant: UInt32?
        try stage.wait("the next recovery has begun") {
            claimant = stage.news("recovering", at: witness).first?.peer
            return claimant != nil
        }
        stage.also("kill node \(second) inside the recovery") { stage.kill(second) }
        if isHolder { stage.group.faults.heal(from: next, to: last) }
        try stage.waitForNewTenure()
        let after = try stage.currentView()
        stage.expectHigherEpoch(after)
        guard isHolder else { return }
        stage.expect(claimant == UInt32(next), "node \(next) should have been the new holder")
        let wasActive = stage.survivors.contains { node in
            stage.news("serverActive", at: node).contains { $0.peer == UInt32(next) }
        }
        stage.expect(!wasActive, "node \(next) became active before it died")
        stage.expect(after.server == witness, "node \(witness) should serve after both")
    }
}

extension Stage {
    /// What that node told since the fault.
    fileprivate func news(_ kind: String, at node: Int) -> [EventItem] {
        followers[node]?.snapshot.filter { $0.kind == kind && $0.at >= faultAt ?? 0 } ?? []
    }
}
