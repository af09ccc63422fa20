import CsnapCore
import CsnapRuntime

/// The server's machine dies: the lowest survivor takes over, every other client goes on.
struct KillNode: Scenario {
    let name = "kill-node"
    let summary = "the server's node dies: agent, server and client at once"

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        try stage.fault("kill node \(server): agent, server, client") { stage.kill(server) }
        try stage.waitForNewTenure()
        let after = try stage.currentView()
        let lowest = stage.survivors.min()
        stage.expect(
            after.server == lowest,
            "the lowest survivor should serve: wanted node \(lowest ?? 0), got \(after.server ?? 0)")
        stage.expectHigherEpoch(after)
    }
}

extension Stage {
    /// The node that serves, active.
    package func serverNow() throws -> Int {
        guard let server = try currentView().server else { throw SandboxError.scenario("nobody serves") }
        return server
    }

    func expectHigherEpoch(_ after: ServiceView) {
        guard let before else { return }
        expect(
            after.tenure.epoch > before.tenure.epoch,
            "the epoch should have risen above \(before.tenure.epoch.value), it is \(after.tenure.epoch.value)")
    }

    func expectUnmoved() throws {
        let after = try currentView()
        expect(
            after.server == before?.server && after.tenure == before?.tenure,
            "the server should not have moved: it was node \(before?.server ?? 0) in "
                + "\(before?.tenure.text ?? "none"), it is node \(after.server ?? 0) in \(after.tenure.text)")
    }
}
