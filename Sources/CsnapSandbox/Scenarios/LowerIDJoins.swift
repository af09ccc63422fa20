/// A node with the lowest id of all joins: it finds the running server and moves nothing.
struct LowerIDJoins: Scenario {
    let name = "lower-id-joins"
    let summary = "a node with the lowest id joins: it discovers the server, which does not move"

    func prepare(_ stage: Stage) throws {
        try stage.found(2)
        try stage.join(Array(3...stage.options.nodes))
        try stage.waitForVoters()
        try stage.startLoads()
    }

    func play(_ stage: Stage) throws {
        try stage.fault("node 1 joins") { try stage.join([1]) }
        try stage.startLoads()
        try stage.waitForWrites()
        stage.settle(seconds: 1)
        try stage.expectUnmoved()
        stage.expect(stage.view(of: 1)?.server == 2, "node 1 should know that node 2 serves")
    }
}
