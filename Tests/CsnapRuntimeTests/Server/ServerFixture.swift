import CsnapCore
import CsnapRuntime
import CsnapSession
import Foundation
import Glibc
import Synchronization
import Testing

/// A real csnap-server process of one node with one volume, and the test as its agent. Waits are bounded by 30 s.
final class ServerFixture {
    static let node = NodeBoot(node: NodeID(1), boot: Boot(5))
    static let key = ClusterKey.generate()
    private static let instances = Atomic<UInt16>(0)

    let directory: String
    let address: Address
    let process: ServerProcess
    private var agentReader = FrameCutter()

    var runtime: RuntimeDirectory { RuntimeDirectory(directory) }
    var storePath: String { directory + "/store" }

    /// Starts the server on the store `store`, made now unless given, and waits for `inert`. With a second volume if
    /// `withLogs`, whose store lies beside that of the first; `leavesOut`: it serves without one whose store fails,
    /// and without those of `without`.
    init(
        store: String? = nil, environment: [String: String] = [:], prepared: Bool = true, withLogs: Bool = false,
        leavesOut: Bool = false, without: [String] = [], logs otherLogs: String? = nil, originSize: Int = 1 << 20,
        whenFull: String = "hold", beforeStart: (RuntimeDirectory) throws -> Void = { _ in }
    ) throws {
        let number = Self.instances.add(1, ordering: .relaxed).newValue
        let scratch = "/tmp/csnap-server-test.\(getpid()).\(number)"
        directory = scratch
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        // An address of its own, so that tests at the same time do not meet.
        let low = UInt8(truncatingIfNeeded: getpid())
        address = .ipv4(127, 64 + UInt8(truncatingIfNeeded: number), low, 1, port: 7001)
        let origin = directory + "/origin"
        try makeFile(origin, size: originSize)
        if prepared, store == nil {
            _ = try VolumeFormatter.create(path: directory + "/store", origin: origin, storeSize: 16 << 20)
        }
        let logs = (store ?? directory + "/store") + ".logs"
        if withLogs, store == nil {
            _ = try VolumeFormatter.create(path: logs, origin: origin, storeSize: 16 << 20)
        }
        let second = withLogs ? ", logs: { origin: origin2, store: \(otherLogs ?? logs) }" : ""
        if withLogs { try makeFile(directory + "/origin2", size: 1 << 20) }
        let text = """
            cluster: test
            node: 1
            listen: 127.\(64 + UInt8(truncatingIfNeeded: number)).\(low).1:7000
            key-file: key
            state-directory: \(directory)
            runtime-directory: \(directory)
            log-level: \(ProcessInfo.processInfo.environment["CSNAP_TEST_LOG"] ?? "critical")
            volumes: { data: { origin: origin, store: \(store ?? "store"), when-full: \(whenFull) }\(second) }
            """
        try Data(text.utf8).write(to: URL(fileURLWithPath: directory + "/csnap.yaml"))
        try Data((Self.key.line + "\n").utf8).write(to: URL(fileURLWithPath: directory + "/key"))
        chmod(directory + "/key", 0o600)
        for (name, value) in environment { setenv(name, value, 1) }
        defer { for name in environment.keys { unsetenv(name) } }
        let ended = Ended()
        try beforeStart(RuntimeDirectory(directory))
        process = try ServerProcess.spawn(
            executable: Self.executable,
            arguments: ["--config", directory + "/csnap.yaml", "--agent-descriptor", "3"]
                + (leavesOut ? ["--leave-out"] : []) + without.flatMap { ["--without", $0] },
            whenEmpty: { end in ended.value.withLock { $0 = end } })
        self.ended = ended
    }

    private final class Ended: Sendable {
        let value = Mutex<ProcessEnd?>(nil)
    }
    private let ended: Ended

    deinit {
        process.killGroup()
        close(process.channelDescriptor)
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Beside the test's own program.
    private static var executable: String {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: own).deletingLastPathComponent().path + "/csnap-server"
    }

    // MARK: The agent's side

    func tell(_ message: AgentToServer) {
        let body = LocalCodec.encode(message)
        let bytes = (0..<4).map { UInt8(truncatingIfNeeded: body.count >> ($0 * 8)) } + body
        _ = Glibc.send(process.channelDescriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// The next message, or nil at the end of the stream.
    func hear() throws -> ServerToAgent? {
        while true {
            if let body = agentReader.next() { return try LocalCodec.serverToAgent(from: body) }
            guard waitReadable(process.channelDescriptor) else { throw Timeout() }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = read(process.channelDescriptor, &buffer, buffer.count)
            guard count > 0 else { return nil }
            agentReader.feed(buffer[..<count])
        }
    }

    /// BARRIER_ACK of a client that has the server's disk.
    func acknowledgement(_ attempt: BarrierAttempt) throws -> ClientFrame {
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: directory + "/origin"))
        let bytes = [UInt8](try file.read(upToCount: OriginSample.length) ?? Data())
        return .barrierAck(attempt, origin: bytes.withUnsafeBufferPointer { OriginSample.sum($0) })
    }

    static let tenure = Tenure(epoch: Epoch(7), round: Round(1))

    static let volumes = [VolumeDigest(name: "data")]

    func start(
        _ tenure: Tenure = ServerFixture.tenure, soft: Interval = .seconds(600), hard: Interval = .seconds(900),
        cluster: UInt64 = 1, lastActive: UInt64 = 0, volumeEpochs: [VolumeEpoch] = []
    ) {
        let now = BootClock.now()
        tell(
            .start(
                StartServer(
                    tenure: tenure, cluster: Bits128(high: 0, low: cluster), process: Self.node,
                    machineID: Bits128(high: 2, low: 2), kernelBootID: Bits128(high: 3, low: 3),
                    startBits: Bits128(high: 4, low: 4), lastActiveEpoch: Epoch(lastActive),
                    volumeEpochs: volumeEpochs, soft: now + soft, hard: now + hard, admitted: [Self.node])))
    }

    /// Through inert and START to `started`.
    func serve(soft: Interval = .seconds(600), hard: Interval = .seconds(900)) throws {
        #expect(try hear() == .inert)
        start(soft: soft, hard: hard)
        #expect(try hear() == .started(Self.tenure, port: 7001, volumes: Self.volumes))
    }

    func waitForEnd() throws -> ProcessEnd {
        for _ in 0..<3000 {
            if let end = ended.value.withLock({ $0 }) { return end }
            usleep(10_000)
        }
        throw Timeout()
    }
}

struct Timeout: Error {}

/// A file of zeros.
func makeFile(_ path: String, size: Int) throws {
    try Data().write(to: URL(fileURLWithPath: path))
    guard truncate(path, size) == 0 else { throw SystemError("cannot extend", path) }
}

func waitReadable(_ descriptor: Int32, milliseconds: Int32 = 30_000) -> Bool {
    var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&polled, 1, milliseconds) > 0
}

/// u32 little-endian length and body.
struct FrameCutter {
    private var bytes: [UInt8] = []

    mutating func feed(_ more: some Sequence<UInt8>) { bytes += more }

    mutating func next() -> [UInt8]? {
        guard bytes.count >= 4 else { return nil }
        let length = (0..<4).reduce(0) { $0 | Int(bytes[$1]) << ($1 * 8) }
        guard bytes.count >= 4 + length else { return nil }
        defer { bytes.removeFirst(4 + length) }
        return Array(bytes[4..<4 + length])
    }
}

/// A client's end of a session over a blocking socket.
final class TestSession {
    let descriptor: Int32
    private var seal: SessionSeal
    private var reader = FrameReader<ServerFrame>()

    init(_ address: Address, keys: KeyRing = KeyRing(ServerFixture.key)) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        seal = SessionSeal(side: .client, keys: keys)
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = address.port.bigEndian
        target.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.bits.low).bigEndian
        let result = withUnsafePointer(to: &target) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw SystemError("cannot connect to", address.text) }
        raw(seal.preamble)
    }

    deinit { close(descriptor) }

    func raw(_ bytes: [UInt8]) { _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }

    /// So many pings at once, as far as the socket takes them without waiting.
    func flood(_ count: Int) {
        let ping = ClientFrame.ping(epoch: ServerFixture.tenure.epoch).bytes
        for _ in 0..<count / 1000 {
            let bytes = seal.seal(Array(repeatElement(ping, count: 1000).joined()))
            _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        }
    }

    /// Waits for the server's preamble first.
    func send(_ frame: ClientFrame) throws {
        while !seal.isReady {
            guard try pull() else { throw Timeout() }
        }
        raw(seal.seal(frame.bytes))
    }

    /// The next frame; nil once the server has closed the connection.
    func hear() throws -> ServerFrame? {
        while true {
            if let frame = try reader.next() { return frame }
            guard waitReadable(descriptor) else { throw Timeout() }
            if try !pull() { return nil }
        }
    }

    /// False at the end of the stream.
    private func pull() throws -> Bool {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { return false }
        reader.feed(try seal.open(buffer[..<count]))
        return true
    }

    func hello(
        _ process: NodeBoot = ServerFixture.node, tenure: Tenure = ServerFixture.tenure, volume: String = "data",
        client: UInt64 = 1, image: String = SessionHello.origin
    ) throws -> ServerFrame? {
        try send(
            .hello(
                SessionHello(
                    versions: 1...1, process: process, client: Bits128(high: 0, low: client),
                    machineID: Bits128(high: 2, low: UInt64(process.node.value)),
                    kernelBootID: Bits128(high: 3, low: 3),
                    volume: volume, image: image, tenure: tenure)))
        let answer = try hear()
        // As clients do at once after their WELCOME.
        if case .welcome = answer, image == SessionHello.origin {
            try send(.openImages(epoch: tenure.epoch, []))
        }
        return answer
    }

    func query(_ request: UInt64) throws {
        try send(
            .queryWrite(
                request: request, epoch: ServerFixture.tenure.epoch, ranges: [ChunkRange(first: 0, count: 1)]))
    }
}
