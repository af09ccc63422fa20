import ArgumentParser
import CsnapRuntime
import Foundation

@main
struct AgentMain: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "csnap-agent",
        abstract: "The clustered snapshot daemon: finds the group, agrees on one server, runs it.",
        discussion: """
            Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage or configuration, 75 start again with a new \
            boot, 76 a newer process of this node is alive: do not start again.
            """)

    @Option(help: "The configuration; FILE.d/*.yaml and CSNAP_* variables come after it.")
    var config = "/etc/csnap/csnap.yaml"

    @Flag(help: "Check the configuration, print it with the source of each value, and exit.")
    var check = false

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("One key of the configuration; wins over all else.", valueName: "key=value"))
    var flags: [String] = []

    func run() throws {
        let code =
            check ? AgentProgram.check(file: config, flags: flags) : AgentProgram.run(file: config, flags: flags)
        if code != 0 { throw ExitCode(code) }
    }

    /// As ArgumentParser's own, but wrong usage is 2.
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
