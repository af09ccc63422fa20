import CsnapCore
import Logging
import NIOCore
import Systemd

/// The shell around one core agent: events in, actions out, in order. On its loop only.
///
/// It decides nothing: one switch, one method per action (docs/architecture.md).
final class AgentLoop {
    /// No two wakes follow closer than this.
    private static let shortestWait = Interval.microseconds(100)
    /// Commands of people that wait for their answer.
    private static let commandLimit = 256
    /// The same error is said no more often.
    private static let repetition = Interval.seconds(30)

    private(set) var agent: Agent
    private(set) var metrics = AgentMetrics()
    private let loop: any EventLoop
    private let timer: BootTimer
    private let transport: any PacketTransport
    private let stateFile: StateFile
    private let server: AgentServer?
    private let clients: AgentClients
    private let eventLog: EventLog
    private let logger: Logger
    private let onExit: (ExitReason) -> Void

    private var commands: [Bits128: EventLoopPromise<OperatorOutcome>] = [:]
    private var wakeAt = Instant.distantFuture
    private var events: [Event] = []
    private var isStepping = false
    private var hasExited = false
    private var statusLine = ""
    /// Something was reported since the line was written.
    private var statusMayBeOld = false
    private var cluster: Bits128?
    /// Why the last write of the state failed.
    private var storeError: (error: SystemError, saidAt: Instant)?

    init(
        agent: Agent, start: AgentStart, loop: any EventLoop, timer: BootTimer, transport: any PacketTransport,
        server: AgentServer?, clients: AgentClients, eventLog: EventLog, logger: Logger,
        onExit: @escaping (ExitReason) -> Void
    ) {
        self.agent = agent
        self.loop = loop
        self.timer = timer
        self.transport = transport
        stateFile = start.stateFile
        self.server = server
        self.clients = clients
        self.eventLog = eventLog
        self.logger = logger
        self.onExit = onExit
        cluster = start.stored.flatMap { $0.cluster == .zero ? nil : $0.cluster }
        timer.onDue { [unowned self] in awoken() }
    }

    var serverProcessID: Int32? { server?.processID }

    func submit(_ command: Command) -> EventLoopFuture<OperatorOutcome> {
        guard commands.count < Self.commandLimit, !hasExited else {
            return loop.makeSucceededFuture(.refused(.busy))
        }
        let id = RandomBits.draw()
        let promise = loop.makePromise(of: OperatorOutcome.self)
        commands[id] = promise
        handle(.command(id: id, command))
        return promise.futureResult
    }

    /// Takes the event after those that are being taken: performing an action may cause the next event.
    func handle(_ event: Event) {
        loop.preconditionInEventLoop()
        events.append(event)
        guard !isStepping else { return }
        isStepping = true
        while !events.isEmpty && !hasExited {
            let event = events.removeFirst()
            for action in agent.step(event, at: BootClock.now()) { perform(action) }
        }
        isStepping = false
        if statusMayBeOld { sayStatus() }
        guard !hasExited else { return events = [] }
        if let leavesOut = agent.leavesOut { server?.load(leavingOut: leavesOut) }
        scheduleWake()
    }

    /// Whether the core's timers are served in time: no progress, no watchdog.
    func makesProgress(at now: Instant, within bound: Interval) -> Bool {
        hasExited || agent.nextWake > now - bound
    }

    /// Tells the service manager how things stand, if that has changed.
    func sayStatus() {
        statusMayBeOld = false
        guard ServiceManager.isPresent else { return }
        let line = StatusLine.text(agent, at: BootClock.now())
        guard line != statusLine else { return }
        // One that was not taken is said again.
        statusLine = ServiceManager.notifyAtOnce(.status(line)) ? line : ""
    }

    private func scheduleWake() {
        let next = agent.nextWake
        guard next != wakeAt else { return }
        wakeAt = next
        timer.arm(at: max(next, BootClock.now() + Self.shortestWait))
    }

    private func awoken() {
        let due = wakeAt
        wakeAt = .distantFuture
        metrics.observe(lateness: BootClock.now() - due)
        handle(.wake)
    }

    private func perform(_ action: Action) {
        switch action {
        case .send(let peer, let messages): transport.send(messages, to: peer)
        case .persist(let state, let token): persist(state, token)
        case .toServer(let message): server?.send(message)
        case .killServer: killServer()
        case .toClient(let client, let message): clients.send(message, to: client)
        case .report(let report): tell(report)
        case .reply(let command, let outcome): commands.removeValue(forKey: command)?.succeed(outcome)
        case .pin(let cluster): pin(cluster)
        case .exit(let reason): exit(reason)
        }
    }

    private func persist(_ state: StoredState, _ token: UInt64) {
        let bound = NIOLoopBound(self, eventLoop: loop)
        let loop = loop
        stateFile.write(state) { error in
            loop.execute { bound.value.persisted(token, error) }
        }
    }

    /// A disk that fails is written to each second; the same error is said once in a while.
    private func persisted(_ token: UInt64, _ error: SystemError?) {
        let now = BootClock.now()
        if let error, error != storeError?.error || now - (storeError?.saidAt ?? now) >= Self.repetition {
            storeError = (error, now)
            logger.error("the state is not stored: \(error)")
        }
        if error == nil { storeError = nil }
        handle(error == nil ? .persisted(token: token) : .persistFailed(token: token))
    }

    private func killServer() {
        if let server { server.kill() } else { handle(.serverGone) }
    }

    private func tell(_ report: Report) {
        statusMayBeOld = true
        metrics.observe(report, at: BootClock.now())
        eventLog.append(report, at: BootClock.now())
        logger.log(report, cluster: cluster)
    }

    private func pin(_ cluster: Bits128) {
        self.cluster = cluster
        transport.pin(cluster: cluster)
    }

    private func exit(_ reason: ExitReason) {
        guard !hasExited else { return }
        hasExited = true
        timer.arm(at: .distantFuture)
        for promise in commands.values { promise.succeed(reason == .done ? .done : .refused(.busy)) }
        commands = [:]
        onExit(reason)
    }
}
