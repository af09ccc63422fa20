import CsnapRuntime

/// All machines lose power at once, and start again: promises and admissions were on disk.
struct PowerCut: Scenario {
    let name = "power-cut"
    let summary = "all nodes die at once and start again"

    func play(_ stage: Stage) throws {
        let nodes = stage.joined
        try stage.fault("kill all nodes at once") { stage.killAll() }
        stage.settle(seconds: 0.5)
        stage.also("all nodes start") {}
        try stage.restartAll(nodes)
        try stage.waitForNewTenure()
        stage.expectHigherEpoch(try stage.currentView())
    }
}

extension Stage {
    /// Everything at once, loads included: nothing of before survives but what is on disk.
    func killAll() {
        for node in survivors { group.faults.isolate(node, from: 1...options.nodes) }
        for node in survivors { kill(node) }
        for node in joined { retireLoad(node) }
    }

    /// Starts dead nodes together, with new loads.
    func restartAll(_ nodes: [Int]) throws {
        group.faults.healAll()
        for node in nodes { group.want(node) }
        try join(nodes)
        try startLoads()
    }
}
