package import CsnapCore

/// A snapshot is made while every writer stands still (docs/data-plane.md, "Snapshot creation is a barrier").
extension SessionTable {
    mutating func create(
        _ volume: Int, name: String, uuid: Bits128, _ answer: CommandAnswer
    ) -> [SessionAction] {
        guard SnapshotName.isValid(name) else { return refusal(.badName, name, answer) }
        guard !volumes[volume].isCreating else { return refusal(.busy, volumes[volume].about.name, answer) }
        volumes[volume].isCreating = true
        return [
            order(
                .find(name: name, uuid: uuid), volume, for: .find(name: name, uuid: uuid, answer, volume: volume))
        ]
    }

    /// The name is free: BEGIN to every client of every writer, if all are here.
    mutating func begin(
        _ volume: Int, name: String, uuid: Bits128, _ answer: CommandAnswer, _ now: Instant
    ) -> [SessionAction] {
        let lost = lostWriters(volume)
        guard lost.isEmpty else {
            volumes[volume].isCreating = false
            return refusal(.writerLost, Self.list(lost.map { $0.words }), answer)
        }
        lastAttempt += 1
        let attempt = BarrierAttempt(tenure: tenure, counter: lastAttempt)
        var missing = SortedTable<ConnectionID, NodeID>()
        for (id, connection) in connections {
            guard case .session(let session) = connection, session.volume == volume else { continue }
            missing[id] = session.owner.process.node
        }
        volumes[volume].barrier = SnapshotBarrier(
            attempt: attempt, name: name, uuid: uuid, begun: now, deadline: now + limits.barrierPatience,
            answer: answer, missing: missing)
        handBack(volume)
        if missing.isEmpty { return commit(volume) }
        return missing.keys.map { .send(.barrierBegin(attempt), to: $0) }
    }

    /// Queries that are not granted are forgotten; their clients ask again after END.
    private mutating func handBack(_ volume: Int) {
        volumes[volume].heldUp.removeAll()
        volumes[volume].full.removeAll()
        for (ticket, order) in orders {
            if case .write(_, volume) = order { orders[ticket] = nil }
        }
        for (id, connection) in connections {
            guard case .session(var session) = connection, session.volume == volume else { continue }
            session.writes = []
            connections[id] = .session(session)
        }
    }

    mutating func acknowledged(
        _ attempt: BarrierAttempt, _ volume: Int, _ id: ConnectionID
    ) -> [SessionAction] {
        guard var barrier = volumes[volume].barrier, barrier.attempt == attempt, barrier.phase == .gathering else {
            return []
        }
        barrier.missing[id] = nil
        volumes[volume].barrier = barrier
        return barrier.missing.isEmpty ? commit(volume) : []
    }

    private mutating func commit(_ volume: Int) -> [SessionAction] {
        guard var barrier = volumes[volume].barrier else { return [] }
        barrier.phase = .committing
        volumes[volume].barrier = barrier
        let order = StoreOrder.commit(name: barrier.name, uuid: barrier.uuid)
        return [self.order(order, volume, for: .commit(volume: volume))]
    }

    /// The store has decided.
    mutating func committed(_ volume: Int, _ outcome: CommandOutcome, generation: UInt64) -> [SessionAction] {
        guard let barrier = volumes[volume].barrier else { return [] }
        volumes[volume].about.generation = generation
        return finish(volume, barrier, outcome)
    }

    /// A session is gone: without its acknowledgement no snapshot can be made. What it acknowledged holds: it stands
    /// still until it hears the outcome.
    mutating func lost(_ id: ConnectionID, _ session: Session) -> [SessionAction] {
        guard let barrier = volumes[session.volume].barrier, barrier.phase == .gathering,
            barrier.missing[id] != nil
        else { return [] }
        let process = session.owner.process
        let culprit = LostWriter(node: process.node, boot: process.boot, age: .zero).words
        return finish(session.volume, barrier, .refused(.writerLost, culprit: culprit))
    }

    /// Time has come to `nextWake`.
    package mutating func wake(_ now: Instant) -> [SessionAction] {
        self.now = now
        var actions: [SessionAction] = []
        for volume in volumes.indices {
            if let barrier = volumes[volume].barrier, barrier.phase == .gathering, barrier.deadline <= now {
                let culprit = Self.words(barrier.missing.values)
                actions += finish(volume, barrier, .refused(.clientLate, culprit: culprit))
            }
            if !volumes[volume].full.isEmpty, volumes[volume].fullUntil <= now {
                let full = volumes[volume].full
                volumes[volume].full.removeAll()
                for write in full.values {
                    actions.append(order(.copyOut(write.ranges), volume, for: .write(write, volume: volume)))
                }
            }
            for writer in volumes[volume].writers.settled(at: now, after: limits.settle) {
                actions += clear(writer, volume)
            }
        }
        return actions
    }

    /// When `wake` is to be called; nil: not at all.
    package var nextWake: Instant? {
        var next: Instant?
        for volume in volumes {
            if let barrier = volume.barrier, barrier.phase == .gathering {
                next = min(next ?? .distantFuture, barrier.deadline)
            }
            if !volume.full.isEmpty { next = min(next ?? .distantFuture, volume.fullUntil) }
            if let settling = volume.writers.nextSettling(after: limits.settle) {
                next = min(next ?? .distantFuture, settling)
            }
        }
        return next
    }

    /// END to all, in the present generation; then whoever waited to be welcomed, and the command's answer.
    private mutating func finish(
        _ volume: Int, _ barrier: SnapshotBarrier, _ outcome: CommandOutcome
    ) -> [SessionAction] {
        volumes[volume].barrier = nil
        volumes[volume].isCreating = false
        var actions: [SessionAction] = []
        let end = ServerFrame.barrierEnd(barrier.attempt, generation: volumes[volume].about.generation)
        for (id, connection) in connections {
            guard case .session(let session) = connection, session.volume == volume else { continue }
            actions.append(.send(end, to: id))
        }
        return actions + welcomeWaiting(volume) + self.answer(barrier.answer, outcome)
    }

    /// Writers that are on record and have no session; one of each node.
    func lostWriters(_ volume: Int) -> [LostWriter] {
        var lost: [LostWriter] = []
        for writer in volumes[volume].writers.uncleared where !isHere(writer, volume) {
            guard lost.last?.node != writer.node, lost.count < Limits.members else { continue }
            let known = volumes[volume].lost[writer]
            let since = known?.since ?? activeSince ?? now
            lost.append(LostWriter(node: writer.node, boot: known?.boot ?? Boot(0), age: now - since))
        }
        return lost
    }

    /// Of nodes, for people; bounded.
    static func words(_ nodes: [NodeID]) -> String { list(nodes.map { "node \($0.value)" }) }

    private static func list(_ items: [String]) -> String {
        var words = ""
        for item in items.prefix(16) { words += words.isEmpty ? item : ", " + item }
        return items.count > 16 ? words + " and more" : words
    }
}
