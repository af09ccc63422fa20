import CsnapCore
import Glibc

/// The server's process dies alone: its agent starts another in place, in the same epoch and the next round.
struct KillServer: Scenario {
    let name = "kill-server"
    let summary = "the server process dies alone: restarted in place, same epoch, next round"

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        try stage.fault("kill the server process on node \(server)") {
            guard stage.group.node(server).signalServer(SIGKILL) else {
                throw SandboxError.scenario("node \(server) has no server process")
            }
        }
        try stage.waitForNewTenure()
        let after = try stage.currentView()
        stage.expect(after.server == server, "node \(server) should serve again, got \(after.server ?? 0)")
        stage.expect(
            after.tenure.epoch == stage.before?.tenure.epoch, "the epoch should stay: \(after.tenure.epoch.value)")
    }
}
