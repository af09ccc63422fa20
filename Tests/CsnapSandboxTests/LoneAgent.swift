import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// One agent as a process of its own, with files, sockets and a service manager of its own.
final class LoneAgent {
    let directory: String
    let port: UInt16
    private let process = Process()
    private let manager: Int32
    /// A peer that never answers, and must not be spoken to before the state is on disk.
    private let peer: Int32

    var socket: String { directory + "/run/agent.sock" }
    var state: String { directory + "/state" }
    var pid: Int32 { process.processIdentifier }

    /// `wrapper` starts the agent, which it gets as its last words.
    init(wrapper: (_ directory: String) -> [String] = { _ in [] }) throws {
        var template = Array("/tmp/csnap-agent-XXXXXX".utf8CString)
        directory = String(cString: try #require(mkdtemp(&template)))
        // Others must reach the control socket.
        #expect(chmod(directory, 0o755) == 0)
        for name in ["run", "state"] { #expect(mkdir(directory + "/" + name, 0o755) == 0) }
        (peer, port) = try Self.datagramSocket()
        let own = try Self.datagramSocket()
        close(own.descriptor)
        let text = """
            cluster: lone
            node: 1
            listen: 127.0.0.1:\(own.port)
            peers: [127.0.0.1:\(port)]
            insecure: true
            state-directory: \(directory)/state
            runtime-directory: \(directory)/run

            """
        try text.write(toFile: directory + "/csnap.yaml", atomically: true, encoding: .utf8)
        manager = try Self.notifySocket(directory + "/notify")
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments =
            wrapper(directory) + [Tool.directory + "/csnap-agent", "--config", directory + "/csnap.yaml"]
        var environment = ProcessInfo.processInfo.environment
        environment["NOTIFY_SOCKET"] = directory + "/notify"
        process.environment = environment
        let log = directory + "/log"
        _ = FileManager.default.createFile(atPath: log, contents: nil)
        process.standardError = FileHandle(forWritingAtPath: log)
        try process.run()
    }

    deinit {
        if process.isRunning {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        close(manager)
        close(peer)
        try? FileManager.default.removeItem(atPath: directory)
    }

    var log: String { (try? String(contentsOfFile: directory + "/log", encoding: .utf8)) ?? "" }

    func exitCode() -> Int32 {
        process.waitUntilExit()
        return process.terminationStatus
    }

    func waitUntilItAnswers() throws {
        try waitUntil("the agent answers: \(log)", seconds: 60) { (try? AgentCaller(path: socket).status()) != nil }
    }

    /// All that the service manager was told, one string a message.
    func notices() -> [String] { Self.received(manager) }

    /// How many datagrams the peer got.
    func packets() -> Int { Self.received(peer).count }

    private static func received(_ descriptor: Int32) -> [String] {
        var all: [String] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT)), count > 0 {
            all.append(String(decoding: buffer[..<count], as: UTF8.self))
        }
        return all
    }

    private static func datagramSocket() throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        return (descriptor, try Loopback.bind(descriptor))
    }

    private static func notifySocket(_ path: String) throws -> Int32 {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        let address = try #require(UnixAddress(path))
        try #require(address.with { bind(descriptor, $0, $1) } == 0)
        return descriptor
    }
}
