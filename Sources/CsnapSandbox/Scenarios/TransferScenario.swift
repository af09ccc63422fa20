import CsnapRuntime

/// A person moves the server to another node: no error, a short pause.
struct TransferScenario: Scenario {
    let name = "transfer"
    let summary = "`csnapctl transfer` moves the server to another node"

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        guard let target = stage.survivors.last(where: { $0 != server }) else { return }
        try stage.fault("transfer to node \(target)") {
            try stage.group.command(server, "Transfer", ["node": .integer(Int64(target))])
        }
        try stage.waitForNewTenure()
        let after = try stage.currentView()
        stage.expect(after.server == target, "node \(target) should serve, got \(after.server ?? 0)")
    }
}
