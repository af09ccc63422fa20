package import CsnapCore

/// Numbers a connection of a client; given by the shell, never reused in one life of a server.
package struct ConnectionID: Equatable, Comparable, Sendable {
    package var value: UInt64

    package init(_ value: UInt64) { self.value = value }

    package static func < (left: ConnectionID, right: ConnectionID) -> Bool { left.value < right.value }
}

#if !hasFeature(Embedded)
    extension ConnectionID: Hashable {}
#endif

/// What a session needs to know of a volume whose store is taken.
package struct SessionVolume: Equatable, Sendable {
    package var name: String
    package var storeUUID: Bits128
    /// Bytes.
    package var originSize: UInt64
    package var chunkSize: UInt32
    package var generation: UInt64

    package init(name: String, storeUUID: Bits128, originSize: UInt64, chunkSize: UInt32, generation: UInt64) {
        self.name = name
        self.storeUUID = storeUUID
        self.originSize = originSize
        self.chunkSize = chunkSize
        self.generation = generation
    }

    fileprivate var chunks: UInt64 {
        chunkSize == 0 ? 0 : originSize / UInt64(chunkSize) + (originSize % UInt64(chunkSize) == 0 ? 0 : 1)
    }
}

/// What the shell is to do, in order.
package enum SessionAction: Equatable, Sendable {
    case send(ServerFrame, to: ConnectionID)
    /// What was sent before goes out first. The table has forgotten the connection already.
    case close(ConnectionID, SessionEnd)
    /// For ServerToAgent.sessions.
    case sessions(NodeBoot, count: UInt32)
    /// For ServerToAgent.struck.
    case struck(NodeBoot)
}

/// All sessions and admissions of one tenure of a server: one method per event, actions out
/// (docs/data-plane.md, "Server"; docs/protocol.md §6).
///
/// The shell calls it only while it may serve, so that whatever it says may be sent.
package struct SessionTable: Equatable, Sendable {
    package let tenure: Tenure
    package private(set) var isActive = false
    private let limits: SessionLimits
    private let volumes: [SessionVolume]
    private var admissions = SortedTable<NodeID, Admission>()
    private var connections = SortedTable<ConnectionID, Connection>()
    private var lastSession: UInt64 = 0

    /// The highest boot of a node that was ever admitted or struck here.
    private struct Admission: Equatable, Sendable {
        var boot: Boot
        var isStruck: Bool
    }

    private enum Connection: Equatable, Sendable {
        case stranger
        case session(Session)
    }

    private struct Session: Equatable, Sendable {
        var process: NodeBoot
        var client: Bits128
        var volume: Int
        var image: String
        /// Queries that came before `activate`, in their order.
        var waiting: [UInt64] = []
    }

    package init(
        tenure: Tenure, volumes: [SessionVolume], admitted: [NodeBoot], limits: SessionLimits = SessionLimits()
    ) {
        self.tenure = tenure
        self.volumes = volumes
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

    /// In one step the sessions of this boot, and of lower ones of its node, are gone with all that waited in them.
    package mutating func strike(_ process: NodeBoot) -> [SessionAction] {
        if admissions[process.node].map({ $0.boot <= process.boot }) ?? true {
            admissions[process.node] = Admission(boot: process.boot, isStruck: true)
        }
        return endSessions(of: process, .struck) + [.struck(process)]
    }

    /// Grants what waited, and from now on at once. Ignored for another tenure.
    package mutating func activate(_ tenure: Tenure) -> [SessionAction] {
        guard tenure == self.tenure, !isActive else { return [] }
        isActive = true
        var actions: [SessionAction] = []
        for (id, connection) in connections {
            guard case .session(var session) = connection else { continue }
            actions += session.waiting.map { .send(grant($0, session), to: id) }
            session.waiting = []
            connections[id] = .session(session)
        }
        return actions
    }

    // MARK: What connections do

    package mutating func opened(_ id: ConnectionID) -> [SessionAction] {
        let strangers = connections.values.reduce(0) { $0 + ($1 == .stranger ? 1 : 0) }
        guard strangers < limits.strangers else { return [.close(id, .tooManyStrangers)] }
        connections[id] = .stranger
        return []
    }

    /// The connection is gone, whoever ended it.
    package mutating func closed(_ id: ConnectionID) -> [SessionAction] {
        let connection = connections[id]
        connections[id] = nil
        guard case .session(let session) = connection else { return [] }
        return [count(of: session.process)]
    }

    package mutating func received(_ frame: ClientFrame, on id: ConnectionID) -> [SessionAction] {
        guard let connection = connections[id] else { return [] }
        switch (frame, connection) {
        case (.hello(let hello), .stranger): return greet(hello, id)
        case (.hello, .session): return end(id, .helloTwice)
        case (.bye, _): return end(id, .bye)
        case (.queryWrite, .stranger), (.ping, .stranger): return end(id, .helloMissing)
        case (.queryWrite(let request, let epoch, let ranges), .session(let session)):
            return query(request, epoch, ranges, session, id)
        case (.ping(let epoch), .session):
            guard epoch == tenure.epoch else { return refuseEpoch(epoch, id) }
            return [.send(.pong(epoch: epoch), to: id)]
        }
    }

    /// What came on the connection is no frame.
    package mutating func receivedGarbage(_ error: SessionFrameError, on id: ConnectionID) -> [SessionAction] {
        connections[id] == nil ? [] : end(id, .garbage(error))
    }

    // MARK: What is known

    /// Open sessions of this boot.
    package func sessions(of process: NodeBoot) -> UInt32 {
        connections.values.reduce(0) { sum, connection in
            if case .session(let session) = connection, session.process == process { sum + 1 } else { sum }
        }
    }

    package var sessionCount: Int {
        connections.values.reduce(0) { $0 + ($1 == .stranger ? 0 : 1) }
    }
}

extension SessionTable {
    private mutating func greet(_ hello: SessionHello, _ id: ConnectionID) -> [SessionAction] {
        if let refusal = refusal(of: hello) { return refuse(id, refusal) }
        guard let volume = volumes.firstIndex(where: { $0.name == hello.volume }) else {
            return refuse(id, .unknownVolume)
        }
        guard hello.image == "origin" else { return refuse(id, .unknownImage) }
        // The client's earlier connection may be half-open still: the new one stands for it.
        var actions = endEarlier(than: hello, volume)
        guard sessionCount < limits.sessions, sessions(of: hello.process) < limits.sessionsPerBoot else {
            return actions + refuse(id, .tooManySessions)
        }
        lastSession += 1
        connections[id] = .session(
            Session(process: hello.process, client: hello.client, volume: volume, image: hello.image))
        invariant(.admissionRecorded, isAdmitted(hello.process), "a session of a boot that is not admitted")
        let about = volumes[volume]
        let welcome = SessionWelcome(
            session: lastSession, tenure: tenure, storeUUID: about.storeUUID, originSize: about.originSize,
            chunkSize: about.chunkSize, generation: about.generation)
        actions.append(.send(.welcome(welcome), to: id))
        actions.append(count(of: hello.process))
        return actions
    }

    private func refusal(of hello: SessionHello) -> SessionRefusal? {
        guard hello.versions.overlaps(SessionWire.versions) else { return .version }
        guard hello.tenure >= tenure else { return .lowerTenure }
        guard hello.tenure == tenure else { return .higherTenure }
        guard let admission = admissions[hello.process.node] else { return .notAdmitted }
        if hello.process.boot > admission.boot { return .notAdmitted }
        return hello.process.boot < admission.boot || admission.isStruck ? .struck : nil
    }

    private func isAdmitted(_ process: NodeBoot) -> Bool {
        admissions[process.node] == Admission(boot: process.boot, isStruck: false)
    }

    private mutating func query(
        _ request: UInt64, _ epoch: Epoch, _ ranges: [ChunkRange], _ session: Session, _ id: ConnectionID
    ) -> [SessionAction] {
        guard epoch == tenure.epoch else { return refuseEpoch(epoch, id) }
        if let error = Self.error(in: ranges, of: volumes[session.volume]) {
            return [.send(.error(request: request, epoch: epoch, code: error.rawValue), to: id)]
        }
        if isActive { return [.send(grant(request, session), to: id)] }
        guard !session.waiting.contains(request) else { return [] }
        guard session.waiting.count < limits.waitingQueries else { return end(id, .tooManyQueries) }
        var session = session
        session.waiting.append(request)
        connections[id] = .session(session)
        return []
    }

    private static func error(in ranges: [ChunkRange], of volume: SessionVolume) -> SessionQueryError? {
        if ranges.isEmpty { return .empty }
        let chunks = volume.chunks
        let inside = ranges.allSatisfy { range in
            range.count >= 1 && range.first < chunks && UInt64(range.count) <= chunks - range.first
        }
        return inside ? nil : .outOfRange
    }

    private func grant(_ request: UInt64, _ session: Session) -> ServerFrame {
        invariant(.noStaleService, isActive && isAdmitted(session.process), "a grant outside of service")
        return .grant(request: request, epoch: tenure.epoch, generation: volumes[session.volume].generation)
    }

    // MARK: Ends

    private mutating func refuse(_ id: ConnectionID, _ reason: SessionRefusal) -> [SessionAction] {
        [.send(.refused(reason, tenure: tenure), to: id)] + end(id, .refused(reason))
    }

    private mutating func refuseEpoch(_ epoch: Epoch, _ id: ConnectionID) -> [SessionAction] {
        [.send(.goAway(tenure: tenure), to: id)] + end(id, .wrongEpoch(epoch))
    }

    private mutating func end(_ id: ConnectionID, _ reason: SessionEnd) -> [SessionAction] {
        let connection = connections[id]
        connections[id] = nil
        guard case .session(let session) = connection else { return [.close(id, reason)] }
        return [.close(id, reason), count(of: session.process)]
    }

    private mutating func endSessions(of process: NodeBoot, _ reason: SessionEnd) -> [SessionAction] {
        var actions: [SessionAction] = []
        for (id, connection) in connections {
            guard case .session(let session) = connection, session.process.node == process.node,
                session.process.boot <= process.boot
            else { continue }
            actions.append(.send(.goAway(tenure: tenure), to: id))
            actions += end(id, reason)
        }
        return actions
    }

    private mutating func endEarlier(than hello: SessionHello, _ volume: Int) -> [SessionAction] {
        for (id, connection) in connections {
            guard case .session(let session) = connection, session.process == hello.process,
                session.client == hello.client, session.volume == volume, session.image == hello.image
            else { continue }
            return end(id, .replaced)
        }
        return []
    }

    private func count(of process: NodeBoot) -> SessionAction {
        .sessions(process, count: sessions(of: process))
    }
}
