import CsnapCore
import CsnapRuntime
import Glibc
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// One machine's directories, and agents that start in them.
struct AgentFixture {
    let directory: TemporaryDirectory
    /// For up to a minute a client of the boot before may go on: nothing a test waits for takes as long.
    static let timers = "timers: { promise: 70000, hard: 60000 }"

    init() throws { directory = try TemporaryDirectory() }

    var state: String { directory.path + "/state" }

    func runtime(_ name: String = "run") -> RuntimeDirectory { RuntimeDirectory(directory.path + "/" + name) }

    /// Another `runtime` is another runtime directory beside the same state directory.
    func prepare(
        node: UInt32 = 1, runtime name: String = "run", timers: String = AgentFixture.timers,
        server: String? = nil
    ) throws -> AgentStart {
        let file = "csnap-\(name).yaml"
        try directory.write(
            file,
            """
            cluster: test
            node: \(node)
            listen: 127.0.0.1:7411
            peers: [127.0.0.2:7411]
            insecure: true
            serve: \(server != nil)
            state-directory: \(state)
            runtime-directory: \(runtime(name).path)
            \(timers)
            volumes:
              a: { origin: a.origin, store: a.store }
              b: { origin: b.origin, store: b.store }
            """)
        let path = directory.path + "/" + file
        let configuration = try CsnapConfiguration.load(file: path, environment: [:])
        return try AgentStart.prepare(configuration, file: path, server: server, logger: Self.logger)
    }

    /// A running agent whose packets go nowhere but into the answer.
    func run(_ start: AgentStart) async throws -> (AgentDaemon, SentPackets) {
        let sent = SentPackets()
        let daemon = try await AgentDaemon.run(
            start, on: MultiThreadedEventLoopGroup.singleton.next(), logger: Self.logger
        ) { _, loop, _ in
            loop.submit { NIOLoopBound(SilentTransport(sent: sent) as any PacketTransport, eventLoop: loop) }
        }.get()
        return (daemon, sent)
    }

    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

/// What an agent wanted to send.
final class SentPackets: Sendable {
    private let messages = Mutex<[Message]>([])

    var all: [Message] { messages.withLock { $0 } }

    func add(_ new: [Message]) { messages.withLock { $0 += new } }
}

private struct SilentTransport: PacketTransport {
    let sent: SentPackets

    func send(_ messages: [Message], to peer: Address) { sent.add(messages) }
    func pin(cluster: Bits128) {}
    func use(keys: KeyRing, peers: [Address]) {}
    func strangers(at now: Instant) -> [Stranger] { [] }
    func takeNewStranger(at now: Instant) -> Stranger? { nil }
    var drops: DropCounts { DropCounts() }
    func takeDropSummary() -> String? { nil }
    func close() {}
}

/// A client process as the agent's data socket sees it.
struct DataSocketClient {
    private let descriptor: Int32

    init(of runtime: RuntimeDirectory) { descriptor = Wire.connect(path: runtime.dataSocket) }

    func say(_ message: ClientToAgent) { Wire.send(descriptor, frame(LocalCodec.encode(message))) }

    func close() { Glibc.close(descriptor) }

    private func frame(_ body: [UInt8]) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: body.count >> (8 * $0)) } + body
    }
}
