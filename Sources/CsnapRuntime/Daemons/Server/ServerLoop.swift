import CsnapCore
import CsnapSession
import CsnapStore
import Glibc
import Logging

/// The main thread of csnap-server: one poll(2) over the agent, the stores' doorbell, the listener and the sessions.
///
/// It decides nothing: sessions and admissions are `SessionTable`'s, the store is `StoreTaking`'s, time is
/// `ServiceGate`'s. Before each accept, read of a session and send it asks the gate. It never blocks but in poll.
final class ServerLoop {
    let resources: ServerResources
    private(set) var logger: Logger
    var agent: AgentChannel
    var phase = ServerPhase.inert
    var connections: [ConnectionID: SessionConnection] = [:]
    var lastConnection: UInt64 = 0
    var wasServing = false
    private let lock: FileLock
    private let listener: ServerListener
    /// Those that are served, in the order of the session table's volumes.
    var stores: [StoreKeeper]
    /// What the table has said since the first of it is being done; nil: nothing is.
    private var unperformed: [SessionAction]?
    /// Volumes that are not served: their stores failed, here and elsewhere.
    var leftOut: [String]
    private var turnBuffer = [UInt8](repeating: 0, count: SessionConnection.turn)

    /// How long a busy port is waited for.
    private static let listenPatience = Interval.seconds(1)

    init(
        _ resources: ServerResources, agent: AgentChannel, lock: FileLock, logger: Logger
    ) throws(SystemError) {
        self.resources = resources
        self.agent = agent
        self.lock = lock
        self.logger = logger
        stores = resources.stores
        leftOut = resources.missing.map(\.volume) + resources.withheld
        listener = try ServerListener(resources.configuration.serviceListen)
    }

    func run() -> Never {
        for missing in resources.missing { logger.error("it is left out: \(missing)") }
        for volume in resources.withheld { logger.error("\(volume) is left out: its store failed while it was served") }
        tell(.inert)
        logger.info("the server is loaded and inert, with \(stores.count) stores open")
        while true { turn() }
    }

    private func turn() {
        let now = BootClock.now()
        if resources.gate.mustExit(now) { exitAtHardDeadline() }
        watch(now)
        let agentEvents = agent.hasOutgoing ? POLLIN | POLLOUT : POLLIN
        var polled = [pollfd(fd: agent.descriptor, events: Int16(agentEvents), revents: 0)]
        polled.append(pollfd(fd: resources.doorbell.descriptor, events: Int16(POLLIN), revents: 0))
        var ids: [ConnectionID] = []
        if wasServing, case .serving = phase {
            polled.append(pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0))
            ids = connections.keys.sorted()
            for id in ids {
                guard let connection = connections[id] else { continue }
                let events = (connection.mayRead ? POLLIN : 0) | (connection.wantsToSend ? POLLOUT : 0)
                polled.append(pollfd(fd: connection.descriptor, events: Int16(events), revents: 0))
            }
        }
        if poll(&polled, nfds_t(polled.count), waitMilliseconds(now)) < 0, errno != EINTR {
            fail(.listen, "poll failed: \(SystemError("cannot wait for", "events"))")
        }
        if resources.gate.mustExit(BootClock.now()) { exitAtHardDeadline() }
        handleAgent(polled[0].revents)
        if polled[1].revents != 0 { handleStores() }
        giveUpHanging()
        if case .listening = phase { tryToListen() }
        guard polled.count > 2 else { return }
        if polled[2].revents != 0 { acceptOne() }
        for (index, id) in ids.enumerated() { handle(id, events: polled[3 + index].revents) }
        cutOverdue()
        wakeTable()
    }

    /// Until the next thing that comes without an event, at most a second.
    private func waitMilliseconds(_ now: Instant) -> Int32 {
        if case .listening = phase { return 10 }
        var deadline = wasServing ? resources.gate.softDeadline : resources.gate.hardDeadline
        if wasServing, case .serving(let table) = phase, let wake = table.nextWake { deadline = min(deadline, wake) }
        if case .taking(let taking) = phase { deadline = min(deadline, taking.deadline) }
        let wait = min(max(deadline - now, .zero), .seconds(1))
        return Int32(wait.nanoseconds / 1_000_000 + 1)
    }

    /// Says by name when the gate closes and opens again; sessions are not blamed for the time between.
    func noteGate(_ now: Instant) {
        guard phase.tenure != nil else { return }
        let serves = resources.gate.mayServe(now)
        guard serves != wasServing else { return }
        wasServing = serves
        if serves {
            for id in connections.keys { connections[id]?.resetPatience(now) }
            logger.notice("the gate is open")
            handleStores()
        } else {
            logger.warning("the lease is past its soft deadline: the gate is closed until it is renewed")
        }
    }

    // MARK: The agent

    private func handleAgent(_ events: Int16) {
        guard events != 0 else { return }
        if !agent.flush() { exitWithoutAgent("the agent's socket broke") }
        guard events & Int16(POLLIN | POLLHUP | POLLERR) != 0 else { return }
        switch agent.read() {
        case .messages(let messages): for message in messages { obey(message) }
        case .ended(let reason): exitWithoutAgent(reason)
        }
    }

    private func obey(_ message: AgentToServer) {
        switch message {
        case .start(let start): begin(start)
        case .lease(let soft, let hard):
            if phase.tenure != nil { resources.gate.renew(soft: soft, hard: hard) }
        case .admit(let process): change(.admit(process))
        case .strike(let process, let cause):
            logger.notice("strike of node \(process.node.value) boot \(process.boot.value): \(cause)")
            change(.strike(process, isFenced: cause == .fenced))
        case .activate(let tenure): change(.activate(tenure))
        case .stop:
            logger.notice("stopped by the agent")
            ServerExit.stopped.now()
        case .keys: resources.keys.reload()
        }
    }

    /// START: deadlines first, then the stores.
    private func begin(_ start: StartServer) {
        guard case .inert = phase else {
            logger.error("a second START in one process; it ends, so that the agent can start a fresh server")
            ServerExit.failed.now()
        }
        let now = BootClock.now()
        resources.gate.renew(soft: start.soft, hard: start.hard)
        resources.deadline.start()
        if resources.gate.mustExit(now) { exitAtHardDeadline() }
        do {
            try lock.write(start.startBits.hex + "\n")
        } catch {
            fail(.storeIO, error.description)
        }
        resources.record.begin(start.tenure, at: now)
        // Before the agent gives this server up, which knows no volume.
        let patience = resources.configuration.timing.reconnect * 3 / 4
        phase = .taking(TakingServer(start: start, deadline: now + patience))
        logger[metadataKey: LogField.epoch] = "\(start.tenure.epoch.value)"
        logger[metadataKey: LogField.round] = "\(start.tenure.round.value)"
        logger.notice("START of epoch \(start.tenure.epoch.value) round \(start.tenure.round.value)")
        let owner = StoreOwner(
            process: start.process, machineID: start.machineID, kernelBootID: start.kernelBootID)
        for store in stores {
            store.take(
                StoreClaim(
                    tenure: start.tenure, cluster: start.cluster, owner: owner,
                    lastActiveEpoch: start.lastActive(of: store.volume), deviceSize: 0))
        }
        if stores.isEmpty { phase = .listening(ListeningServer(start: start, volumes: [])) }
    }

    private func change(_ change: ServerPhase.Change) {
        switch phase {
        case .inert: break
        case .taking, .listening:
            guard phase.keep(change) else { fail(.listen, "too many changes of admission before the start") }
        case .serving: withTable { change.apply(to: &$0) }
        }
    }

    // MARK: The stores

    private func handleStores() {
        resources.doorbell.wait()
        // What the table says to it may be sent only while we may serve; the news waits until the gate opens again.
        if case .serving = phase, !resources.gate.mayServe(BootClock.now()) { return }
        for (index, store) in stores.enumerated() {
            for news in store.takeNews() { heard(news, of: store, index) }
        }
        // Answers leave now, all of one connection together, not with the next turn.
        for id in connections.filter({ $0.value.wantsToSend }).keys { flush(id) }
        resolveIfTaken()
    }

    private func heard(_ news: StoreNews, of store: StoreKeeper, _ index: Int) {
        switch news {
        case .taken(let volume):
            guard case .taking(var taking) = phase else { return }
            taking.taken(volume)
            phase = .taking(taking)
        case .refused(let refusal):
            guard let tenure = phase.tenure else { return }
            let reason = refusal.sentence(store.path)
            // Against a higher tenure only a higher claim helps.
            if resources.leavesOut, refusal.failure != .storeTenure, stores.count > 1 { return leaveOut(store, reason) }
            fail(refusal.failure, reason, volume: store.volume, epochSeen: refusal.epochSeen(by: tenure))
        case .completed(let ticket, let result):
            if case .taking(let taking) = phase, let resolution = taking.resolution {
                return resolve(resolution) { $0.answered(ticket, result) }
            }
            withTable { $0.completed(ticket, volume: index, result, at: BootClock.now()) }
        case .freed(let stamp): withTable { $0.freed(stamp, volume: index) }
        case .space(let percent, let isHolding):
            tell(.store(StoreNotice(volume: store.volume, kind: .space(percent: percent, isHolding: isHolding))))
        case .dropped(let snapshot):
            logger.warning("snapshot \(snapshot.name) of \(store.volume) was dropped: the store is full")
            tell(.store(StoreNotice(volume: store.volume, kind: .dropped(snapshot: snapshot.name))))
            withTable { $0.dropped(snapshot.number, volume: index) }
        case .damaged(let reason): logger.critical("\(reason)", metadata: [LogField.volume: "\(store.volume)"])
        case .failed(let failure, let reason, let epochSeen):
            fail(failure, reason, volume: store.volume, epochSeen: epochSeen)
        }
    }

    private func tryToListen() {
        guard case .listening(var listening) = phase, resources.gate.mayServe(BootClock.now()) else { return }
        let since = listening.since ?? BootClock.now()
        listening.since = since
        phase = .listening(listening)
        switch listener.listen() {
        case .failure(let error):
            let isLate = BootClock.now() - since > Self.listenPatience
            if error.code != EADDRINUSE || isLate { fail(.listen, error.description) }
        case .success(let port):
            let start = listening.start
            phase = .serving(
                SessionTable(
                    tenure: start.tenure, volumes: listening.volumes, leftOut: leftOut, admitted: start.admitted))
            let names = stores.map { VolumeDigest(name: $0.volume) }
            let volumes = names.count <= Limits.claimedVolumes ? names : nil
            tell(.started(start.tenure, port: port, volumes: volumes))
            logger.notice("the stores are taken; sessions are accepted at port \(port)")
            for kept in listening.kept { change(kept) }
        }
    }

    // MARK: Sessions

    private func acceptOne() {
        guard case .serving = phase, resources.gate.mayServe(BootClock.now()) else { return }
        guard let descriptor = listener.accept() else { return }
        let now = BootClock.now()
        resources.record.served(at: now)
        lastConnection += 1
        let id = ConnectionID(lastConnection)
        connections[id] = SessionConnection(descriptor: descriptor, keys: resources.keys.current, now: now)
        withTable { $0.opened(id, at: now) }
        flush(id)
    }

    private func handle(_ id: ConnectionID, events: Int16) {
        guard events != 0 else { return }
        if events & Int16(POLLOUT) != 0 { flush(id) }
        guard events & Int16(POLLIN | POLLHUP | POLLERR) != 0, resources.gate.mayServe(BootClock.now()),
            let reading = connections[id]?.read(into: &turnBuffer)
        else { return }
        switch reading {
        case .frames(let frames): receive(frames, id)
        case .garbage(let frames, let error):
            receive(frames, id)
            withTable { $0.receivedGarbage(error, on: id) }
        case .ended(let reason):
            if connections[id]?.lacksKey == true { resources.keys.refresh(at: BootClock.now()) }
            lose(id, reason)
        }
    }

    private func receive(_ frames: [ClientFrame], _ id: ConnectionID) {
        for frame in frames where connections[id]?.isClosing == false {
            withTable { $0.received(frame, on: id, at: BootClock.now()) }
        }
        flush(id)
    }

    /// The listener of one turn; what the table says is carried out.
    func withTable(_ body: (inout SessionTable) -> [SessionAction]) {
        guard case .serving(var table) = phase else { return }
        // Else what the table changes would be copied, since the phase holds it, too.
        phase = .inert
        let actions = body(&table)
        phase = .serving(table)
        perform(actions)
    }

    /// In the order in which the table said them: to send may lose a connection, of which the table says more.
    private func perform(_ actions: [SessionAction]) {
        if unperformed != nil {
            unperformed? += actions
            return
        }
        unperformed = actions
        while let action = unperformed?.first {
            unperformed?.removeFirst()
            switch action {
            case .send(let frame, let id): send(frame, id)
            case .close(let id, let end): end == .struck ? cut(id, end.description) : finish(id, end)
            case .sessions(let process, _):
                // Counted now: an action before this one may have lost a connection.
                if case .serving(let table) = phase { tell(.sessions(process, count: table.sessions(of: process))) }
            case .struck(let process): tell(.struck(process))
            case .store(let volume, let ticket, let order): submit(order, ticket, to: volume)
            case .cancel(let volume, let tickets): stores[volume].cancel(tickets)
            }
        }
        unperformed = nil
    }

    private func send(_ frame: ServerFrame, _ id: ConnectionID) {
        if case .welcome = frame { connections[id]?.isWelcome = true }
        if connections[id]?.send(frame, now: BootClock.now()) == false { flushOrLose(id) }
    }

    func flush(_ id: ConnectionID) {
        guard resources.gate.mayServe(BootClock.now()) else { return }
        if connections[id]?.flush(now: BootClock.now()) == true { resources.record.served(at: BootClock.now()) }
        guard let connection = connections[id] else { return }
        if connection.isClosing, !connection.wantsToSend { forget(id) }
    }

    /// The table has ended it: what is queued goes out first, if that is soon.
    private func finish(_ id: ConnectionID, _ end: SessionEnd) {
        guard connections[id] != nil else { return }
        if end == .bye {
            logger.debug("session on connection \(id.value) ended: \(end)", metadata: id.field)
        } else {
            logger.warning("connection \(id.value) ended: \(end)", metadata: id.field)
        }
        connections[id]?.isClosing = true
        flush(id)
    }

    /// Nothing more reaches it.
    private func cut(_ id: ConnectionID, _ reason: String) {
        logger.warning("connection \(id.value) cut off: \(reason)", metadata: id.field)
        connections[id]?.discard()
        forget(id)
    }

    func lose(_ id: ConnectionID, _ reason: String) {
        guard connections[id] != nil else { return }
        // Each command's is: what a client's end means, its agent and the table say.
        logger.debug("connection \(id.value) lost: \(reason)", metadata: id.field)
        connections[id]?.discard()
        forget(id)
        withTable { $0.closed(id, at: BootClock.now()) }
    }

    private func forget(_ id: ConnectionID) {
        if let connection = connections.removeValue(forKey: id) { close(connection.descriptor) }
    }

    private func cutOverdue() {
        let now = BootClock.now()
        for (id, connection) in connections where connection.isOverdue(now) {
            lose(id, connection.isWelcome ? "it does not read what it asked for" : "it said no hello in time")
        }
    }

    private func wakeTable() {
        let now = BootClock.now()
        guard case .serving(let table) = phase, let wake = table.nextWake, wake <= now, resources.gate.mayServe(now)
        else { return }
        withTable { $0.wake(now) }
    }
}

extension ConnectionID {
    /// For `journalctl CSNAP_SESSION=N`, beside CSNAP_EPOCH.
    fileprivate var field: Logger.Metadata { [LogField.session: "\(value)"] }
}
