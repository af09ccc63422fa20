import Glibc

/// The server's process hangs (SIGSTOP): no progress for `hard`, so its agent kills it and service goes on.
struct StopServer: Scenario {
    let name = "stop-server"
    let summary = "the server process hangs: service goes on elsewhere or in place"

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        try stage.fault("stop the server process on node \(server) (SIGSTOP)") {
            guard stage.group.node(server).signalServer(SIGSTOP) else {
                throw SandboxError.scenario("node \(server) has no server process")
            }
        }
        try stage.waitForNewTenure()
    }
}
