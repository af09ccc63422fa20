package import ArgumentParser
import Glibc

/// `csnapctl`: the declarations from which usage, man page and completion come.
package struct ControlCommandLine: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "csnapctl",
        abstract: "See and steer a csnap group.",
        discussion: """
            Exit codes: 0 done, 1 failed, 2 usage, 3 no quorum or no server, 4 refused.
            """,
        version: "csnap 0.1",
        subcommands: [
            StatusCommand.self, WhyCommand.self, EventsCommand.self, MembersCommand.self, SessionsCommand.self,
            MetricsCommand.self,
            FoundCommand.self, LeaveCommand.self, TransferCommand.self, DisableCommand.self, EnableCommand.self,
            StrikeCommand.self, VotersCommand.self, VolumeCommand.self, SnapshotCommand.self, HoldsCommand.self,
            KeyCommand.self, CompletionCommand.self,
            SandboxCommand.self,
        ])

    package init() {}

    /// Parses, runs, and returns the exit code; every error is one or two lines on stderr.
    package static func execute(_ arguments: [String]) -> Int32 {
        let code = obey(arguments)
        guard let failure = Terminal.failure else { return code }
        // Whoever closed a pipe has read enough.
        if failure != EPIPE {
            Terminal.complain("csnapctl: standard output: \(String(cString: strerror(failure)))")
        }
        return code == 0 ? 1 : code
    }

    private static func obey(_ arguments: [String]) -> Int32 {
        do {
            var command = try parseAsRoot(arguments)
            try command.run()
            return 0
        } catch let error as CommandFailure {
            Terminal.complain(error.text)
            return error.code
        } catch {
            let code = exitCode(for: error)
            let text = fullMessage(for: error)
            if code == .success { Terminal.say(text) } else if !text.isEmpty { Terminal.complain(text) }
            // ArgumentParser's usage code is 64; ours is 2.
            return code == .validationFailure ? 2 : code.rawValue
        }
    }
}

struct CompletionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completion", abstract: "Print what a shell needs to complete csnapctl's commands.")

    @Argument(help: "bash, zsh or fish.") var shell: Shell

    enum Shell: String, CaseIterable, ExpressibleByArgument {
        case bash, zsh, fish
    }

    func run() throws {
        let shell: CompletionShell =
            switch shell {
            case .bash: .bash
            case .zsh: .zsh
            case .fish: .fish
            }
        Terminal.say(ControlCommandLine.completionScript(for: shell))
    }
}

/// Why a command did not do what was asked, with the exit code of docs/operations.md.
package struct CommandFailure: Error, Equatable {
    package var text: String
    package var code: Int32

    package static func failed(_ text: String) -> CommandFailure { CommandFailure(text: text, code: 1) }
    package static func usage(_ text: String) -> CommandFailure { CommandFailure(text: text, code: 2) }
}
