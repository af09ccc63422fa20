import CsnapRuntime
import Glibc

/// What a standing sandbox does for whoever hurts it from outside: one command a line on standard input, one line of
/// JSON in answer (docs/operations.md, "Sandbox").
///
/// A console and not signals or flags, because a script needs it per node and in the midst of its story: process ids
/// change with each restart, and a dead machine is one that nobody starts again.
struct SandboxConsole {
    private let group: SandboxGroup
    private var pending: [UInt8] = []
    private var isOpen = true

    /// Longer lines are no commands.
    private static let maximumLine = 256

    init(_ group: SandboxGroup) { self.group = group }

    /// Waits at most that long for input and obeys the lines that are complete. Returns the answers.
    mutating func obey(milliseconds: Int32) -> [String] {
        var input = pollfd(fd: isOpen ? 0 : -1, events: Int16(POLLIN), revents: 0)
        guard poll(&input, 1, milliseconds) > 0 else { return [] }
        var buffer = [UInt8](repeating: 0, count: 1024)
        let count = read(0, &buffer, buffer.count)
        guard count > 0 else {
            // Its end is no command: the group stays until a signal comes.
            if count == 0 || errno != EINTR { isOpen = false }
            return []
        }
        pending += buffer[0..<count]
        var answers: [String] = []
        while let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
            answers.append(answer(to: String(decoding: pending[0..<end], as: UTF8.self)))
            pending.removeSubrange(0...end)
        }
        if pending.count > SandboxConsole.maximumLine {
            pending = []
            answers.append(SandboxConsole.refusal("a line of more than \(SandboxConsole.maximumLine) bytes"))
        }
        return answers
    }

    private func answer(to line: String) -> String {
        let words = line.split(separator: " ").map(String.init)
        guard let command = ConsoleCommand(words, nodes: group.nodes.count) else {
            return SandboxConsole.refusal(
                "\"\(line)\" is none of: nodes; traffic; hold N; free N, with N from 1 to \(group.nodes.count)")
        }
        switch command {
        case .nodes: return SandboxConsole.text(ReadyLine(group))
        case .traffic: return SandboxConsole.text(TrafficLine(group))
        case .hold(let node): group.node(node).hold(true)
        case .free(let node): group.node(node).hold(false)
        }
        return "{}"
    }

    private static func refusal(_ text: String) -> String { self.text(["error": text]) }

    private static func text(_ value: some Encodable) -> String {
        (try? JSON.text(value)) ?? #"{"error":"no JSON"}"#
    }
}

/// One line of the console.
package enum ConsoleCommand: Equatable, Sendable {
    /// The processes of each node, as in the line that says the group is ready.
    case nodes
    /// What each node's agent has sent so far.
    case traffic
    /// What dies on that node from now on stays dead.
    case hold(Int)
    /// What is dead on that node is started again.
    case free(Int)

    package init?(_ words: [String], nodes: Int) {
        switch words {
        case ["nodes"]: self = .nodes
        case ["traffic"]: self = .traffic
        default:
            guard words.count == 2, let node = Int(words[1]), (1...nodes).contains(node) else { return nil }
            switch words[0] {
            case "hold": self = .hold(node)
            case "free": self = .free(node)
            default: return nil
            }
        }
    }
}

/// The answer to `traffic`: payload of UDP that each node's agent has sent, as the relay received it; before loss.
package struct TrafficLine: Codable, Equatable, Sendable {
    package var nodes: [Node]

    package struct Node: Codable, Equatable, Sendable {
        package var node: Int
        package var packets: UInt64
        package var bytes: UInt64
    }

    init(_ group: SandboxGroup) {
        let sent = group.relay.sent
        nodes = group.nodes.map { node in
            let amount = sent[node.number - 1]
            return Node(node: node.number, packets: amount.packets, bytes: amount.bytes)
        }
    }
}
