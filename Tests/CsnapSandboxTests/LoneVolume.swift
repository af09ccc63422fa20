import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// A group of one node with one volume: agent, server and client as processes, with files of their own.
final class LoneVolume {
    /// Bytes.
    static let size = 32 << 20
    static let name = "data"

    let directory: String
    private var agent: Process
    private var client: Process

    var socket: String { directory + "/run/agent.sock" }
    var nbd: String { directory + "/run/data.nbd" }
    var origin: String { directory + "/origin" }
    var store: String { directory + "/store" }
    var caller: AgentCaller { get throws { try AgentCaller(path: socket) } }

    /// Returns when the client may write. `isSecure`: with a key file `key`.
    init(size: Int = LoneVolume.size, chunkSize: UInt32 = 64 << 10, isSecure: Bool = false) throws {
        var template = Array("/var/tmp/csnap-volume-XXXXXX".utf8CString)
        directory = String(cString: try #require(mkdtemp(&template)))
        for name in ["run", "state"] { #expect(mkdir(directory + "/" + name, 0o755) == 0) }
        try SandboxDirectory.makeSparse(directory + "/origin", size: UInt64(size))
        _ = try VolumeFormatter.create(
            path: directory + "/store", origin: directory + "/origin", storeSize: UInt64(max(2 * size, 64 << 20)),
            chunkSize: chunkSize)
        let text = """
            cluster: lone
            node: 1
            listen: 127.0.0.1:\(try Self.freePort(SOCK_DGRAM))
            service-port: \(try Self.freePort(SOCK_STREAM))
            peers: []
            profile: fast
            \(isSecure ? "key-file: \(directory)/key" : "insecure: true")
            state-directory: \(directory)/state
            runtime-directory: \(directory)/run
            volumes: { data: { origin: \(directory)/origin, store: \(directory)/store } }

            """
        try text.write(toFile: directory + "/csnap.yaml", atomically: true, encoding: .utf8)
        if isSecure {
            let key = Data(KeyRing(.generate(id: 1)).text.utf8)
            let made = FileManager.default.createFile(
                atPath: directory + "/key", contents: key, attributes: [.posixPermissions: 0o600])
            #expect(made)
        }
        agent = try Self.start("csnap-agent", [], directory)
        client = try Self.start("csnap-client", ["--volume", Self.name], directory)
        try waitUntil("the agent answers", seconds: 60) { (try? status()) != nil }
        try caller.command("Found")
        try waitForService()
    }

    deinit {
        let server = (try? status())?.serverPid
        end(SIGKILL)
        // It dies with its agent; here nobody waits for that.
        if let server { kill(server, SIGKILL) }
        try? FileManager.default.removeItem(atPath: directory)
    }

    func waitForService() throws {
        try waitUntil("the client may write", seconds: 60) {
            let status = try status()
            return status.clientsResumed && status.clients.first?.connected == true
        }
    }

    private func end(_ signal: Int32) {
        for process in [client, agent] where process.isRunning {
            kill(process.processIdentifier, signal)
            process.waitUntilExit()
        }
    }

    /// Ends all its processes in order; afterwards nobody has the store open.
    func stop() throws {
        end(SIGTERM)
        try waitUntil("the store is nobody's", seconds: 60) {
            (try? VolumeChecker(path: store, origin: origin)) != nil
        }
    }

    /// Starts them again, with new logs; returns when the agent answers.
    func start() throws {
        try startAgent()
        try startClient()
        try waitUntil("the agent answers", seconds: 60) { (try? status()) != nil }
    }

    /// Its client ends, and another one finds `disk` under the name of the origin; the agent and the server have what
    /// they had. Nil: the origin itself again.
    func restartClient(disk: String?) throws {
        endClient()
        let own = origin + ".own"
        if let disk {
            #expect(rename(origin, own) == 0 && symlink(disk, origin) == 0)
        } else {
            #expect(rename(own, origin) == 0)
        }
        try startClient()
        try waitUntil("the new client may write", seconds: 60) {
            let status = try status()
            return status.clients.first.map { $0.connected && $0.pid == UInt32(client.processIdentifier) } ?? false
        }
    }

    func endClient(_ signal: Int32 = SIGTERM) {
        kill(client.processIdentifier, signal)
        client.waitUntilExit()
    }

    /// Its server dies with it.
    func killAgent() {
        kill(agent.processIdentifier, SIGKILL)
        agent.waitUntilExit()
    }

    func startAgent() throws { agent = try Self.start("csnap-agent", [], directory) }

    func startClient() throws { client = try Self.start("csnap-client", ["--volume", Self.name], directory) }

    /// Puts another path in the place of the origin's in the file; whoever runs is not told.
    func configure(origin path: String) throws {
        let file = directory + "/csnap.yaml"
        let text = try String(contentsOfFile: file, encoding: .utf8)
        let changed = text.replacing(#/origin: [^,]*/#, with: "origin: \(path)")
        try changed.write(toFile: file, atomically: true, encoding: .utf8)
    }

    /// One that is the same but for one block in front.
    func restartClientWithOtherDisk() throws {
        let other = directory + "/other"
        try FileManager.default.copyItem(atPath: origin, toPath: other)
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: other))
        try file.write(contentsOf: Data(repeating: 1, count: 4096))
        try file.close()
        try restartClient(disk: other)
    }

    /// What a program of it has said since it was started; "csnap-agent": its servers' lines too.
    func log(_ program: String) -> String {
        String(decoding: FileManager.default.contents(atPath: "\(directory)/\(program).log") ?? Data(), as: UTF8.self)
    }

    func status() throws -> StatusReport { try caller.status() }

    /// The server's process dies; another takes its place.
    func killServer() throws {
        let pid = try #require(try status().serverPid)
        kill(pid, SIGKILL)
    }

    func uri(_ export: String) -> String { "nbd+unix:///\(export)?socket=\(nbd)" }

    func connect(_ export: String = "origin") throws -> NBDClient {
        let end = boottime() + 60_000_000_000
        return try NBDClient(path: nbd, export: export) { boottime() > end }
    }

    /// Makes a snapshot; returns when the client offers it.
    @discardableResult
    func snapshot(_ name: String) throws -> SnapshotItem {
        let made = try caller.createSnapshot(Self.name, name)
        try waitUntil("snap/\(name) is offered", seconds: 60) { (try? connect("snap/\(name)")) != nil }
        return made
    }

    /// Makes a branch; returns when the client offers it.
    @discardableResult
    func branch(_ name: String, of snapshot: String) throws -> SnapshotItem {
        let made = try caller.branchSnapshot(Self.name, snapshot, as: name)
        try waitUntil("snap/\(name) is offered", seconds: 60) { (try? connect("snap/\(name)")) != nil }
        return made
    }

    /// Writes random bytes there, to the volume and to the model.
    func write(_ ranges: [Range<Int>], _ model: inout Data) throws {
        let device = try connect()
        for range in ranges {
            var bytes = [UInt8](repeating: 0, count: range.count)
            arc4random_buf(&bytes, bytes.count)
            try device.write(bytes, offset: UInt64(range.lowerBound))
            model.replaceSubrange(range, with: bytes)
        }
        try device.flush()
        device.disconnect()
    }

    /// A command that overwrites the origin is refused while a program is connected.
    func waitUntilUnused() throws {
        try waitUntil("the connections have ended", seconds: 30) { try SocketUse.connected(to: nbd) == nil }
    }

    private static func start(_ program: String, _ arguments: [String], _ directory: String) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Tool.directory + "/" + program)
        process.arguments = ["--config", directory + "/csnap.yaml"] + arguments
        let log = "\(directory)/\(program).log"
        _ = FileManager.default.createFile(atPath: log, contents: nil)
        process.standardError = FileHandle(forWritingAtPath: log)
        process.standardOutput = FileHandle(forWritingAtPath: log)
        try process.run()
        return process
    }

    private static func freePort(_ type: __socket_type) throws -> UInt16 {
        let descriptor = Glibc.socket(AF_INET, Int32(type.rawValue), 0)
        defer { close(descriptor) }
        return try Loopback.bind(descriptor)
    }
}

/// A program that is run to its end.
enum Program {
    struct Run {
        var code: Int32
        /// Of both streams.
        var output: String
        /// The line that is an object; before it the other stream may have said what was waited for.
        var json: Data { Data((output.split(separator: "\n").last { $0.hasPrefix("{") } ?? "").utf8) }
    }

    static func run(_ path: String, _ arguments: [String]) throws -> Run {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Run(code: process.terminationStatus, output: String(decoding: output, as: UTF8.self))
    }

    static func csnapctl(_ words: [String]) throws -> Run { try run(Tool.directory + "/csnapctl", words) }
}

/// A program of somebody else.
enum Foreign {
    /// Nil, and said aloud, if it is not installed.
    static func run(_ tool: String, _ arguments: [String]) throws -> Program.Run? {
        guard access("/usr/bin/" + tool, X_OK) == 0 else {
            print("SKIPPED: \(tool) is not installed; no test against it was made")
            return nil
        }
        return try Program.run("/usr/bin/" + tool, arguments)
    }
}

enum Loopback {
    /// Binds it to 127.0.0.1; the port that it got.
    static func bind(_ descriptor: Int32) throws -> UInt16 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        try #require(bound)
        return UInt16(bigEndian: address.sin_port)
    }
}
