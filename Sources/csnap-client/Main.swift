import ArgumentParser
import CsnapRuntime
import FoundationEssentials

/// The block device of one volume on this node.
@main
struct CsnapClient: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "csnap-client",
        abstract: "Serve a volume's origin over NBD on a Unix socket, outliving agents and servers.")

    @Option(help: "The node's configuration.")
    var config = "/etc/csnap/csnap.yaml"

    @Option(help: "The volume, as the configuration names it.")
    var volume: String

    func run() throws {
        let daemon: ClientDaemon
        do {
            let environment = ProcessInfo.processInfo.environment
            let configuration = try CsnapConfiguration.load(file: config, environment: environment)
            let options = try ClientOptions(configuration: configuration, volume: volume)
            daemon = try ClientDaemon(options: options)
            try daemon.stopOnSignals()
        } catch let error as ConfigurationError {
            ClientDaemon.logToStandardError("\(error)")
            throw ExitCode(2)
        } catch {
            ClientDaemon.logToStandardError("\(error)")
            throw ExitCode.failure
        }
        daemon.run()
    }
}
