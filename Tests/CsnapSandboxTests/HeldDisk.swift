import CsnapRuntime
import CsnapSandbox
import Foundation
import Glibc
import Testing

/// Another way to a file, as a file on FUSE or as a loop device on that, whose requests can be held back: nbdkit's
/// pause filter keeps them. Needs root.
final class HeldDisk {
    enum Kind: String, CaseIterable, Sendable { case file, loop }

    /// With CI=true nothing may be skipped.
    static let isPossible: Bool = {
        let missing = ["nbdkit", "nbdfuse", "losetup", "umount"].filter { !SystemTool.exists($0) }
        var reason: String?
        if getuid() != 0 { reason = "they need root" }
        if access("/dev/fuse", R_OK | W_OK) != 0 { reason = "there is no /dev/fuse" }
        if !missing.isEmpty {
            reason = "missing: \(missing.joined(separator: ", ")). `scripts/setup test` installs them"
        }
        guard let reason else { return Tool.isBuilt }
        let mustRun = ProcessInfo.processInfo.environment["CI"] == "true"
        let fate = mustRun ? "FAILED" : "SKIPPED"
        FileHandle.standardError.write(Data("tests with a disk that holds back \(fate): \(reason)\n".utf8))
        return mustRun
    }()

    /// What is to be opened instead of the file.
    let path: String
    private let mount: String
    private let directory: String
    private let control: String
    private let log: String
    private let loop: String?
    private let programs: [SystemTool]

    init(_ kind: Kind, of file: String, in directory: String) throws {
        let socket = directory + "/held.sock"
        let listens = directory + "/held.pid"
        self.directory = directory
        control = directory + "/held.control"
        log = directory + "/held.log"
        mount = directory + "/held.image"
        let server = try SystemTool(
            "nbdkit",
            [
                "-f", "-P", listens, "-U", socket, "--filter=log", "--filter=pause", "file", file, "logfile=\(log)",
                "pause-control=\(control)",
            ])
        try waitUntil("nbdkit listens", seconds: 30) { access(listens, F_OK) == 0 }
        _ = FileManager.default.createFile(atPath: mount, contents: nil)
        let fuse = try SystemTool("nbdfuse", [mount, "nbd+unix:///?socket=\(socket)"])
        programs = [server, fuse]
        let image = mount
        try waitUntil("nbdfuse shows the file", seconds: 30) { HeldDisk.size(image) > 0 }
        loop =
            kind == .loop
            ? try SystemTool.output("losetup", ["--find", "--show", "--direct-io=on", mount], in: directory) : nil
        path = loop ?? mount
    }

    private static func size(_ path: String) -> Int64 {
        var status = stat()
        return stat(path, &status) == 0 ? Int64(status.st_size) : 0
    }

    /// From now on no request reaches the file.
    func hold() throws { try say("p", expect: "P") }
    func release() throws { try say("r", expect: "R") }

    /// Writes that have come and not returned.
    var waiting: Int {
        let lines = ((try? String(contentsOfFile: log, encoding: .utf8)) ?? "").split(separator: "\n")
        return lines.count { $0.contains(" Write id=") } - lines.count { $0.contains("...Write id=") }
    }

    private func say(_ word: String, expect answer: String) throws {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { Glibc.close(descriptor) }
        let address = try #require(UnixAddress(control))
        try #require(address.with { connect(descriptor, $0, $1) } == 0, "cannot reach nbdkit's control socket")
        try #require(write(descriptor, word, 1) == 1)
        var reply: UInt8 = 0
        try #require(read(descriptor, &reply, 1) == 1)
        try #require(reply == answer.utf8.first)
    }

    /// Nobody may use it any more.
    func close() {
        try? release()
        if let loop { _ = try? SystemTool.output("losetup", ["--detach", loop], in: directory) }
        _ = try? SystemTool.output("umount", [mount], in: directory)
        for program in programs.reversed() { program.end() }
    }
}

extension SandboxDirectory {
    /// This node alone comes to its `kind`, "origin" or "store", by another path.
    func lead(_ node: Int, to kind: String, from path: String, by other: String) throws {
        let text = try String(contentsOfFile: configuration(node), encoding: .utf8)
        try text.replacingOccurrences(of: "\(kind): \(path)", with: "\(kind): \(other)")
            .write(toFile: configuration(node), atomically: true, encoding: .utf8)
    }
}

/// A program of the system as a child. Not by `Process`, whose wait the sandbox's own would disturb.
final class SystemTool: Sendable {
    private let pid: pid_t

    /// Its output goes to that file.
    init(_ name: String, _ arguments: [String], output: String = "/dev/null") throws {
        var words: [UnsafeMutablePointer<CChar>?] = ([name] + arguments).map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        var pid: pid_t = 0
        try #require(posix_spawnp(&pid, name, &actions, nil, words, environ) == 0, "cannot start \(name)")
        self.pid = pid
    }

    /// A child inherits blocked signals, so asking it to end may not reach it.
    func end() {
        kill(pid, SIGKILL)
        wait()
    }

    /// Its exit status, as waitpid(2) has it.
    @discardableResult
    func wait() -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return status
    }

    static func exists(_ name: String) -> Bool {
        ["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"].contains { access($0 + name, X_OK) == 0 }
    }

    /// Its output without the last line's end; throws if it fails.
    @discardableResult
    static func output(_ name: String, _ arguments: [String], in directory: String) throws -> String {
        let file = directory + "/\(name).out"
        let status = try SystemTool(name, arguments, output: file).wait()
        try #require(status == 0, "\(name) \(arguments) ended with \(status)")
        return try String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
