import ArgumentParser
import CsnapRuntime
import Glibc

struct SandboxCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sandbox",
        abstract: "A whole group of real processes on this machine's loopback, without root.",
        discussion: "Scenarios:\n" + summaries)

    private static var summaries: String {
        let width = Scenarios.all.map(\.name.count).max() ?? 0
        return Scenarios.all.map { story in
            "  " + story.name + String(repeating: " ", count: width - story.name.count + 2) + story.summary
        }.joined(separator: "\n")
    }

    @Option(help: "How many nodes; default 3, or what the scenario needs.") var nodes: Int?
    @Option(help: "lan, fast or wan.") var profile = "lan"
    @Option(help: "The story to play; without one the group stays up until Ctrl-C.") var scenario: String?
    @Flag(help: "One JSON object as the last line; without a scenario when the group is ready.") var json = false
    @Option(help: "Percent of the packets lost on every link.") var loss = 0.0
    @Option(help: "How long the load goes on after the fault, in seconds.") var seconds: Double?
    @Flag(help: "Leave the directory with configurations, states and logs.") var keep = false

    func validate() throws {
        guard ["lan", "fast", "wan"].contains(profile) else {
            throw ValidationError("--profile is one of lan, fast, wan")
        }
        guard (0...100).contains(loss) else { throw ValidationError("--loss is 0 to 100") }
        if let nodes, !(1...SandboxAddresses.maximumNodes).contains(nodes) {
            throw ValidationError("--nodes is 1 to \(SandboxAddresses.maximumNodes)")
        }
        guard let scenario else { return }
        guard let found = Scenarios.named(scenario) else {
            throw ValidationError("--scenario is one of " + Scenarios.all.map(\.name).joined(separator: ", "))
        }
        if let nodes, nodes < found.fewestNodes {
            throw ValidationError("\(scenario) needs at least \(found.fewestNodes) nodes")
        }
    }

    func run() throws {
        Interruption.watch()
        let story = scenario.flatMap { Scenarios.named($0) }
        let options = SandboxOptions(
            nodes: nodes ?? story?.nodes ?? 3, profile: profile, lossPercent: loss, seconds: seconds, keep: keep,
            binaries: SandboxCommand.ownDirectory())
        do {
            if let story { try play(story, options) } else { try stayUp(options) }
        } catch let error as SandboxError {
            throw CommandFailure.failed("csnapctl sandbox: \(error)")
        }
    }

    private func play(_ story: any Scenario, _ options: SandboxOptions) throws {
        let result = try ScenarioRunner(story, options: options) { Terminal.complain($0) }.run()
        for entry in result.timeline where !json { Terminal.say(entry.line) }
        for failure in result.failures { Terminal.complain("FAILED: \(failure)") }
        Terminal.say(json ? try result.json() : "  " + result.summary)
        guard result.passed else { throw ExitCode(1) }
    }

    private func stayUp(_ options: SandboxOptions) throws {
        let group = try SandboxGroup(options)
        defer { group.end() }
        let stage = Stage(group: group) { Terminal.complain($0) }
        defer { stage.stopFollowers() }
        do {
            try stage.found(1)
            if options.nodes > 1 { try stage.join(Array(2...options.nodes)) }
            // Ready means: any one node may be lost now.
            try stage.waitForVoters()
        } catch {
            for node in stage.survivors { stage.explain(node) }
            for failure in stage.failures { Terminal.complain(failure) }
            throw error
        }
        group.faults.setLoss(percent: options.lossPercent)
        let ready = ReadyLine(group)
        Terminal.say(json ? try JSON.text(ready) : ready.text(directory: group.directory.path))
        var console = SandboxConsole(group)
        while !Interruption.isRequested {
            for answer in console.obey(milliseconds: 50) { Terminal.say(answer) }
        }
    }

    /// Where this program lies: agent, server and client lie beside it.
    private static func ownDirectory() -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    }
}

/// What `csnapctl sandbox --json` prints when the group is ready; one line, stable keys.
package struct ReadyLine: Codable, Equatable, Sendable {
    package var nodes: [Node]

    package struct Node: Codable, Equatable, Sendable {
        package var node: Int
        package var agentPid: Int32
        package var serverPid: Int32
        package var clientPid: Int32
        package var nbdSocket: String
        package var controlSocket: String

        package init(
            node: Int, agentPid: Int32, serverPid: Int32, clientPid: Int32, nbdSocket: String, controlSocket: String
        ) {
            self.node = node
            self.agentPid = agentPid
            self.serverPid = serverPid
            self.clientPid = clientPid
            self.nbdSocket = nbdSocket
            self.controlSocket = controlSocket
        }
    }

    init(_ group: SandboxGroup) {
        nodes = group.nodes.map { node in
            Node(
                node: node.number, agentPid: node.agentPid ?? 0, serverPid: node.serverPid ?? 0,
                clientPid: node.clientPid ?? 0, nbdSocket: group.directory.volumeSocket(node.number),
                controlSocket: group.directory.controlSocket(node.number))
        }
    }

    package init(nodes: [Node]) { self.nodes = nodes }

    func text(directory: String) -> String {
        let socket = nodes.first?.controlSocket ?? ""
        let device = nodes.last?.nbdSocket ?? ""
        let lines = nodes.map { node in
            "  node \(node.node): agent \(node.agentPid), server \(node.serverPid), client \(node.clientPid)"
        }
        return """
            A group of \(nodes.count) nodes is up in \(directory):
            \(lines.joined(separator: "\n"))
            Look at it:
              csnapctl status --socket \(socket)
              csnapctl events --follow --socket \(socket)
              nbdinfo 'nbd+unix:///origin?socket=\(device)'
            Hurt it: kill -9, -STOP, -CONT any of the processes above.
            Ctrl-C ends it and removes everything.
            """
    }
}
