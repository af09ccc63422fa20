import ArgumentParser
import CsnapRuntime
import Glibc

/// Which agent a command speaks to.
struct AgentOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The agent's control socket.", valueName: "path"))
    var socket: String?

    @Option(help: ArgumentHelp("The agent's configuration, to find its socket.", valueName: "file"))
    var config: String?

    init() {}

    static let defaultSocket = "/run/csnap/agent.sock"

    /// `--socket`, else the runtime directory of `--config`, else the default.
    func path() throws -> String {
        if let socket { return socket }
        guard let config else { return AgentOptions.defaultSocket }
        return try ConfigurationPaths.controlSocket(config)
    }

    /// The NBD socket of this node's client of that volume, in the same directory.
    func volumeSocket(_ volume: String) throws -> String { try runtime().volumeSocket(volume) }

    /// Where the control socket is.
    func runtime() throws -> RuntimeDirectory {
        let socket = try path()
        return RuntimeDirectory(socket.lastIndex(of: "/").map { String(socket[..<$0]) } ?? ".")
    }

    /// Longer than an agent tries to get an answer of the server's, nanoseconds.
    static let answered: Int64 = 35_000_000_000

    /// Runs `body` with a connection; says what it waits for after one second. Ctrl-C ends the wait after `patience`:
    /// `answered` for what may be done or not when its answer is not waited for.
    func call<Result>(
        waitingFor what: String, patience: Int64 = 0, _ body: (AgentCaller) throws -> Result
    ) throws -> Result {
        let begun = boottime()
        var said = false
        do {
            let caller = try AgentCaller(
                path: try path(),
                cancelled: {
                    if !said, boottime() - begun > 1_000_000_000 {
                        said = true
                        Terminal.complain("waiting for \(what)")
                    }
                    return Interruption.isRequested && boottime() - begun > patience
                })
            return try body(caller)
        } catch let error as ControlError {
            throw CommandFailure(text: "csnapctl: \(error)", code: error.exitCode)
        }
    }
}
