import ArgumentParser
import CsnapRuntime
import Glibc

struct KeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "The group's key.", subcommands: [Generate.self, Rotate.self])

    struct Generate: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "generate",
            abstract: "Write a new key file, mode 0600; copy it to every node over a channel you trust.")

        @Argument(help: "The file to make; it must not exist.") var file = "/etc/csnap/cluster.key"

        func run() throws {
            let descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else {
                if errno == EEXIST {
                    throw CommandFailure(
                        text: "\(file): \(lastError()). A key is never overwritten: move it away first.", code: 4)
                }
                throw CommandFailure.failed("\(file): \(lastError())")
            }
            defer { close(descriptor) }
            let bytes = Array(KeyText.generate().utf8)
            guard write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0,
                DaemonUser.own(descriptor)
            else {
                let reason = lastError()
                // A key is never overwritten, so half of one would be in the way.
                unlink(file)
                throw CommandFailure.failed("\(file): \(reason)")
            }
            Terminal.say("\(file): copy it to every node of the group, owner \(DaemonUser.name), mode 0600.")
        }
    }
}

extension KeyRotation: ExpressibleByArgument {}

extension KeyCommand {
    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate",
            abstract: "Change the group's key in three steps, without a restart.",
            discussion: """
                begin: add a second key here, copy the file to all nodes, reload their agents.
                switch: make the second the first, in the file of every node; reload.
                finish: take the old one away, in the file of every node; reload.
                Each step is done on all nodes before the next begins.
                """)

        @Argument(help: "begin, switch or finish.") var step: KeyRotation
        @Argument(help: "The key file.") var file = "/etc/csnap/cluster.key"

        func run() throws {
            do {
                try step.apply(to: file)
            } catch let error as KeyRotationError {
                throw CommandFailure(text: "\(error)", code: 4)
            } catch {
                throw CommandFailure.failed("\(error)")
            }
            let copy = step == .begin ? "copy it to every node" : "do the same on every node"
            Terminal.say("\(file): \(copy), and `systemctl reload csnap-agent` everywhere, before the next step.")
        }
    }
}

/// `64M`, `2G`, or plain bytes.
package struct ByteCount: ExpressibleByArgument, Equatable {
    package var value: UInt64

    package init?(argument: String) {
        let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40]
        let unit = argument.last.flatMap { units[Character($0.uppercased())] }
        guard let number = UInt64(unit == nil ? argument : String(argument.dropLast())) else { return nil }
        let (value, isTooMuch) = number.multipliedReportingOverflow(by: unit ?? 1)
        guard !isTooMuch else { return nil }
        self.value = value
    }
}

struct VolumeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "volume", abstract: "Volumes: an origin and its snapshot store.",
        subcommands: [Create.self, List.self, Check.self, Resize.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "create",
            abstract: "Format the snapshot store of a volume; once, on one node, before the group uses it.")

        @Argument(help: "The volume's name in the configuration.") var name: String
        @Option(help: ArgumentHelp("The origin; else from --config.", valueName: "path")) var origin: String?
        @Option(help: ArgumentHelp("The store; else from --config.", valueName: "path")) var store: String?
        @Option(
            help: ArgumentHelp(
                "Bytes of a store that is a new file; K, M, G or T behind the number counts in 1024s.",
                valueName: "bytes"))
        var size: ByteCount?
        @Flag(help: "Lose what is there.") var force = false
        @Option(help: ArgumentHelp("The configuration.", valueName: "file")) var config = "/etc/csnap/csnap.yaml"

        func run() throws {
            var paths = (origin: origin, store: store)
            if origin == nil || store == nil {
                let volume = try ConfigurationPaths.volume(name, in: config)
                paths = (origin ?? volume.origin, store ?? volume.store)
            }
            guard let origin = paths.origin, let store = paths.store else { return }
            do {
                _ = try VolumeFormatter.create(path: store, origin: origin, storeSize: size?.value, force: force)
            } catch {
                switch error {
                case .notBlank, .isOrigin, .inUse: throw CommandFailure(text: "\(error)", code: 4)
                case .system, .format, .write: throw CommandFailure.failed("\(error)")
                }
            }
            Terminal.say("\(name): \(store) is the snapshot store of \(origin).")
        }
    }
}
