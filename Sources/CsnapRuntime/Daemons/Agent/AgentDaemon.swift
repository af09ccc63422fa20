package import CsnapCore
import Glibc
package import Logging
package import NIOCore
import NIOPosix
import Systemd

/// A running agent, as the rest of its process sees it: may be used from any thread.
///
/// One event loop owns the core; everything else hands events to it.
package final class AgentDaemon: Sendable {
    package let configuration: CsnapConfiguration
    package let loop: any EventLoop
    package let eventLog: EventLog
    package let logger: Logger
    /// Succeeds once, when the agent wants its process to end.
    package let exited: EventLoopFuture<ExitReason>
    private let core: NIOLoopBound<AgentLoop>
    private let server: NIOLoopBound<AgentServer?>
    private let clients: NIOLoopBound<AgentClients>
    private let transport: NIOLoopBound<any PacketTransport>
    private let timer: NIOLoopBound<BootTimer>
    /// Keeps agent.lock.
    private let start: AgentStart
    /// Carries snapshot commands to whoever serves.
    let snapshots: SnapshotForwarder

    private init(
        start: AgentStart, loop: any EventLoop, logger: Logger, timer: BootTimer, transport: any PacketTransport,
        eventLog: EventLog
    ) {
        let configuration = start.configuration
        let exit = loop.makePromise(of: ExitReason.self)
        let server = start.serverExecutable.map { executable in
            AgentServer(
                executable: executable,
                arguments: ["--config", start.configurationFile, "--agent-descriptor", "3"]
                    + start.flags.flatMap { ["--set", $0] } + ServerDaemon.arguments(of: configuration.volumes),
                volumes: configuration.volumes.map(\.name), patience: configuration.timing.hard, loop: loop,
                logger: logger)
        }
        let clients = AgentClients(configuration: configuration, loop: loop, logger: logger)
        let agent = Agent(settings: start.settings, stored: start.stored, at: BootClock.now())
        let core = AgentLoop(
            agent: agent, start: start, loop: loop, timer: timer, transport: transport, server: server,
            clients: clients, eventLog: eventLog, logger: logger, onExit: { exit.succeed($0) })
        server?.onFrame = { [unowned core] in core.handle(.server($0)) }
        server?.onGone = { [unowned core] in core.handle(.serverGone) }
        clients.onMessage = { [unowned core] in core.handle(.client($0, $1)) }
        clients.onGone = { [unowned core] in core.handle(.clientGone($0)) }
        self.configuration = configuration
        self.loop = loop
        self.logger = logger
        self.eventLog = eventLog
        self.start = start
        let bound = NIOLoopBound(core, eventLoop: loop)
        self.core = bound
        let machine = MachineIdentity(
            machineID: start.settings.machineID, kernelBootID: start.settings.kernelBootID)
        let snapshots = SnapshotForwarder(configuration: configuration, machine: machine) {
            let status = try? loop.submit { bound.value.agent.status(at: BootClock.now()) }.wait()
            guard let status, let claim = status.claim, claim.phase == .active else { return nil }
            return SnapshotForwarder.Target(
                tenure: claim.tenure, address: claim.serviceAddress, process: status.process)
        }
        self.snapshots = snapshots
        let ends = ClientEnds(configuration, logger: logger) { volume, client, patience in
            snapshots.tellGone(volume, client: client, patience: patience)
        }
        clients.ends = ends
        ends.begin()
        self.server = NIOLoopBound(server, eventLoop: loop)
        self.clients = NIOLoopBound(clients, eventLoop: loop)
        self.transport = NIOLoopBound(transport, eventLoop: loop)
        self.timer = NIOLoopBound(timer, eventLoop: loop)
        exited = exit.futureResult
    }

    /// Binds the transport and data.sock, starts the inert server and the core; complete when the loop runs.
    package static func run(
        _ start: AgentStart, on loop: any EventLoop, logger: Logger, transport factory: @escaping PacketTransportFactory
    ) -> EventLoopFuture<AgentDaemon> {
        let inbox = NIOLoopBoundBox<AgentDaemon?>.makeEmptyBox(valueType: AgentDaemon.self, eventLoop: loop)
        return loop.flatSubmit {
            factory(start, loop) { sender, messages in
                inbox.value?.core.value.handle(.packet(sender, messages))
            }
        }.and(BootTimer.make(on: loop)).flatMap { transport, timer in
            let eventLog = EventLog(process: start.settings.process)
            let daemon = AgentDaemon(
                start: start, loop: loop, logger: logger, timer: timer.value, transport: transport.value,
                eventLog: eventLog)
            return daemon.clients.value.listen().map {
                inbox.value = daemon
                daemon.server.value?.start()
                daemon.core.value.handle(.wake)
                daemon.supervise()
                return daemon
            }
        }
    }

    /// Runs a person's command; the answer comes when it is done or refused.
    package func submit(_ command: Command) -> EventLoopFuture<OperatorOutcome> {
        let core = core
        return loop.flatSubmit { core.value.submit(command) }
    }

    /// Takes the keys and the peers that a reload brings; the server reads the key file itself.
    func reload(keys: KeyRing, peers: [Address]) -> EventLoopFuture<Void> {
        loop.submit { [self] in
            transport.value.use(keys: keys, peers: peers)
            server.value?.send(.keys)
            core.value.handle(.peers(peers))
        }
    }

    /// One true line for the service manager, before it is told that we are ready.
    func sayStatus() -> EventLoopFuture<Void> {
        let core = core
        return loop.submit { core.value.sayStatus() }
    }

    /// Looks at the core between two events.
    package func withAgent<Value: Sendable>(
        _ look: @escaping @Sendable (Agent, Instant) -> Value
    ) -> EventLoopFuture<Value> {
        let core = core
        return loop.submit { look(core.value.agent, BootClock.now()) }
    }

    /// The process of the server, if one runs. On the loop only.
    package var serverProcessID: Int32? { core.value.serverProcessID }

    /// On the loop only.
    var isFounded: Bool { core.value.agent.status(at: BootClock.now()).cluster != .zero }

    /// The status for people, with what the shell alone knows. On the loop only.
    package func statusReport() -> StatusReport {
        let now = BootClock.now()
        var report = StatusReport(core.value.agent.status(at: now), cluster: configuration.cluster, at: now)
        report.waits += transport.value.strangers(at: now).map { WaitReport($0, at: now) }
        if start.lacksServer { report.waits.append(.serverProgram) }
        if let others = clients.value.withOtherDisks {
            report.waits.append(.otherDisks(others.volumes, node: configuration.node, since: others.since, at: now))
            // The core takes them for clients like others; they obey no resume.
            for index in report.clients.indices where others.volumes.contains(report.clients[index].volume) {
                report.clients[index].suspended = true
            }
        }
        report.agentPid = getpid()
        report.serverPid = serverProcessID
        report.volumes = configuration.volumes.map {
            VolumeStatus(name: $0.name, origin: $0.origin, store: $0.store)
        }
        return report
    }

    /// In Prometheus' text form. On the loop only.
    func metricsText() -> String { core.value.metrics.text(statusReport(), drops: transport.value.drops) }

    /// Ends everything at once; the server's process group is killed.
    package func close() -> EventLoopFuture<Void> {
        loop.submit { [self] in
            server.value?.close()
            clients.value.close()
            transport.value.close()
            timer.value.close()
        }
    }

    /// Periodic duties beside the core: the status line, dropped packets, the watchdog. On the loop.
    private func supervise() {
        let core = core
        let logger = logger
        let transport = transport
        loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
            core.value.sayStatus()
            if let summary = transport.value.takeDropSummary() { logger.debug("packets dropped: \(summary)") }
            let now = BootClock.now()
            guard let stranger = transport.value.takeNewStranger(at: now) else { return }
            let wait = WaitReport(stranger, at: now)
            logger.warning("\(wait.text) \(wait.remedy)")
        }
        guard let interval = ServiceManager.watchdogMicroseconds else { return }
        let half = Interval.microseconds(Int64(clamping: interval / 2))
        let period = TimeAmount.nanoseconds(half.nanoseconds / 2)
        loop.scheduleRepeatedTask(initialDelay: .zero, delay: period) { _ in
            if core.value.makesProgress(at: BootClock.now(), within: half) { ServiceManager.notifyAtOnce(.watchdog) }
        }
    }
}
