import ArgumentParser
import CsnapRuntime
import FoundationEssentials
import Glibc

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
            throw ExitCode((error as? ClientError)?.exitCode ?? 1)
        }
        daemon.run()
    }

    /// As ArgumentParser's own, but wrong usage is 2: systemd does not try it again.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            let code = exitCode(for: error)
            let text = fullMessage(for: error)
            if !text.isEmpty { code.isSuccess ? print(text) : ClientDaemon.logToStandardError(text) }
            exit(withCode: code == .validationFailure ? 2 : code.rawValue)
        }
    }

    private static func exit(withCode code: Int32) -> Never { Glibc.exit(code) }
}
