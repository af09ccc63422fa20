import ArgumentParser
import CsnapRuntime
import Glibc

struct SnapshotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot",
        abstract: "Snapshots of a volume.",
        discussion: """
            A snapshot is read on every node as the NBD export 'snap/NAME' of the volume's client. A branch is \
            written there as well.
            """,
        subcommands: [
            Create.self, Branch.self, List.self, Delete.self, Rename.self, Diff.self, Revert.self, Send.self,
            Receive.self,
            Schedule.self,
        ])

    /// Which volume, and how to say the answer.
    struct Options: ParsableArguments {
        @Option(help: ArgumentHelp("The volume; not needed if the node has one.", valueName: "name"))
        var volume: String?
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var agent: AgentOptions

        func name(_ caller: AgentCaller) throws -> String {
            if let volume { return volume }
            let volumes = try caller.status().volumes
            guard volumes.count == 1, let only = volumes.first else {
                let names = volumes.map(\.name).joined(separator: ", ")
                throw CommandFailure.usage("csnapctl: which volume? Give --volume; this node has \(names)")
            }
            return only.name
        }
    }

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "create",
            abstract: "Make a snapshot of this instant.",
            discussion: """
                All nodes finish their writes, the origin is flushed, the snapshot is recorded, and all go on. Exits \
                with 4 if a node could not, and names it; nothing has changed then. Of several volumes it is one \
                instant, and each has it or none.
                """)

        @Argument(help: "Its name: 1 to 64 letters, digits and - _ . : + @.") var name: String
        @Argument(help: "The volumes; not needed if the node has one.") var volumes: [String] = []
        @Option(help: ArgumentHelp("Of an earlier call, to ask what became of it.", valueName: "uuid"))
        var uuid: String?
        @Option(help: ArgumentHelp("The lowest goes first when a full store drops snapshots.", valueName: "n"))
        var priority: Int32 = 0
        @OptionGroup var options: Options

        func validate() throws {
            guard volumes.isEmpty || options.volume == nil else {
                throw ValidationError("Name the volumes behind the snapshot's name, or one with --volume.")
            }
        }

        func run() throws {
            if volumes.count > 1 { return try createSeveral() }
            let made = try options.agent.call(waitingFor: "all nodes to finish their writes") {
                try $0.createSnapshot(try volumes.first ?? options.name($0), name, uuid: uuid, priority: priority)
            }
            if options.json { return Terminal.say(try SnapshotCommand.json(made)) }
            Terminal.say("snapshot \(made.name), number \(made.number), \(ByteText.short(made.size))")
        }

        private func createSeveral() throws {
            let made = try options.agent.call(waitingFor: "all nodes to finish their writes") {
                try $0.createSnapshots(volumes, name, uuid: uuid, priority: priority)
            }
            if options.json { return Terminal.say(try SnapshotCommand.json(made)) }
            for item in made {
                let size = ByteText.short(item.snapshot.size)
                Terminal.say("\(item.volume): snapshot \(item.snapshot.name), number \(item.snapshot.number), \(size)")
            }
        }
    }

    struct Branch: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "branch",
            abstract: "Make a writable image that begins as a snapshot.",
            discussion: """
                The branch is the NBD export 'snap/NAME' on every node, to be read and written. What is written to it \
                is durable when the write returns, and changes neither the snapshot nor the volume. The snapshot \
                cannot be deleted as long as it has branches. A branch has no snapshots of its own.
                """)

        @Argument(help: "The snapshot.") var snapshot: String
        @Argument(help: "The branch's name: 1 to 64 letters, digits and - _ . : + @.") var name: String
        @Option(help: ArgumentHelp("Of an earlier call, to ask what became of it.", valueName: "uuid"))
        var uuid: String?
        @OptionGroup var options: Options

        func run() throws {
            let made = try options.agent.call(waitingFor: "the server to store it") {
                try $0.branchSnapshot(try options.name($0), snapshot, as: name, uuid: uuid)
            }
            if options.json { return Terminal.say(try SnapshotCommand.json(made)) }
            Terminal.say("branch \(made.name) of \(snapshot), \(ByteText.short(made.size))")
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "List the snapshots and branches.")

        @OptionGroup var options: Options

        func run() throws {
            let items = try options.agent.call(waitingFor: "the server to answer") {
                try $0.snapshots(try options.name($0))
            }
            if options.json { return Terminal.say(try SnapshotCommand.json(items)) }
            for item in items {
                var line =
                    "\(item.number)\t\(ClockText.text(item.created))\t\(ByteText.short(item.size))\t\(item.name)"
                if item.priority != 0 { line += "\tpriority \(item.priority)" }
                if let base = item.base {
                    line += "\tbranch of \(items.first { $0.number == base }?.name ?? "number \(base)")"
                }
                if item.damaged { line += "\tdamaged" }
                Terminal.say(line)
            }
        }
    }

    struct Delete: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "delete", abstract: "Delete a snapshot or branch; its space comes back by and by.")

        @Argument(help: "Its name.") var name: String
        @OptionGroup var options: Options

        func run() throws {
            let volume = try options.agent.call(waitingFor: "the server to store it") {
                let volume = try options.name($0)
                try $0.command("DeleteSnapshot", ["volume": .string(volume), "name": .string(name)])
                return volume
            }
            if options.json { Terminal.say(try SnapshotCommand.json(["volume": volume, "deleted": name])) }
        }
    }

    struct Rename: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "rename", abstract: "Rename a snapshot.")

        @Argument(help: "Its name.") var name: String
        @Argument(help: "Its new name.") var newName: String
        @OptionGroup var options: Options

        func run() throws {
            let volume = try options.agent.call(waitingFor: "the server to store it") {
                let volume = try options.name($0)
                try $0.command(
                    "RenameSnapshot",
                    ["volume": .string(volume), "name": .string(name), "newName": .string(newName)])
                return volume
            }
            guard options.json else { return }
            Terminal.say(try SnapshotCommand.json(["volume": volume, "renamed": name, "name": newName]))
        }
    }

    static func json(_ value: some Encodable) throws -> String {
        String(decoding: try JSON.encode(value), as: UTF8.self)
    }
}

struct HoldsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "holds", abstract: "Who reads snapshots from the origin, and what waits for it.")

    @OptionGroup var options: SnapshotCommand.Options

    func run() throws {
        let volume = try options.agent.call(waitingFor: "the server to answer") {
            try $0.volume(try options.name($0))
        }
        if options.json { return Terminal.say(try SnapshotCommand.json(volume)) }
        for hold in volume.holds {
            Terminal.say("node \(hold.node): \(hold.reads) reads hold \(hold.chunks) chunks")
        }
        Terminal.say("\(volume.waitingWrites) writes wait")
    }
}

extension VolumeCommand {
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "List this node's volumes, as the server knows them.")

        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var agent: AgentOptions

        func run() throws {
            let volumes = try agent.call(waitingFor: "the server to answer") { caller in
                try caller.status().volumes.map { try ListedVolume($0.name, caller) }
            }
            if json { return Terminal.say(try SnapshotCommand.json(volumes)) }
            for volume in volumes {
                switch volume {
                case .served(let volume): say(volume)
                case .refused(let refusal): Terminal.say("\(refusal.name)\t\(refusal.text)")
                }
            }
        }

        private func say(_ volume: VolumeItem) {
            var line = "\(volume.name)\t\(ByteText.short(volume.originSize))\t\(volume.snapshots) snapshots\t"
            line += "\(volume.percent) % of \(ByteText.short(volume.storeSize)) used"
            if volume.quarantined > 0 { line += ", \(ByteText.short(volume.quarantined)) quarantined" }
            Terminal.say(line)
            if let revert = volume.revert {
                let what = revert.receiving ? "half received" : "half reverted to \(revert.snapshot)"
                Terminal.say("\t\(what) by node \(revert.node)")
            }
            for lost in volume.lostWriters {
                Terminal.say("\tnode \(lost.node) was lost with writes that may still land: no snapshot is made")
            }
        }
    }
}

/// What the server knows of a volume, or why it tells nothing: one whose store failed is left out, the others are not.
private enum ListedVolume: Encodable {
    case served(VolumeItem)
    case refused(Refusal)

    struct Refusal: Encodable {
        var name: String
        var refused: String
        var text: String
    }

    init(_ name: String, _ caller: AgentCaller) throws {
        do {
            self = .served(try caller.volume(name))
        } catch ControlError.refused(let code, let message) {
            self = .refused(Refusal(name: name, refused: code, text: message))
        }
    }

    func encode(to encoder: any Encoder) throws {
        switch self {
        case .served(let volume): try volume.encode(to: encoder)
        case .refused(let refusal): try refusal.encode(to: encoder)
        }
    }
}

extension VolumeCommand {
    struct Resize: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "resize",
            abstract: "Take the new size of an origin that has grown.",
            discussion: """
                Enlarge the device on all nodes first. Programs see the new size when they connect again; each \
                snapshot keeps its own.
                """)

        @Argument(help: "The volume's name in the configuration.") var name: String
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var agent: AgentOptions

        func run() throws {
            let volume = try agent.call(waitingFor: "all nodes to finish their writes") { caller in
                try caller.command("ResizeVolume", ["volume": .string(name)])
                return try caller.volume(name)
            }
            if json { return Terminal.say(try SnapshotCommand.json(volume)) }
            Terminal.say("\(name): the origin has \(ByteText.short(volume.originSize)) (\(volume.originSize) bytes)")
        }
    }
}

/// Sizes for people.
enum ByteText {
    static func short(_ bytes: UInt64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(bytes)
        var unit = 0
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10) \(units[unit])" : "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }
}

/// Dates for people, in local time.
enum ClockText {
    /// Of this node's time zone.
    static func text(_ seconds: UInt64) -> String {
        var time = time_t(clamping: seconds)
        var parts = tm()
        localtime_r(&time, &parts)
        return text(&parts, "%Y-%m-%d %H:%M:%S")
    }

    /// "2026-11-29T13:00:07Z".
    static func utc(_ seconds: UInt64) -> String {
        var time = time_t(clamping: seconds)
        var parts = tm()
        gmtime_r(&time, &parts)
        return text(&parts, "%Y-%m-%dT%H:%M:%SZ")
    }

    private static func text(_ parts: inout tm, _ format: String) -> String {
        var buffer = [CChar](repeating: 0, count: 40)
        let length = strftime(&buffer, buffer.count, format, &parts)
        return String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
