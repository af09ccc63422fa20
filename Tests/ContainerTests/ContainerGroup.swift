import CsnapSandbox
import Foundation
import Glibc
import Testing

/// Containers on a network of their own, by Tests/Containers/group, which removes all of them when this one ends.
final class ContainerGroup {
    let directory: String
    private let process = Process()
    private let commands = Pipe()
    private let answers = Pipe()
    private(set) var nodes: [Int: ContainerNode] = [:]

    static let originSize = 3 * NodeLoad.region
    /// Sparse; each fresh chunk of a load after a snapshot takes one.
    static let storeSize: UInt64 = 1 << 30

    /// Makes the group's files and network; starts no container yet.
    init(nodes: Int) throws {
        if let unmet = Requirements.unmet { throw ContainerFailure(unmet) }
        var template = Array("/var/tmp/csnap-containers-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw ContainerFailure("cannot make a directory in /var/tmp") }
        directory = String(cString: made)
        let scripts = Requirements.repository + "/Tests/Containers"
        do {
            try makeFiles()
            let base = try Program.output([scripts + "/base"]).trimmingCharacters(in: .whitespacesAndNewlines)
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = [
                "unshare", "--mount", "--propagation", "private", scripts + "/group", directory, base,
                Requirements.binaries, "\(nodes)",
            ]
            process.standardInput = commands
            process.standardOutput = answers
            try process.run()
        } catch {
            try? FileManager.default.removeItem(atPath: directory)
            throw error
        }
        _ = try answer()
    }

    /// Ends every container and removes every file; returns when it is done. What is left nevertheless fails the test.
    func end() {
        try? commands.fileHandleForWriting.close()
        process.waitUntilExit()
        for thing in leftovers { Issue.record("left behind: \(thing)") }
    }

    /// Files, mounts, control groups and processes of this group; the script names them all after its process.
    private var leftovers: [String] {
        let files = FileManager.default
        func entries(_ path: String) -> [String] { (try? files.contentsOfDirectory(atPath: path)) ?? [] }
        let name = "csnap-test-\(process.processIdentifier)"
        let kept = ProcessInfo.processInfo.environment["CSNAP_TEST_KEEP"] != nil
        let hierarchies = entries("/sys/fs/cgroup").map { "/sys/fs/cgroup/\($0)/\(name)" }
        var found = (hierarchies + ["/sys/fs/cgroup/\(name)"] + (kept ? [] : [directory])).filter(files.fileExists)
        let mounts = (try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)) ?? ""
        found += mounts.split(separator: "\n").filter { $0.contains(directory) }.map { "mount \($0)" }
        for process in entries("/proc") where Int32(process) != nil {
            let command = (try? String(contentsOfFile: "/proc/\(process)/cmdline", encoding: .utf8)) ?? ""
            if command.contains(name) || command.contains(directory) { found.append("process \(process): \(command)") }
        }
        return found
    }

    private func makeFiles() throws {
        let control = Requirements.binaries + "/csnapctl"
        let shared = directory + "/shared"
        try Program.output(["mkdir", shared])
        try Program.output(["truncate", "-s", "\(ContainerGroup.originSize)", shared + "/data.origin"])
        try Program.output([control, "key", "generate", directory + "/cluster.key"])
        try Program.output([
            control, "volume", "create", "data", "--origin", shared + "/data.origin", "--store",
            shared + "/data.store", "--size", "\(ContainerGroup.storeSize)",
        ])
        // As disks have it.
        try Program.output(["chgrp", "disk", shared + "/data.origin", shared + "/data.store"])
        try Program.output(["chmod", "0660", shared + "/data.origin", shared + "/data.store"])
        try Program.output(["chmod", "0755", directory, shared])
    }

    // MARK: Containers

    /// Boots a container, until systemd in it has started everything.
    @discardableResult
    func boot(_ number: Int) throws -> ContainerNode { try boot(number, by: "start \(number)") }

    /// Boots one machine more, made from a copy of another's state directory while that one runs; `wholeMachine`: with
    /// its /etc/machine-id too. Its address is its own.
    func boot(_ number: Int, cloneOf original: Int, wholeMachine: Bool) throws -> ContainerNode {
        try boot(number, by: "clone \(number) \(original) \(wholeMachine ? "same" : "other")")
    }

    private func boot(_ number: Int, by line: String) throws -> ContainerNode {
        let words = try command(line).split(separator: " ").map(String.init)
        guard words.count >= 3, let leader = Int32(words[0]) else {
            throw ContainerFailure("node \(number) answered \(words)")
        }
        let node = ContainerNode(number: number, leader: leader)
        nodes[number] = node
        return node
    }

    /// From one moment to the next nothing of that node runs.
    func cutPower(_ number: Int) throws {
        _ = try command("cut \(number)")
        nodes[number] = nil
    }

    /// Shuts a container down, as a person would.
    func shutDown(_ number: Int) throws {
        _ = try command("stop \(number)")
        nodes[number] = nil
    }

    private func command(_ line: String) throws -> String {
        commands.fileHandleForWriting.write(Data((line + "\n").utf8))
        return try answer()
    }

    private func answer() throws -> String {
        var bytes: [UInt8] = []
        while let byte = try answers.fileHandleForReading.read(upToCount: 1)?.first, byte != UInt8(ascii: "\n") {
            bytes.append(byte)
        }
        let line = String(decoding: bytes, as: UTF8.self)
        guard line == "ok" || line.hasPrefix("ok ") else {
            throw ContainerFailure(line.isEmpty ? "the group's script ended" : line)
        }
        return String(line.dropFirst(3))
    }
}
