import ArgumentParser
import CsnapRuntime

struct FoundCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "found",
        abstract: "Make the group, with this node as its only voter; once, on one node.",
        discussion: "Exits with 0 if this node founded it already, with 4 if it joined a group or hears of one.")

    @OptionGroup var agent: AgentOptions

    func run() throws {
        try agent.call(waitingFor: "the agent to found the group") { try $0.command("Found") }
        Terminal.say("This node's group exists; other nodes join it through their `peers`.")
    }
}

struct LeaveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "leave", abstract: "Take this node out of the group, and end its agent.")

    @OptionGroup var agent: AgentOptions

    func run() throws {
        let note = try agent.call(waitingFor: "another voter, the clients to suspend, and the server to be handed over")
        {
            try $0.leave()
        }
        if let note { Terminal.say(note) }
    }
}

struct TransferCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "transfer", abstract: "Move the server to another node, without an I/O error.")

    @Argument(help: "The node that shall serve.") var node: UInt32
    @OptionGroup var agent: AgentOptions

    func run() throws {
        try agent.call(waitingFor: "the hand-over to node \(node)") {
            let before = try $0.status().epoch
            try $0.command("Transfer", ["node": .integer(Int64(node))])
            try waitForServer(after: before, $0)
        }
    }
}

extension TransferCommand {
    /// It is told to another server, which takes the stores first; if it cannot, somebody else serves.
    private func waitForServer(after epoch: UInt64, _ caller: AgentCaller) throws {
        let until = boottime() + 30_000_000_000
        while boottime() < until, !Interruption.isRequested {
            let status = try caller.status()
            if status.phase == "active", status.epoch > epoch, let server = status.server {
                if server == node { return }
                throw CommandFailure.failed(
                    "csnapctl: node \(server) serves, not node \(node): `csnapctl why` and the journal of node "
                        + "\(node) say more")
            }
            pause(milliseconds: 50)
        }
        throw CommandFailure(text: "csnapctl: nobody serves yet: `csnapctl why` says what it waits for", code: 3)
    }
}

struct DisableCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "disable", abstract: "Never let this node serve; its clients and its vote stay.")

    @OptionGroup var agent: AgentOptions

    func run() throws {
        try agent.call(waitingFor: "the agent to store it") { try $0.command("Disable") }
    }
}

struct EnableCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "enable", abstract: "Let this node serve again when its turn comes.")

    @OptionGroup var agent: AgentOptions

    func run() throws {
        try agent.call(waitingFor: "the agent to store it") { try $0.command("Enable") }
    }
}

struct StrikeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "strike",
        abstract: "Evict a node that should not be waited for.",
        discussion: """
            The node comes back by itself with its next boot, when it can: until then its programs stand still. So \
            one that answers is not struck unless you insist.
            """)

    @Argument(help: "The node to evict.") var node: UInt32
    @Flag(help: "You assert that the machine is off: its writes can no longer land.") var fenced = false
    @Flag(help: "Strike it although it answers.") var anyway = false
    @OptionGroup var agent: AgentOptions

    func run() throws {
        try agent.call(waitingFor: "the eviction of node \(node) to be stored by a voter majority") {
            let status = try $0.status()
            // Of who serves, and of one that is said to be off, the agent judges.
            if !anyway, !fenced, status.server != node, status.members.contains(where: isAlive) {
                throw CommandFailure(
                    text: "csnapctl: node \(node) answers: its programs would stand still until its next boot. If it "
                        + "hangs all the same: `csnapctl strike \(node) --anyway`", code: 4)
            }
            try $0.command("Strike", ["node": .integer(Int64(node)), "fenced": .bool(fenced)])
        }
    }
}

extension StrikeCommand {
    private func isAlive(_ member: MemberStatus) -> Bool { member.node == node && member.state == "alive" }
}

extension AgentOptions {
    fileprivate func voters() throws -> String {
        let status = try call(waitingFor: "the agent to answer") { try $0.status() }
        let pending = status.pendingVoters.map { " (changing to \($0.map(String.init).joined(separator: ", ")))" }
        return status.voters.map(String.init).joined(separator: ", ") + (pending ?? "")
    }
}

struct VotersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "voters", abstract: "Show or change who votes.",
        subcommands: [Show.self, Add.self, Replace.self], defaultSubcommand: Show.self)

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "show", abstract: "Show the voters.")

        @OptionGroup var agent: AgentOptions

        func run() throws {
            Terminal.say(try agent.voters())
        }
    }

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "add", abstract: "Add two voters.")

        @Argument var first: UInt32
        @Argument var second: UInt32
        @OptionGroup var agent: AgentOptions

        func run() throws {
            try agent.call(waitingFor: "both voter majorities to store the change") {
                try $0.command("AddVoters", ["voters": .array([first, second].map { .integer(Int64($0)) })])
            }
            Terminal.say("voters: \(try agent.voters())")
        }
    }

    struct Replace: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "replace", abstract: "Put one member in the place of a voter.")

        @Argument var old: UInt32
        @Argument var new: UInt32
        @OptionGroup var agent: AgentOptions

        func run() throws {
            try agent.call(waitingFor: "both voter majorities to store the change") {
                try $0.command("ReplaceVoter", ["old": .integer(Int64(old)), "new": .integer(Int64(new))])
            }
            Terminal.say("voters: \(try agent.voters())")
        }
    }
}
