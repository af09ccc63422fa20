import CsnapRuntime
import CsnapSandbox
import Foundation
import Glibc

/// One running container, as a person with a shell in it sees it.
struct ContainerNode {
    let number: Int
    /// The host's process id of its PID 1.
    let leader: Int32

    /// What `csnapctl status --json` says.
    struct Status: Decodable {
        struct Member: Decodable {
            var node: UInt32
            var state: String
            var voter: Bool
        }
        var epoch: UInt64
        var phase: String
        var server: UInt32?
        var voters: [UInt32]
        var members: [Member]
        var clientsResumed: Bool
        var waits: [Wait]

        struct Wait: Decodable {
            var kind: String
        }

        var isActive: Bool { phase == "active" }
        /// In the order of their ids.
        var alive: [UInt32] { members.filter { $0.state == "alive" }.map(\.node).sorted() }
    }

    /// Runs a command in it, with the host's capabilities; throws what it said if it failed.
    @discardableResult
    func run(_ words: String...) throws -> String { try Program.output(inside + words) }

    func exitCode(_ words: String...) throws -> Int32 { try exitCode(words) }

    func exitCode(_ words: [String]) throws -> Int32 { try Program.run(inside + words).exitCode }

    /// What `csnapctl why` says, whether something waits or not.
    var why: String { (try? Program.run(inside + ["csnapctl", "why"]).output) ?? "" }

    private var inside: [String] { ["nsenter", "-t", "\(leader)", "-m", "-u", "-i", "-n", "-p", "-C", "--"] }

    /// Nil while the agent does not answer.
    var status: Status? {
        guard let text = try? run("csnapctl", "status", "--json") else { return nil }
        return try? JSONDecoder().decode(Status.self, from: Data(text.utf8))
    }

    /// One property of a unit, as `systemctl show` has it.
    func property(_ name: String, of unit: String = "csnap-agent") throws -> String {
        try run("systemctl", "show", "--property", name, "--value", unit).trimmingCharacters(in: .newlines)
    }

    /// Messages of the agent that carry this epoch, oldest first.
    func story(ofEpoch epoch: UInt64) throws -> [String] {
        try journal("CSNAP_EPOCH=\(epoch)").split(separator: "\n").map(String.init)
    }

    /// Messages of the agent with this MESSAGE_ID, oldest first.
    func journal(of messageID: String) throws -> [String] {
        try journal("MESSAGE_ID=\(messageID)").split(separator: "\n").map(String.init)
    }

    /// What a unit has said until now, those messages that match, a line each.
    func journal(_ matches: String..., unit: String = "csnap-agent") throws -> String {
        try run("journalctl", "--sync")
        return try Program.output(
            inside + ["journalctl", "--unit", unit] + matches + ["--output", "cat", "--no-pager"])
    }

    /// What a person would look at first.
    var diagnosis: String {
        let parts = [
            try? run("systemctl", "status", "--no-pager", "--lines", "0", "csnap-agent", "csnap-client@data"),
            try? run("csnapctl", "status"),
            try? run("journalctl", "--no-pager", "--lines", "40", "--output", "short-monotonic"),
        ]
        return "--- node \(number)\n" + parts.compactMap { $0 }.joined(separator: "\n")
    }

    // MARK: Files, through the host's view of the container

    private func path(_ inside: String) -> String { "/proc/\(leader)/root" + inside }

    var controlSocket: String { path("/run/csnap/agent.sock") }
    var volumeSocket: String { path("/run/csnap/data.nbd") }

    /// Opened while the container runs, the record of its servers can be read after its end too.
    func openServiceRecord() throws -> ServiceRecordHandle {
        let descriptor = open(path("/run/csnap/service.record"), O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ContainerFailure("node \(number) has no service.record") }
        return ServiceRecordHandle(descriptor: descriptor)
    }

    func startLoad(generation: Int = 0) -> NodeLoad {
        NodeLoad(node: number, generation: generation, socket: volumeSocket, periodMilliseconds: 40)
    }

    /// Reads back through this node's client what a node's load had acknowledged; returns how many bytes were right.
    func verify(_ record: LoadRecord, of node: Int) throws -> (bytes: UInt64, faults: [String]) {
        let end = boottime() + 60_000_000_000
        let device = try NBDClient(path: volumeSocket, export: "origin", cancelled: { boottime() > end })
        defer { device.disconnect() }
        var verifier = Verifier()
        try verifier.verify(record, of: node, on: device)
        return (verifier.bytesVerified, verifier.faults)
    }
}

/// A node's evidence of who served when.
final class ServiceRecordHandle {
    private let descriptor: Int32

    init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    func intervals() throws -> [ServiceOverlap.Interval] {
        try ServiceOverlap.intervals(in: "/proc/self/fd/\(descriptor)")
    }
}
