import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// csnapctl as a process of its own, its output in a file.
final class Tool {
    static let directory: String = {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    }()

    /// Of $CSNAP_BIN, else of the same build.
    static let binaries = ProcessInfo.processInfo.environment["CSNAP_BIN"] ?? directory

    static let isBuilt = ["csnapctl", "csnap-agent", "csnap-server", "csnap-client"].allSatisfy {
        access("\(directory)/\($0)", X_OK) == 0
    }

    private(set) var pid: pid_t = 0
    private let log = "/tmp/csnap-tool-\(getpid())-\(UInt32.random(in: 0 ... .max)).log"
    private var status: Int32?

    init(_ arguments: [String]) throws {
        let path = Tool.directory + "/csnapctl"
        var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        try #require(posix_spawn(&pid, path, &actions, nil, words, environ) == 0)
    }

    deinit {
        if status == nil {
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
        }
        unlink(log)
    }

    var output: String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }
    var lastLine: String { output.split(separator: "\n").last.map(String.init) ?? "" }

    /// Its exit code; nil if a signal ended it.
    func exitCode(seconds: Double) throws -> Int32? {
        try waitUntil("csnapctl ends", seconds: seconds) {
            if waitpid(pid, &status.unwrapped, WNOHANG) == pid { return true }
            status = nil
            return false
        }
        return status.map { $0 & 0x7f == 0 ? ($0 >> 8) & 0xff : nil } ?? nil
    }
}

extension Int32? {
    fileprivate var unwrapped: Int32 {
        get { self ?? 0 }
        set { self = newValue }
    }
}

/// Real processes, a few seconds each; only where the products are built (`swift build` first).
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct SandboxProcessTests {
    @Test func theServersNodeDiesAndNobodySeesAnError() throws {
        let tool = try Tool(["sandbox", "--scenario", "kill-node", "--profile", "lan", "--json"])
        let code = try tool.exitCode(seconds: 200)
        let result = try JSON.decode(JSONValue.self, from: Array(tool.lastLine.utf8))
        #expect(code == 0, "\(result["failures"] ?? .null)")
        #expect(result["ioErrors"] == .integer(0))
        #expect(result["serversAtOnceMax"] == .integer(1))
        #expect(result["serverBefore"] == .integer(1))
        #expect(result["serverAfter"] == .integer(2))
        #expect((result["bytesVerifiedAfterFault"]?.integer ?? 0) >= 2 * 4 << 20)
        #expect(result["seconds"] != .null)
    }

    @Test func aStandingGroupEndsWithoutATraceOnInterrupt() throws {
        let tool = try Tool(["sandbox", "--nodes", "1", "--json"])
        try waitUntil("the group is ready", seconds: 120) { tool.output.hasSuffix("\n") }
        let ready = try JSON.decode(ReadyLine.self, from: Array(tool.lastLine.utf8))
        let node = try #require(ready.nodes.first)
        #expect(access(node.nbdSocket, F_OK) == 0)
        #expect(try AgentCaller(path: node.controlSocket).status().phase == "active")
        for pid in [node.agentPid, node.serverPid, node.clientPid] {
            #expect(access("/proc/\(pid)", F_OK) == 0, "process \(pid) should live")
        }
        kill(tool.pid, SIGINT)
        #expect(try tool.exitCode(seconds: 60) == 0)
        for pid in [node.agentPid, node.serverPid, node.clientPid] {
            #expect(access("/proc/\(pid)", F_OK) != 0, "process \(pid) is left over")
        }
        let directory = node.nbdSocket.split(separator: "/").prefix(3).joined(separator: "/")
        #expect(access("/" + directory, F_OK) != 0, "\(directory) is left over")
    }
}
