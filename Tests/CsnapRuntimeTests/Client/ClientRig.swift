import CsnapCore
import CsnapRuntime
import Glibc
import Synchronization

/// A client daemon in this process, with a fake agent and a fake server, in a directory of its own.
final class ClientRig: Sendable {
    static let size: UInt64 = 8 << 20
    static let boot = NodeBoot(node: NodeID(1), boot: Boot(1))

    let directory: String
    let runtime: RuntimeDirectory
    let origin: String
    let daemon: ClientDaemon
    let server: FakeServer
    let log: Log
    private let agents: Mutex<FakeAgent>
    private let ended = Atomic<Bool>(false)

    final class Log: Sendable {
        private let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0 } }
    }

    init(
        key: [UInt8]? = nil, size: UInt64 = ClientRig.size, engine: DiskEngine? = nil,
        pool: WorkerPool = WorkerPool(threads: 4), parent: String = "/var/tmp", originDirectory: String? = nil,
        offersSnapshots: Bool = false
    ) throws {
        directory = try Self.makeDirectory(parent)
        runtime = RuntimeDirectory(directory)
        origin = (originDirectory ?? directory) + "/origin"
        try Self.makeFile(origin, size: size)
        agents = Mutex(FakeAgent(path: runtime.dataSocket))
        server = FakeServer(size: size, key: key)
        let log = Log()
        self.log = log
        var options = Self.options(runtime, origin: origin, key: key, engine: engine)
        // Any file will do: its snapshots are not read.
        if offersSnapshots { options.store = origin }
        daemon = try ClientDaemon(options: options, pool: pool, log: { log.add($0.text) })
        Wire.thread { [self] in
            try? daemon.run()
            ended.store(true, ordering: .releasing)
        }
    }

    static func options(
        _ runtime: RuntimeDirectory, origin: String, key: [UInt8]? = nil, engine: DiskEngine? = nil
    ) -> ClientOptions {
        ClientOptions(
            runtime: runtime, volume: "v", origin: origin, node: NodeID(1), machine: ClientCoreTests.machine,
            source: .ipv4(127, 0, 0, 1, port: 0),
            keys: KeySource(fixed: key.flatMap { ClusterKey(id: 1, bytes: $0) }.map { KeyRing($0) } ?? .insecure),
            engine: engine)
    }

    static func makeDirectory(_ parent: String) throws -> String {
        var template = Array("\(parent)/csnap-client-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw SystemError("cannot make a directory in", parent) }
        return String(cString: made)
    }

    static func makeFile(_ path: String, size: UInt64) throws {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0, ftruncate(descriptor, off_t(size)) == 0 else { throw SystemError("cannot make", path) }
        close(descriptor)
    }

    var agent: FakeAgent { agents.withLock { $0 } }
    var socket: String { runtime.volumeSocket("v") }

    static func tenure(_ epoch: UInt64, _ round: UInt32 = 1) -> Tenure {
        Tenure(epoch: Epoch(epoch), round: Round(round))
    }

    /// The agent's words up to the session of that tenure.
    func attach(_ tenure: Tenure, boot: NodeBoot = ClientRig.boot) -> Bool {
        guard eventually({ agent.isConnected }) else { return false }
        agent.say(.identity(boot))
        agent.say(.suspend(tenure))
        guard agent.heard(.suspended(tenure, writesInFlight: 0)) else { return false }
        agent.say(.server(tenure, server.address))
        return agent.heard(.connected(tenure))
    }

    func resume(_ tenure: Tenure, lease: Interval = .seconds(3600)) {
        agent.say(.lease(tenure, until: BootClock.now() + lease))
        agent.say(.resume(tenure))
    }

    /// A new agent process in the place of the old.
    func restartAgent() {
        agent.die()
        agents.withLock { $0 = FakeAgent(path: runtime.dataSocket) }
    }

    /// The bytes of the origin, as they are in the file.
    func stored(_ offset: Int, _ count: Int) -> [UInt8] {
        let descriptor = open(origin, O_RDONLY)
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: count)
        return pread(descriptor, &bytes, count, offset) == count ? bytes : []
    }

    /// True when the daemon has ended by itself.
    func stop() -> Bool {
        daemon.stop()
        let stopped = eventually { ended.load(ordering: .acquiring) }
        agent.die()
        server.stop()
        unlink(origin)
        for name in ["data.sock", "v.nbd", "client-v.lock"] { unlink("\(directory)/\(name)") }
        rmdir(directory)
        return stopped
    }
}

/// One NBD connection to the daemon, by hand: requests are sent and answers looked for one by one.
struct NBDPeer {
    let descriptor: Int32
    /// The handshake succeeded.
    let isOpen: Bool

    /// After the handshake by EXPORT_NAME, with simple replies.
    init(_ path: String) {
        descriptor = Wire.connect(path: path)
        _ = Wire.receive(descriptor, 18)
        Wire.send(descriptor, Self.big(UInt32(3)))
        Wire.send(descriptor, Self.big(UInt64(0x4948_4156_454F_5054)) + Self.big(UInt32(1)) + Self.big(UInt32(0)))
        isOpen = Wire.receive(descriptor, 10) != nil
    }

    static func big(_ value: some FixedWidthInteger & UnsignedInteger) -> [UInt8] {
        stride(from: value.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    func request(_ type: UInt16, flags: UInt16 = 0, offset: UInt64, length: UInt32, payload: [UInt8] = []) {
        Wire.send(descriptor, Self.head(type, flags, offset, length) + payload)
    }

    private static func head(_ type: UInt16, _ flags: UInt16, _ offset: UInt64, _ length: UInt32) -> [UInt8] {
        big(UInt32(0x2560_9513)) + big(flags) + big(type) + big(UInt64(1)) + big(offset) + big(length)
    }

    /// Many requests in one call.
    func writeAtOnce(_ bytes: [UInt8], at offsets: [UInt64]) {
        Wire.send(descriptor, offsets.flatMap { Self.head(1, 0, $0, UInt32(bytes.count)) + bytes })
    }

    /// `durable`: with FUA.
    func write(_ bytes: [UInt8], at offset: UInt64, durable: Bool = false) {
        request(1, flags: durable ? 1 : 0, offset: offset, length: UInt32(bytes.count), payload: bytes)
    }

    /// The error of the next reply, waited for up to 60 s; nil: none came.
    func reply() -> UInt32? {
        guard hasReply(within: 60_000), let bytes = Wire.receive(descriptor, 16) else { return nil }
        return bytes[4..<8].reduce(0) { $0 << 8 | UInt32($1) }
    }

    func hasReply(within milliseconds: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, milliseconds) > 0
    }

    func end() { close(descriptor) }
}
