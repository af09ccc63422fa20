import CsnapCore
import CsnapRuntime
import CsnapSession
import Glibc
import Synchronization

/// Looks for up to 60 s whether the condition holds.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<30_000 {
        if condition() { return true }
        usleep(2000)
    }
    return condition()
}

/// Blocking helpers on descriptors.
enum Wire {
    static func listen(path: String) -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        unlink(path)
        let result = UnixAddress(path)?.with { bind(descriptor, $0, $1) }
        precondition(result == 0 && Glibc.listen(descriptor, 8) == 0, "cannot listen at \(path)")
        return descriptor
    }

    static func connect(path: String) -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let result = UnixAddress(path)?.with { Glibc.connect(descriptor, $0, $1) }
        precondition(result == 0, "cannot connect to \(path)")
        return descriptor
    }

    /// On a free port of 127.0.0.1.
    static func listenTCP() -> (descriptor: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                precondition(bind(descriptor, $0, size) == 0 && Glibc.listen(descriptor, 8) == 0)
                getsockname(descriptor, $0, &size)
            }
        }
        return (descriptor, address.sin_port.bigEndian)
    }

    static func send(_ descriptor: Int32, _ bytes: [UInt8]) {
        var done = 0
        while done < bytes.count {
            let sent = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress?.advanced(by: done), $0.count - done, Int32(MSG_NOSIGNAL))
            }
            if sent <= 0 { return }
            done += sent
        }
    }

    /// Exactly `count` bytes; nil at the end.
    static func receive(_ descriptor: Int32, _ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes {
                recv(descriptor, $0.baseAddress?.advanced(by: done), count - done, 0)
            }
            if got <= 0 { return nil }
            done += got
        }
        return bytes
    }

    /// What is there; nil at the end.
    static func receiveSome(_ descriptor: Int32) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 65536)
        let got = recv(descriptor, &bytes, bytes.count, 0)
        return got > 0 ? Array(bytes[..<got]) : nil
    }

    static func thread(_ body: @escaping @Sendable () -> Void) {
        final class Box {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, Unmanaged.passRetained(Box(body)).toOpaque())
        pthread_detach(thread)
    }
}

/// An agent's data socket: keeps what clients say, says what the test wants.
final class FakeAgent: Sendable {
    private let listener: Int32
    private let state = Mutex((peer: Int32(-1), said: [ClientToAgent](), isDead: false))

    init(path: String) {
        listener = Wire.listen(path: path)
        Wire.thread { [self] in
            // The thread itself closes the listener: its number must not go to the next agent's while this one accepts.
            defer { close(listener) }
            while !state.withLock({ $0.isDead }) {
                let peer = accept(listener, nil, nil)
                if peer < 0 { return }
                state.withLock { $0.peer = peer }
                serve(peer)
                state.withLock { if $0.peer == peer { $0.peer = -1 } }
                close(peer)
            }
        }
    }

    var said: [ClientToAgent] { state.withLock { $0.said } }
    var isConnected: Bool { state.withLock { $0.peer >= 0 } }

    func heard(_ message: ClientToAgent) -> Bool { eventually { said.contains(message) } }

    func say(_ message: AgentToClient) {
        let body = LocalCodec.encode(message)
        let length = (0..<4).map { UInt8(truncatingIfNeeded: body.count >> (8 * $0)) }
        Wire.send(state.withLock { $0.peer }, length + body)
    }

    /// The agent dies: its listener and connection end.
    func die() {
        shutdown(listener, Int32(SHUT_RDWR))
        state.withLock {
            $0.isDead = true
            _ = shutdown($0.peer, Int32(SHUT_RDWR))
        }
    }

    func forget() { state.withLock { $0.said = [] } }

    private func serve(_ peer: Int32) {
        while let header = Wire.receive(peer, 4) {
            let length = (0..<4).reduce(0) { $0 | Int(header[$1]) << (8 * $1) }
            guard let body = Wire.receive(peer, length),
                let message = try? LocalCodec.clientToAgent(from: body)
            else { return }
            state.withLock { $0.said.append(message) }
        }
    }
}

/// A server of one volume: greets, and grants at once or when the test says so.
final class FakeServer: Sendable {
    struct State {
        var peers: [Int32] = []
        var hellos: [SessionHello] = []
        var queries: [(request: UInt64, ranges: [ChunkRange])] = []
        var grants = true
        var generation: UInt64 = 1
        var error: UInt16?
        var snapshots: [SnapshotEntry] = []
        /// Seals of living connections, by descriptor.
        var seals: [Int32: SessionSeal] = [:]
        var epochs: [Int32: Epoch] = [:]
    }

    let port: UInt16
    let size: UInt64
    private let listener: Int32
    private let key: [UInt8]?
    private let state = Mutex(State())

    init(size: UInt64, key: [UInt8]? = nil) {
        (listener, port) = Wire.listenTCP()
        self.size = size
        self.key = key
        Wire.thread { [self] in
            defer { close(listener) }
            while true {
                let peer = accept(listener, nil, nil)
                if peer < 0 { return }
                Wire.thread { [self] in
                    serve(peer)
                    state.withLock {
                        $0.peers.removeAll { $0 == peer }
                        $0.seals[peer] = nil
                    }
                    close(peer)
                }
            }
        }
    }

    var address: Address { .ipv4(127, 0, 0, 1, port: port) }
    var hellos: [SessionHello] { state.withLock { $0.hellos } }
    var queries: [(request: UInt64, ranges: [ChunkRange])] { state.withLock { $0.queries } }
    var openSessions: Int { state.withLock { $0.peers.count } }

    func set(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }

    /// Cuts all connections; the listener stays.
    func cut() { state.withLock { for peer in $0.peers { shutdown(peer, Int32(SHUT_RDWR)) } } }

    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        cut()
    }

    /// Grants what was asked before; nothing more is held.
    func grantAll() {
        state.withLock { state in
            state.grants = true
            for peer in state.peers {
                for query in state.queries {
                    Self.answer(
                        peer,
                        .grant(
                            request: query.request, epoch: state.epochs[peer] ?? Epoch(0),
                            generation: state.generation), &state)
                }
            }
        }
    }

    private static func answer(_ peer: Int32, _ frame: ServerFrame, _ state: inout State) {
        guard let bytes = state.seals[peer]?.seal(frame.bytes) else { return }
        Wire.send(peer, bytes)
    }

    private func serve(_ peer: Int32) {
        let seal = SessionSeal(side: .server, key: key)
        Wire.send(peer, seal.preamble)
        state.withLock {
            $0.seals[peer] = seal
            $0.peers.append(peer)
        }
        var reader = FrameReader<ClientFrame>()
        while let bytes = Wire.receiveSome(peer) {
            guard let plain = try? state.withLock({ try $0.seals[peer]?.open(bytes) }) else { return }
            reader.feed(plain)
            do {
                while let frame = try reader.next() { state.withLock { obey(frame, peer, &$0) } }
            } catch { return }
        }
    }

    private func obey(_ frame: ClientFrame, _ peer: Int32, _ state: inout State) {
        switch frame {
        case .hello(let hello):
            state.hellos.append(hello)
            state.epochs[peer] = hello.tenure.epoch
            let welcome = SessionWelcome(
                session: UInt64(state.hellos.count), tenure: hello.tenure, storeUUID: Bits128(high: 0, low: 7),
                originSize: size, chunkSize: 65536, generation: state.generation)
            Self.answer(peer, .welcome(welcome), &state)
        case .queryWrite(let request, let epoch, let ranges):
            state.queries.append((request, ranges))
            if let code = state.error {
                Self.answer(peer, .error(request: request, epoch: epoch, code: code), &state)
            } else if state.grants {
                Self.answer(peer, .grant(request: request, epoch: epoch, generation: state.generation), &state)
            }
        case .ping(let epoch): Self.answer(peer, .pong(epoch: epoch), &state)
        case .listSnapshots(let request, let epoch, let after):
            let rest = state.snapshots.filter { $0.number > after }
            let page = Array(rest.prefix(SessionWire.snapshotsPerPage))
            let frame = ServerFrame.snapshots(
                request: request, epoch: epoch, entries: page, hasMore: rest.count > page.count)
            Self.answer(peer, frame, &state)
        case .queryRead, .endRead, .readData, .writeBranch, .queryChanges, .barrierAck, .openImages, .command,
            .clientGone, .bye:
            break
        }
    }
}

/// A flag that one thread sets and others look at.
final class Stop: Sendable {
    private let flag = Atomic<Bool>(false)
    var isSet: Bool { flag.load(ordering: .acquiring) }
    func set() { flag.store(true, ordering: .releasing) }
}
