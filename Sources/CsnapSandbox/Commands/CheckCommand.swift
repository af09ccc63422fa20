import ArgumentParser
import CsnapCore
import CsnapRuntime
import Glibc

extension VolumeCommand {
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "check",
            abstract: "Verify a snapshot store: every node, entry and saved chunk.",
            discussion: """
                Through the server, beside the I/O of all clients; or, with --offline, the device itself while no \
                server uses it: then lost space is found too. Exits with 1 if there are problems.
                """)

        @Argument(help: "The volume's name in the configuration.") var name: String
        @Flag(help: "Read the device itself; csnap must be stopped, on all nodes.") var offline = false
        @Flag(help: "Offline: mend what can be mended, and say what is lost.") var repair = false
        @Flag(help: "With --repair: you assert that no node serves the store.") var force = false
        @Flag(help: "With --repair: you assert that no server that died can write any more; its space is made free.")
        var fenced = false
        @Option(help: ArgumentHelp("Offline: the store; else from --config.", valueName: "path")) var store: String?
        @Option(help: ArgumentHelp("Offline: the origin; else from --config.", valueName: "path")) var origin: String?
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var agent: AgentOptions

        private static let defaultConfiguration = "/etc/csnap/csnap.yaml"

        func validate() throws {
            if force && !repair { throw ValidationError("--force is for --repair") }
            if fenced && !repair { throw ValidationError("--fenced is for --repair") }
        }

        func run() throws {
            let progress = ProgressBar("checking \(name)")
            let isOffline = offline || repair || store != nil
            let check = isOffline ? try runOffline(progress) : try runOnline(progress)
            progress.end()
            if json { Terminal.say(try SnapshotCommand.json(check)) } else { say(check) }
            let isClean = check.problems.isEmpty || (check.repaired == true && check.losses?.isEmpty == true)
            if !isClean { throw ExitCode(1) }
        }

        private func runOnline(_ progress: ProgressBar) throws -> VolumeCheck {
            let uuid = RandomBits.draw().hex
            return try agent.call(waitingFor: "the server to answer") { caller in
                while true {
                    let check = try caller.check(name, uuid: uuid)
                    progress.show(check.entries, of: check.total)
                    if check.done { return check }
                    guard !Interruption.isRequested else { throw CommandFailure.failed("csnapctl: interrupted") }
                    pause(milliseconds: 200)
                }
            }
        }

        private func runOffline(_ progress: ProgressBar) throws -> VolumeCheck {
            let file = agent.config ?? Self.defaultConfiguration
            var paths = (origin: origin, store: store)
            if origin == nil || store == nil {
                let volume = try ConfigurationPaths.volume(name, in: file)
                paths = (origin ?? volume.origin, store ?? volume.store)
            }
            guard let origin = paths.origin, let store = paths.store else { throw ExitCode(1) }
            do {
                let checker = try VolumeChecker(path: store, origin: origin)
                guard repair else { return try checker.check(name) { progress.show($0, of: $1) } }
                let node = try? ConfigurationPaths.node(file)
                let machine = try MachineIdentity.read(stateDirectory: node?.stateDirectory ?? "/var/lib/csnap")
                return try checker.repair(
                    name, node: NodeID(node?.id ?? 0), machine: machine, force: force, fenced: fenced
                ) { progress.show($0, of: $1) }
            } catch let error as VolumeCheckerError {
                let isRefused = if case .inUse = error { true } else { false }
                throw CommandFailure(text: "csnapctl: \(error)", code: isRefused ? 4 : 1)
            } catch let error as SystemError {
                throw CommandFailure.failed("csnapctl: \(error)")
            }
        }

        private func say(_ check: VolumeCheck) {
            for problem in check.problems { Terminal.say("\(check.name): \(problem.code): \(problem.text)") }
            if check.hasMore { Terminal.say("\(check.name): and more") }
            for loss in check.losses ?? [] { Terminal.say("\(check.name): lost: \(loss.text)") }
            if let settled = check.settled {
                Terminal.say("\(check.name): nothing is kept away any more because of \(settled) dead servers")
            }
            let counts = "\(check.snapshots) snapshots, \(check.entries) saved chunks, \(check.nodes) nodes"
            switch check.repaired {
            case true?:
                let isWhole = check.losses?.isEmpty == true
                let losses = isWhole ? "nothing is lost" : "snapshots that lost something are marked"
                Terminal.say("\(check.name): repaired; \(losses)")
            case false?: Terminal.say("\(check.name): clean, nothing to repair: \(counts)")
            case nil: Terminal.say("\(check.name): \(check.problems.isEmpty ? "clean" : "damaged"): \(counts)")
            }
        }
    }
}
