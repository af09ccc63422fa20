package import CsnapCore

/// What the shell is to do, in order.
package enum SessionAction: Equatable, Sendable {
    case send(ServerFrame, to: ConnectionID)
    /// What was sent before goes out first. The table has forgotten the connection already.
    case close(ConnectionID, SessionEnd)
    /// For ServerToAgent.sessions.
    case sessions(NodeBoot, count: UInt32)
    /// For ServerToAgent.struck.
    case struck(NodeBoot)
    /// For the store of that volume; answered by `completed` with the ticket.
    case store(volume: Int, ticket: UInt64, StoreOrder)
    /// Nobody awaits these any more: what the store has not begun need not be done.
    case cancel(volume: Int, [UInt64])
}

/// All sessions and admissions of one tenure of a server: one method per event, actions out
/// (docs/data-plane.md, "Server"; docs/protocol.md §6).
///
/// The shell calls it only while it may serve, so that whatever it says may be sent.
package struct SessionTable: Equatable, Sendable {
    package let tenure: Tenure
    package internal(set) var isActive = false
    let limits: SessionLimits
    var volumes: [VolumeState]
    /// Volumes of the configuration that are not served: their stores failed.
    let leftOut: [String]
    var admissions = SortedTable<NodeID, Admission>()
    var connections = SortedTable<ConnectionID, Connection>()
    /// Orders that the stores have not answered.
    var orders = SortedTable<UInt64, Order>()
    var lastSession: UInt64 = 0
    var lastTicket: UInt64 = 0
    var lastAttempt: UInt64 = 0
    /// Snapshots that are being made.
    var barriers = SortedTable<UInt64, SnapshotBarrier>()
    var lastBarrier: UInt64 = 0
    /// The latest instant that the shell has told.
    var now = Instant.distantPast
    /// When service began here; what was lost before is at least as old.
    var activeSince: Instant?

    /// The highest boot of a node that was ever admitted or struck here.
    struct Admission: Equatable, Sendable {
        var boot: Boot
        var isStruck: Bool
    }

    enum Connection: Equatable, Sendable {
        case stranger(since: Instant)
        /// Its hello is good; it waits for its writer's record or for the end of a barrier.
        case greeting(SessionHello, volume: Int)
        case session(Session)
        /// A session for commands of that boot's agent, on that kernel.
        case commander(NodeBoot, SessionWriter)
    }

    struct Session: Equatable, Sendable {
        var owner: ReadOwner
        var writer: SessionWriter
        var volume: Int
        /// Queries that came before `activate`, in their order.
        var early: [ClientFrame] = []
        /// Requests of writes that are not answered.
        var writes: [UInt64] = []
        /// Snapshots and branches that programs have open there; nil: it has not said yet.
        var openImages: [UInt64]?
    }

    /// For whom an order is.
    enum Order: Equatable, Sendable {
        case write(PendingWrite, volume: Int)
        case read(PendingRead, volume: Int)
        /// For a client that does not see the store.
        case data(CommandAnswer)
        case branch(CommandAnswer)
        case list(CommandAnswer)
        case changes(CommandAnswer)
        case command(CommandAnswer)
        case revert(CommandAnswer, volume: Int, isBegin: Bool)
        /// Of a snapshot that is being made.
        case barrier(UInt64, volume: Int)
        case writer(SessionWriter, volume: Int)
        /// The settling of dead servers of that kernel.
        case server(SessionWriter, volume: Int)
        /// The clearing of a writer that its agent asked for.
        case gone(SessionWriter, CommandAnswer, volume: Int)
        case reuse
    }

    package init(
        tenure: Tenure, volumes: [SessionVolume], leftOut: [String] = [], admitted: [NodeBoot],
        limits: SessionLimits = SessionLimits()
    ) {
        self.tenure = tenure
        self.leftOut = leftOut
        self.volumes = volumes.map { VolumeState($0) }
        self.limits = limits
        for process in admitted { _ = admit(process) }
    }

    // MARK: What the agent says

    /// This boot may open sessions; lower boots of its node no longer may. A struck boot stays struck.
    package mutating func admit(_ process: NodeBoot) -> [SessionAction] {
        if let known = admissions[process.node], known.boot >= process.boot { return [] }
        admissions[process.node] = Admission(boot: process.boot, isStruck: false)
        guard process.boot.value > 0 else { return [] }
        return endSessions(of: NodeBoot(node: process.node, boot: Boot(process.boot.value - 1)), .surpassed)
    }

    /// In one step the sessions of this boot, and of lower ones of its node, are gone with all that waited in them, and
    /// their holds. Fenced: nothing of its machine can reach a disk any more, so its writers are cleared.
    package mutating func strike(_ process: NodeBoot, isFenced: Bool = false) -> [SessionAction] {
        if admissions[process.node].map({ $0.boot <= process.boot }) ?? true {
            admissions[process.node] = Admission(boot: process.boot, isStruck: true)
        }
        var actions = SessionMutants.active(.strikeKeepsSessions) ? [] : endSessions(of: process, .struck)
        actions.append(.struck(process))
        for volume in volumes.indices {
            if !sessions(on: [volume]).contains(where: { $0.1.owner.process.node == process.node }) {
                volumes[volume].strangers.removeAll { $0 == process.node }
            }
            if !SessionMutants.active(.strikeKeepsHolds) { volumes[volume].holds.drop(process) }
            if isFenced {
                actions += clearWriters(of: process.node, volume)
                actions.append(order(.settle(process), volume, for: .reuse))
            }
            actions += holdsChanged(volume)
        }
        return actions
    }

    /// Answers what waited, and from now on at once. Ignored for another tenure.
    package mutating func activate(_ tenure: Tenure, at now: Instant) -> [SessionAction] {
        guard tenure == self.tenure, !isActive else { return [] }
        isActive = true
        self.now = now
        activeSince = now
        var actions: [SessionAction] = []
        for (id, connection) in connections {
            guard case .session(var session) = connection else { continue }
            let early = session.early
            session.early = []
            connections[id] = .session(session)
            for frame in early { actions += received(frame, on: id, at: now) }
        }
        for volume in volumes.indices { actions += reuse(volume) }
        return actions
    }

    // MARK: What connections do

    /// Who has been a stranger for longest makes room, if a client would have said hello by then. Else whoever comes
    /// has to come again: after a fail-over many come at once, and those that are there are to be greeted first.
    package mutating func opened(_ id: ConnectionID, at now: Instant) -> [SessionAction] {
        self.now = now
        let strangers: [(id: ConnectionID, since: Instant)] = connections.compactMap { id, connection in
            if case .stranger(let since) = connection { (id, since) } else { nil }
        }
        guard strangers.count >= limits.strangers, let oldest = strangers.first else {
            connections[id] = .stranger(since: now)
            return []
        }
        guard now - oldest.since >= limits.hello else { return [.close(id, .tooManyStrangers)] }
        connections[id] = .stranger(since: now)
        return end(oldest.id, .tooManyStrangers)
    }

    /// The connection is gone, whoever ended it.
    package mutating func closed(_ id: ConnectionID, at now: Instant) -> [SessionAction] {
        self.now = now
        return forget(id)
    }

    package mutating func received(_ frame: ClientFrame, on id: ConnectionID, at now: Instant) -> [SessionAction] {
        guard let connection = connections[id] else { return [] }
        self.now = now
        switch connection {
        case .stranger:
            switch frame {
            case .hello(let hello): return greet(hello, id, now)
            case .bye: return end(id, .bye)
            case .queryWrite, .queryRead, .endRead, .readData, .writeBranch, .barrierAck, .listSnapshots,
                .queryChanges, .openImages, .command, .clientGone, .ping:
                return end(id, .helloMissing)
            }
        case .greeting: return received(frame, greeting: id)
        case .session(let session): return received(frame, of: session, id, now)
        case .commander(let process, let writer): return received(frame, commanding: id, process, writer)
        }
    }

    /// What came on the connection is no frame.
    package mutating func receivedGarbage(_ error: SessionFrameError, on id: ConnectionID) -> [SessionAction] {
        connections[id] == nil ? [] : end(id, .garbage(error))
    }

    // MARK: What is known

    /// Clients of this boot that are back: with a session, or kept waiting by a revert.
    package func sessions(of process: NodeBoot) -> UInt32 {
        connections.values.reduce(0) { sum, connection in
            switch connection {
            case .session(let session) where session.owner.process == process: sum + 1
            case .greeting(let hello, let volume) where hello.process == process && isExcluded(process.node, volume):
                sum + 1
            case .stranger, .greeting, .session, .commander: sum
            }
        }
    }

    /// Reads of clients of this boot, or of lower ones of its node, that have not ended.
    package func reads(of process: NodeBoot) -> Int {
        volumes.reduce(0) { $0 + $1.holds.count(of: process) }
    }

    package var sessionCount: Int {
        connections.values.reduce(0) { sum, connection in
            if case .stranger = connection { sum } else { sum + 1 }
        }
    }

    func isAdmitted(_ process: NodeBoot) -> Bool {
        admissions[process.node] == Admission(boot: process.boot, isStruck: false)
    }

    mutating func order(_ order: StoreOrder, _ volume: Int, for whom: Order) -> SessionAction {
        lastTicket += 1
        orders[lastTicket] = whom
        return .store(volume: volume, ticket: lastTicket, order)
    }
}

// MARK: Frames

extension SessionTable {
    private mutating func received(_ frame: ClientFrame, greeting id: ConnectionID) -> [SessionAction] {
        switch frame {
        case .hello: return end(id, .helloTwice)
        case .bye: return end(id, .bye)
        case .ping(let epoch):
            return epoch == tenure.epoch ? [.send(.pong(epoch: epoch), to: id)] : refuseEpoch(epoch, id)
        case .queryWrite, .queryRead, .endRead, .readData, .writeBranch, .barrierAck, .listSnapshots, .queryChanges,
            .openImages, .command, .clientGone:
            return end(id, .helloMissing)
        }
    }

    private mutating func received(
        _ frame: ClientFrame, of session: Session, _ id: ConnectionID, _ now: Instant
    ) -> [SessionAction] {
        switch frame {
        case .hello: return end(id, .helloTwice)
        case .command, .clientGone: return end(id, .wrongImage)
        case .bye: return end(id, .bye) + byeOf(session)
        case .queryWrite, .queryRead, .endRead, .readData, .writeBranch, .barrierAck, .listSnapshots, .queryChanges,
            .openImages, .ping:
            break
        }
        guard frame.epoch == tenure.epoch else { return refuseEpoch(frame.epoch, id) }
        switch frame {
        case .queryWrite(let request, _, let ranges): return queryWrite(request, ranges, session, id)
        case .queryRead(let request, _, let snapshot, let ranges):
            return queryRead(request, snapshot, ranges, session, id)
        case .readData(let request, _, let snapshot, let offset, let length):
            return readData(request, snapshot, offset: offset, length: length, session, id)
        case .writeBranch(let request, _, let data): return writeBranch(request, data, session, id)
        case .endRead(let request, _):
            guard volumes[session.volume].holds.end(session.owner, request) else { return reuse(session.volume) }
            return holdsChanged(session.volume)
        case .barrierAck(let attempt, let origin): return acknowledged(attempt, origin, session.volume, id)
        case .listSnapshots(let request, _, let after):
            let answer = CommandAnswer(connection: id, request: request)
            guard orderCount(of: id) < limits.waitingQueries else { return end(id, .tooManyQueries) }
            return [order(.list(after: after), session.volume, for: .list(answer))]
        case .queryChanges(let request, _, let query):
            let answer = CommandAnswer(connection: id, request: request)
            guard orderCount(of: id) < limits.waitingQueries else { return end(id, .tooManyQueries) }
            return [order(.changes(query), session.volume, for: .changes(answer))]
        case .openImages(_, let images):
            var session = session
            session.openImages = images
            connections[id] = .session(session)
            return []
        case .ping(let epoch): return [.send(.pong(epoch: epoch), to: id)]
        case .hello, .command, .clientGone, .bye: return []
        }
    }

    private mutating func received(
        _ frame: ClientFrame, commanding id: ConnectionID, _ process: NodeBoot, _ writer: SessionWriter
    ) -> [SessionAction] {
        switch frame {
        case .hello: return end(id, .helloTwice)
        case .bye: return end(id, .bye)
        case .queryWrite, .queryRead, .endRead, .readData, .writeBranch, .barrierAck, .listSnapshots, .queryChanges,
            .openImages:
            return end(id, .wrongImage)
        case .ping, .command, .clientGone: break
        }
        guard frame.epoch == tenure.epoch else { return refuseEpoch(frame.epoch, id) }
        guard orderCount(of: id) < limits.waitingQueries else { return end(id, .tooManyQueries) }
        switch frame {
        case .command(let request, _, let command):
            return perform(command, CommandAnswer(connection: id, request: request))
        case .clientGone(let request, _, let volume, let client):
            let proof = ClientProof(volume: volume, client: client, process: process, writer: writer)
            return clientGone(proof, CommandAnswer(connection: id, request: request))
        case .ping(let epoch): return [.send(.pong(epoch: epoch), to: id)]
        case .hello, .bye, .queryWrite, .queryRead, .endRead, .readData, .writeBranch, .barrierAck, .listSnapshots,
            .queryChanges, .openImages:
            return []
        }
    }

    func orderCount(of id: ConnectionID) -> Int {
        orders.values.reduce(0) { $0 + ($1.connection == id ? 1 : 0) }
    }
}

extension SessionTable.Order {
    /// Whose answer it is; nil for those that are the table's own.
    var connection: ConnectionID? {
        switch self {
        case .write(let write, _): write.connection
        case .read(let read, _): read.connection
        case .data(let answer), .branch(let answer), .list(let answer), .changes(let answer), .command(let answer),
            .gone(_, let answer, _):
            answer.connection
        case .barrier, .revert, .writer, .server, .reuse: nil
        }
    }
}
