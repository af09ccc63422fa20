package import CsnapCore

/// A snapshot is made while every writer stands still (docs/data-plane.md, "Snapshot creation is a barrier").
extension SessionTable {
    mutating func create(
        _ volumes: [Int], isSeveral: Bool, name: String, uuid: Bits128, priority: Int32, _ answer: CommandAnswer
    ) -> [SessionAction] {
        guard SnapshotName.isValid(name) else { return refusal(.badName, name, answer) }
        if let id = volumes.first.flatMap({ self.volumes[$0].barrier }), let barrier = barriers[id],
            barrier.isMade(by: uuid, of: volumes, isSeveral: isSeveral)
        {
            // The same command, on a new connection.
            barriers[id]?.answer = answer
            return []
        }
        for volume in volumes where self.volumes[volume].barrier != nil {
            return refusal(.busy, self.volumes[volume].about.name, answer)
        }
        for volume in volumes where exclusiveNode(volume) != nil {
            // Only what was received becomes a snapshot.
            guard let revert = self.volumes[volume].about.revert, revert.uuid == uuid else {
                return refusal(.reverting, self.volumes[volume].about.name, answer)
            }
        }
        lastBarrier += 1
        let ordered = volumes.sorted { self.volumes[$0].about.storeUUID < self.volumes[$1].about.storeUUID }
        barriers[lastBarrier] = SnapshotBarrier(
            name: name, uuid: uuid, priority: priority, isResize: false, volumes: ordered, isSeveral: isSeveral,
            answer: answer, begun: now)
        for volume in ordered { self.volumes[volume].barrier = lastBarrier }
        return ask(lastBarrier, .finding, ordered, .find(name: name, uuid: uuid))
    }

    /// The origin is measured first, and its new size taken in a barrier: a snapshot's last chunk is what it was.
    mutating func resize(_ volume: Int, _ answer: CommandAnswer) -> [SessionAction] {
        guard volumes[volume].barrier == nil else { return refusal(.busy, volumes[volume].about.name, answer) }
        guard exclusiveNode(volume) == nil else { return refusal(.reverting, volumes[volume].about.name, answer) }
        lastBarrier += 1
        barriers[lastBarrier] = SnapshotBarrier(
            name: "resize", uuid: .zero, priority: 0, isResize: true, volumes: [volume], isSeveral: false,
            answer: answer, begun: now)
        volumes[volume].barrier = lastBarrier
        return ask(lastBarrier, .finding, [volume], .measure)
    }

    /// Asks these stores, and goes on at once if there are none.
    private mutating func ask(
        _ id: UInt64, _ phase: SnapshotBarrier.Phase, _ asked: some Sequence<Int>, _ order: StoreOrder
    ) -> [SessionAction] {
        let asked = Array(asked)
        barriers[id]?.phase = phase
        barriers[id]?.asked = asked
        guard !asked.isEmpty else { return advance(id) }
        return asked.map { self.order(order, $0, for: .barrier(id, volume: $0)) }
    }

    /// A store has answered what the phase asks.
    mutating func answered(_ id: UInt64, _ volume: Int, _ result: StoreResult) -> [SessionAction] {
        guard var barrier = barriers[id] else { return [] }
        barrier.asked.removeAll { $0 == volume }
        switch result {
        case .absent, .done: break
        case .sample(let sum): compare(&barrier, volume, sum)
        case .prepared: barrier.prepared.append(volume)
        case .resized(let size):
            volumes[volume].about.originSize = size
            barrier.originSize = size
        case .committed(let entry, let generation):
            volumes[volume].about.generation = generation
            barrier.made.append(SnapshotBarrier.Made(volume: volume, entry: entry))
        case .outcome(.snapshot(let entry)): barrier.made.append(SnapshotBarrier.Made(volume: volume, entry: entry))
        case .outcome(let outcome): barrier.refusal = barrier.refusal ?? outcome
        default: return unexpected()
        }
        barriers[id] = barrier
        return barrier.asked.isEmpty ? advance(id) : []
    }

    /// All that the phase waited for is there.
    private mutating func advance(_ id: UInt64) -> [SessionAction] {
        guard let barrier = barriers[id] else { return [] }
        let others = barrier.volumes.dropFirst()
        switch barrier.phase {
        case .finding:
            // Made already, by an earlier sending of the same command.
            if barrier.refusal == nil, barrier.made.isEmpty { return begin(id) }
        case .gathering: return ask(id, .comparing, barrier.volumes, .sampleOrigin)
        case .comparing:
            guard barrier.refusal == nil else { break }
            guard barrier.strangers.isEmpty else { return differ(id) }
            let decider = volumes[barrier.volumes[0]].about.storeUUID
            let order = StoreOrder.prepare(
                name: barrier.name, uuid: barrier.uuid, priority: barrier.priority, decider: decider)
            return ask(id, .preparing, others, order)
        case .preparing:
            guard barrier.refusal == nil else { return abandon(id) }
            let order: StoreOrder =
                barrier.isResize
                ? .resize : .commit(name: barrier.name, uuid: barrier.uuid, priority: barrier.priority)
            return ask(id, .deciding, barrier.volumes.prefix(1), order)
        case .deciding:
            guard barrier.refusal == nil else { return abandon(id) }
            return ask(id, .completing, others, .commitPrepared(uuid: barrier.uuid))
        case .completing, .abandoning: break
        }
        return finish(id, barrier.refusal ?? outcome(barrier))
    }

    private mutating func abandon(_ id: UInt64) -> [SessionAction] {
        guard let barrier = barriers[id] else { return [] }
        return ask(id, .abandoning, barrier.prepared, .abandon(uuid: barrier.uuid))
    }

    private func outcome(_ barrier: SnapshotBarrier) -> CommandOutcome {
        guard barrier.isSeveral, let first = barrier.made.first else {
            return barrier.made.first.map { .snapshot($0.entry) } ?? .done
        }
        invariant(.noStaleService, first.entry.uuid == barrier.uuid, "another command's snapshot")
        return .several(barrier.made.map { VolumeSnapshot(volume: volumes[$0.volume].about.name, entry: $0.entry) })
    }

    /// The name is free: BEGIN to every client of every writer, if all are here.
    private mutating func begin(_ id: UInt64) -> [SessionAction] {
        guard let barrier = barriers[id] else { return [] }
        for volume in barrier.volumes {
            let lost = SessionMutants.active(.lostWritersIgnored) ? [] : lostWriters(volume)
            if !lost.isEmpty {
                return finish(id, .refused(.writerLost, culprit: Self.list(lost.map { $0.words })))
            }
        }
        var cancelled: [SessionAction] = []
        for volume in barrier.volumes {
            volumes[volume].isStill = true
            cancelled += handBack(volume)
        }
        return cancelled + gather(id)
    }

    /// BEGIN of a new attempt; who stands still already acknowledges that too.
    private mutating func gather(_ id: UInt64) -> [SessionAction] {
        guard var barrier = barriers[id] else { return [] }
        lastAttempt += 1
        let attempt = BarrierAttempt(tenure: tenure, counter: lastAttempt)
        barrier.attempt = attempt
        barrier.deadline = now + limits.barrierPatience
        barrier.phase = .gathering
        barrier.samples = []
        barrier.strangers = []
        for (connection, session) in sessions(on: barrier.volumes) {
            barrier.missing[connection] = session.owner.process.node
        }
        barriers[id] = barrier
        if barrier.missing.isEmpty { return advance(id) }
        return barrier.missing.keys.map { .send(.barrierBegin(attempt), to: $0) }
    }

    func sessions(on volumes: [Int]) -> [(ConnectionID, Session)] {
        var found: [(ConnectionID, Session)] = []
        for (id, connection) in connections {
            if case .session(let session) = connection, volumes.contains(session.volume) { found.append((id, session)) }
        }
        return found
    }

    /// Queries that are not granted are forgotten; their clients ask again after END.
    private mutating func handBack(_ volume: Int) -> [SessionAction] {
        if SessionMutants.active(.waitingWriteNotLookedAtAgain) { return [] }
        volumes[volume].heldUp.removeAll()
        volumes[volume].full.removeAll()
        let cancelled = cancel(volume) { if case .write(_, volume) = $0 { true } else { false } }
        for (id, session) in sessions(on: [volume]) {
            var session = session
            session.writes = []
            connections[id] = .session(session)
        }
        return cancelled
    }

    mutating func acknowledged(
        _ attempt: BarrierAttempt, _ origin: UInt32, _ volume: Int, _ id: ConnectionID
    ) -> [SessionAction] {
        guard let making = volumes[volume].barrier, var barrier = barriers[making], barrier.phase == .gathering,
            barrier.attempt == attempt || SessionMutants.active(.ackOfAnyAttempt)
        else { return [] }
        if let node = barrier.missing[id] {
            barrier.samples.append(SnapshotBarrier.Sample(volume: volume, node: node, sum: origin))
        }
        barrier.missing[id] = nil
        barriers[making] = barrier
        return barrier.missing.isEmpty ? advance(making) : []
    }

    /// A snapshot is what the server saves of its origin: of another disk than the clients' it would be of nothing.
    private mutating func compare(_ barrier: inout SnapshotBarrier, _ volume: Int, _ sum: UInt32) {
        let strangers = barrier.samples.filter { $0.volume == volume && $0.sum != sum }.map { $0.node }
        if barrier.isRepeated {
            if volumes[volume].strangers.isEmpty { volumes[volume].strangersSince = now }
            volumes[volume].strangers = strangers
        } else if strangers.isEmpty {
            volumes[volume].strangers = []
        }
        barrier.strangers += strangers
    }

    /// In the first attempt others may have written after a sample was taken.
    private mutating func differ(_ id: UInt64) -> [SessionAction] {
        guard let barrier = barriers[id] else { return [] }
        if barrier.isRepeated {
            return finish(id, .refused(.originDiffers, culprit: Self.words(barrier.strangers)))
        }
        barriers[id]?.isRepeated = true
        return gather(id)
    }

    /// A session is gone: without its acknowledgement no snapshot can be made. What it acknowledged holds: it stands
    /// still until it hears the outcome.
    mutating func lost(_ id: ConnectionID, _ session: Session) -> [SessionAction] {
        guard let making = volumes[session.volume].barrier, let barrier = barriers[making],
            barrier.phase == .gathering, barrier.missing[id] != nil
        else { return [] }
        if SessionMutants.active(.lostClientCounted), let attempt = barrier.attempt {
            return acknowledged(attempt, 0, session.volume, id)
        }
        let process = session.owner.process
        let culprit = LostWriter(node: process.node, boot: process.boot, age: .zero).words
        return finish(making, .refused(.writerLost, culprit: culprit))
    }

    /// Time has come to `nextWake`.
    package mutating func wake(_ now: Instant) -> [SessionAction] {
        self.now = now
        var actions: [SessionAction] = []
        for (id, barrier) in barriers where barrier.phase == .gathering && barrier.deadline <= now {
            actions += finish(id, .refused(.clientLate, culprit: late(barrier)))
        }
        for volume in volumes.indices {
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
            for kernel in volumes[volume].servers.settled(at: now, after: limits.settle)
            where volumes[volume].servers.clear(kernel) {
                actions.append(order(.settleKernel(kernel), volume, for: .server(kernel, volume: volume)))
            }
        }
        return actions
    }

    /// Whose clients are late; of several volumes, which one's.
    private func late(_ barrier: SnapshotBarrier) -> String {
        if !barrier.isSeveral { return Self.words(barrier.missing.values) }
        let names = missingVolumes(barrier)
        return Self.list(zip(barrier.missing.values, names).map { "node \($0.value) (\($1))" })
    }

    /// One for each session that is missing.
    func missingVolumes(_ barrier: SnapshotBarrier) -> [String] {
        barrier.missing.keys.map { id in
            if case .session(let session) = connections[id] { volumes[session.volume].about.name } else { "" }
        }
    }

    /// When `wake` is to be called; nil: not at all.
    package var nextWake: Instant? {
        var next = Instant.distantFuture
        for barrier in barriers.values where barrier.phase == .gathering { next = min(next, barrier.deadline) }
        for volume in volumes {
            if !volume.full.isEmpty { next = min(next, volume.fullUntil) }
            next = min(next, volume.writers.nextSettling(after: limits.settle))
            next = min(next, volume.servers.nextSettling(after: limits.settle))
        }
        return next == .distantFuture ? nil : next
    }

    /// END to all, each in the present generation of its volume; then whoever waited to be welcomed, and the answer.
    private mutating func finish(_ id: UInt64, _ outcome: CommandOutcome) -> [SessionAction] {
        guard let barrier = barriers[id] else { return [] }
        barriers[id] = nil
        for volume in barrier.volumes {
            volumes[volume].barrier = nil
            volumes[volume].isStill = false
        }
        var actions: [SessionAction] = []
        if let attempt = barrier.attempt {
            for (connection, session) in sessions(on: barrier.volumes) {
                let generation = volumes[session.volume].about.generation
                let end = ServerFrame.barrierEnd(
                    attempt, generation: generation, originSize: barrier.originSize)
                actions.append(.send(end, to: connection))
            }
            for volume in barrier.volumes { actions += welcomeWaiting(volume) }
        }
        actions += answer(barrier.answer, outcome)
        for made in barrier.made where barrier.attempt != nil { actions += changed(made.entry.number, made.volume) }
        return actions
    }

    /// Writers that are on record and have no session; one of each node.
    func lostWriters(_ volume: Int, besides own: [SessionWriter] = []) -> [LostWriter] {
        var lost: [LostWriter] = []
        for writer in volumes[volume].writers.uncleared where !isHere(writer, volume) && !own.contains(writer) {
            guard lost.last?.node != writer.node, lost.count < Limits.members else { continue }
            let known = volumes[volume].lost[writer]
            let since = known?.since ?? activeSince ?? now
            lost.append(LostWriter(node: writer.node, boot: known?.boot ?? Boot(0), age: now - since))
        }
        return lost
    }

    /// Of nodes, each once, for people; bounded.
    static func words(_ nodes: [NodeID]) -> String {
        var known: [NodeID] = []
        for node in nodes where !known.contains(node) { known.append(node) }
        return list(known.map { "node \($0.value)" })
    }

    static func list(_ items: [String]) -> String {
        var words = ""
        for item in items.prefix(16) { words += words.isEmpty ? item : ", " + item }
        return items.count > 16 ? words + " and more" : words
    }
}
