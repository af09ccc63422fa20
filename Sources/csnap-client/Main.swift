import ArgumentParser
import CsnapRuntime
import Foundation

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
        let code = ClientProgram.run(file: config, volume: volume)
        if code != 0 { throw ExitCode(code) }
    }

    /// As ArgumentParser's own, but wrong usage is 2: systemd does not try it again.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            let code = exitCode(for: error)
            let text = fullMessage(for: error)
            let output = code.isSuccess ? FileHandle.standardOutput : FileHandle.standardError
            if !text.isEmpty { output.write(Data((text + "\n").utf8)) }
            Foundation.exit(code == .validationFailure ? 2 : code.rawValue)
        }
    }
}
