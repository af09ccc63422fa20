import ArgumentParser
import CsnapRuntime
import Glibc

/// The server of a group, started by csnap-agent; of no use by itself.
@main
struct CsnapServer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "csnap-server", abstract: "Serves the volumes of a csnap group while its agent holds the lease.",
        discussion: "csnap-agent starts it. It exits when its agent does.")

    @Option(help: "The node's configuration file.")
    var config: String

    @Option(help: "The descriptor of the socket to the agent.")
    var agentDescriptor: Int32

    @Option(name: .customLong("set"), help: "As the agent's.")
    var flags: [String] = []

    @Option(help: "The volumes in JSON, instead of the file's.")
    var volumes: String?

    @Flag(help: "Serve without the volumes whose stores fail, instead of ending.")
    var leaveOut = false

    @Option(help: "A volume to serve without; its store is not opened.")
    var without: [String] = []

    func run() throws {
        throw ExitCode(
            ServerDaemon.run(
                configurationFile: config, flags: flags, volumes: volumes, leavesOut: leaveOut, without: without,
                agentDescriptor: agentDescriptor))
    }
}
