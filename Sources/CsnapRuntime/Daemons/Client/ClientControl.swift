import CShims
import CsnapCore
import CsnapSession
import Glibc

/// The control thread: carries agent, server and time to the core, and its actions out. It decides nothing.
final class ClientControl {
    private static let agentRetry = Interval.milliseconds(50)
    /// The longest sleep of the loop.
    private static let longest = Interval.seconds(1)

    private let monitor: ClientMonitor
    private let watch: DiskWatch
    private let snapshots: SnapshotReader
    private let dataSocket: String
    private let source: Address?
    private let keys: KeySource
    private let log: @Sendable (ClientNote) -> Void

    private var agent: AgentLink?
    private var agentRetryAt = Instant.distantPast
    private var session: SessionLink?
    private var lastTrouble: String?

    init(
        monitor: ClientMonitor, watch: DiskWatch, snapshots: SnapshotReader, dataSocket: String, source: Address?,
        keys: KeySource, log: @escaping @Sendable (ClientNote) -> Void
    ) {
        self.monitor = monitor
        self.watch = watch
        self.snapshots = snapshots
        self.dataSocket = dataSocket
        self.source = source
        self.keys = keys
        self.log = log
    }

    /// Until `isStopping` says so; it is asked after each `monitor.signal`.
    func run(isStopping: () -> Bool) {
        while !isStopping() {
            let now = BootClock.now()
            connectAgent(now)
            if let due = monitor.peek({ $0.nextWake }), due <= now { monitor.control { $0.wake(now) } }
            lookAtDisk(now)
            perform()
            waitAndServe()
        }
    }

    /// The loop sleeps no longer than the watch's period.
    private func lookAtDisk(_ now: Instant) {
        guard watch.nextLook <= now else { return }
        let hanging = watch.look(now)
        if monitor.peek({ $0.hanging }) != hanging { monitor.control { $0.diskHangs(hanging) } }
    }

    /// The gate is closed for good and nothing is in flight: agent and server may forget us.
    func sayGoodbye() {
        for action in [ClientCore.Action.tell(.bye), .send(.bye)] { perform(action) }
    }

    private func connectAgent(_ now: Instant) {
        guard agent == nil, agentRetryAt <= now else { return }
        agentRetryAt = now + Self.agentRetry
        guard let socket = StreamSocket.connect(path: dataSocket) else { return }
        agent = AgentLink(socket: socket)
        monitor.control { $0.agentConnected() }
    }

    // MARK: - Actions

    /// Until nothing is left: what an action brings about is done before we sleep.
    private func perform() {
        while true {
            let actions = monitor.takeActions()
            if actions.isEmpty { return }
            for action in actions { perform(action) }
        }
    }

    private func perform(_ action: ClientCore.Action) {
        switch action {
        case .tell(let message):
            if let agent, !agent.send(message) { self.agent = nil }
        case .connect(let address):
            session = StreamSocket.connect(address, source: source).map { SessionLink(socket: $0, keys: keys.current) }
            if session == nil { lose("cannot connect to \(address.text): \(String(cString: strerror(errno)))") }
        case .disconnect: session = nil
        case .send(let frame):
            if let session, !session.send(frame) { lose(nil) }
        case .wake: break  // `takeActions` woke them
        case .flushOrigin(let attempt): snapshots.flushOrigin(attempt)
        case .readMapped(let id, let pieces): snapshots.mapped(id, pieces)
        case .failed(let id, let code): snapshots.failed(id, code: code)
        case .written(let id): snapshots.wrote(id)
        case .changes(let id, let changes): snapshots.changed(id, changes)
        case .readData(let id, let bytes): snapshots.received(id, bytes)
        case .exports(let entries, let chunkSize, let store):
            snapshots.offer(entries, chunkSize: chunkSize, of: store)
        case .offer(let size): _ = snapshots.offerOrigin(upTo: size)
        case .grown(let size):
            let seen = snapshots.offerOrigin(upTo: size)
            let remedy = "give it the same size, or correct its path"
            let words =
                seen < size
                ? "the volume has \(size) bytes, this node's origin only \(seen): \(remedy)"
                : "the volume has \(size) bytes now; programs that connect again see them"
            log(ClientNote(.other, words))
        case .note(let note): log(note)
        }
    }

    /// The session is gone. What went wrong is said once, not at each attempt.
    private func lose(_ trouble: String?) {
        session = nil
        if let trouble, trouble != lastTrouble { log(ClientNote(.sessionLost, trouble)) }
        lastTrouble = trouble ?? lastTrouble
        monitor.control { $0.sessionLost(BootClock.now()) }
    }

    // MARK: - Waiting

    private func waitAndServe() {
        let agentSocket = agent?.socket
        let sessionSocket = session?.socket
        let writing = session.map { $0.isConnecting || $0.socket.wantsToWrite } ?? false
        var entries = [
            pollfd(fd: monitor.wakeup, events: Int16(POLLIN), revents: 0),
            Self.entry(agentSocket, writing: agentSocket?.wantsToWrite ?? false),
            Self.entry(sessionSocket, writing: writing),
        ]
        guard poll(&entries, 3, timeout()) > 0 else { return }
        if entries[0].revents != 0 { csnap_wakeup_clear(monitor.wakeup) }
        if entries[1].revents != 0 { serveAgent(entries[1].revents) }
        // The agent may have ended or replaced the session; the events are of the old one.
        if entries[2].revents != 0, session?.socket === sessionSocket { serveSession(entries[2].revents) }
    }

    private static func entry(_ socket: StreamSocket?, writing: Bool) -> pollfd {
        pollfd(fd: socket?.descriptor ?? -1, events: Int16(writing ? POLLIN | POLLOUT : POLLIN), revents: 0)
    }

    private func timeout() -> Int32 {
        let now = BootClock.now()
        var until = now + Self.longest
        if agent == nil { until = min(until, agentRetryAt) }
        if let due = monitor.peek({ $0.nextWake }) { until = min(until, due) }
        let nanoseconds = max((until - now).nanoseconds, 0)
        return Int32((nanoseconds + 999_999) / 1_000_000)
    }

    private func serveAgent(_ events: Int16) {
        guard let agent else { return }
        if events & Int16(POLLOUT) != 0, !agent.socket.flush() { return self.agent = nil }
        guard events & ~Int16(POLLOUT) != 0 else { return }
        guard let messages = agent.receive() else {
            log(ClientNote(.agentGone, "the agent is gone; serving goes on until the lease ends"))
            return self.agent = nil
        }
        let now = BootClock.now()
        monitor.control { core in
            for message in messages { core.receive(message, now: now) }
        }
        perform()
    }

    private func serveSession(_ events: Int16) {
        guard let session else { return }
        if events & Int16(POLLOUT) != 0, !session.write() { return lose(nil) }
        guard events & ~Int16(POLLOUT) != 0 else { return }
        let now = BootClock.now()
        switch session.receive() {
        case .ready: monitor.control { $0.sessionConnected() }
        case .frames(let frames):
            lastTrouble = nil
            monitor.control { core in
                for frame in frames { core.receive(frame, now: now) }
            }
        case .nothing: break
        case .broken(let trouble):
            if session.lacksKey { keys.refresh(at: now) }
            lose(trouble)
        }
        perform()
    }
}
