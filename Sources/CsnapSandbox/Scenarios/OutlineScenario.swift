import CsnapCore
import CsnapRuntime

/// The outline of 8 October 2004 from beginning to end: one node founds and serves alone; three join, one of them with
/// the lowest id, and discover; the server's node fails; the lowest survivor serves; another joins with the lowest id
/// of all and moves nothing; a client-only node fails and is struck.
struct OutlineScenario: Scenario {
    let name = "outline"
    let summary = "the outline of 2004 from beginning to end, with six nodes"
    var nodes: Int { 6 }
    var fewestNodes: Int { 6 }

    private let founder = 3
    private let client = 6

    func witnesses(of nodes: Int) -> [Int] { [client] }

    func prepare(_ stage: Stage) throws {
        try stage.found(founder)
        try stage.startLoads()
        try stage.join([2, 4, 5])
        stage.mark("nodes 2, 4 and 5 joined; node 2 has the lowest id")
        stage.expect(try stage.serverNow() == founder, "the founder should serve when a lower id has joined")
        for node in [2, 4, 5] {
            stage.expect(stage.view(of: node)?.server == founder, "node \(node) should have found the server")
        }
        try stage.join([client])
        // Four nodes may serve: the voters grow from one to three, and a lone learner does not make them five.
        try stage.waitForVoters(3)
        try stage.startLoads()
    }

    func play(_ stage: Stage) throws {
        try stage.fault("kill node \(founder), the server's") { stage.kill(founder) }
        try stage.waitForNewTenure()
        let second = try stage.currentView()
        stage.expect(second.server == 2, "the lowest survivor, node 2, should serve, got \(second.server ?? 0)")
        try stage.also("node 1 joins, with the lowest id of all") { try stage.join([1]) }
        try stage.startLoads()
        stage.settle(seconds: 1)
        let third = try stage.currentView()
        stage.expect(
            third.server == second.server && third.tenure == second.tenure, "node 1 moved the server by joining")
        stage.also("kill node \(client), which only has a client") { stage.kill(client) }
        try stage.wait("node \(client) is evicted") {
            stage.group.status(2)?.admissions.contains {
                $0.node == UInt32(client) && $0.status != "admitted"
            } == true
        }
        stage.mark("node \(client) is struck")
        try stage.waitForWrites()
        stage.expectEachChangeOnce()
    }
}

extension Stage {
    /// Every survivor was told of each tenure's server once, in order (invariant 20).
    func expectEachChangeOnce() {
        for node in survivors {
            let told = (followers[node]?.snapshot ?? []).filter { $0.kind == "serverActive" }
                .map { [$0.epoch ?? 0, UInt64($0.round ?? 0)] }
            let ordered = zip(told, told.dropFirst()).allSatisfy { ($0[0], $0[1]) < ($1[0], $1[1]) }
            expect(!told.isEmpty && ordered, "node \(node) was not told of each server once and in order: \(told)")
        }
    }
}
