import CsnapCore

struct PendingRead: Equatable, Sendable {
    var connection: ConnectionID
    var owner: ReadOwner
    var request: UInt64
    var snapshot: UInt64
    var ranges: [ChunkRange]
}

/// Writes ask for a grant, reads for a map.
extension SessionTable {
    mutating func queryWrite(
        _ request: UInt64, _ ranges: [ChunkRange], _ session: Session, _ id: ConnectionID
    ) -> [SessionAction] {
        let volume = session.volume
        if let error = volumes[volume].about.error(in: ranges) { return [failure(request, error, id)] }
        guard ranges.chunkCount <= UInt64(SessionWire.maximumWriteChunks) else {
            return [failure(request, .tooLong, id)]
        }
        let frame = ClientFrame.queryWrite(request: request, epoch: tenure.epoch, ranges: ranges)
        guard isActive || SessionMutants.active(.answeredBeforeActivation) else { return keep(frame, session, id) }
        // From BEGIN to END nothing is granted; the client asks again after END.
        let mayAsk = !volumes[volume].isStill || SessionMutants.active(.grantInBarrier)
        guard mayAsk, !session.writes.contains(request) else { return [] }
        guard session.writes.count < limits.waitingQueries else { return end(id, .tooManyQueries) }
        var session = session
        session.writes.append(request)
        connections[id] = .session(session)
        let write = PendingWrite(connection: id, request: request, ranges: ranges, since: now)
        return [order(.copyOut(ranges), volume, for: .write(write, volume: volume))]
    }

    mutating func queryRead(
        _ request: UInt64, _ snapshot: UInt64, _ ranges: [ChunkRange], _ session: Session, _ id: ConnectionID
    ) -> [SessionAction] {
        let volume = session.volume
        if let error = volumes[volume].about.error(in: ranges) { return [failure(request, error, id)] }
        guard ranges.chunkCount <= UInt64(SessionWire.maximumReadChunks) else {
            return [failure(request, .tooLong, id)]
        }
        let frame = ClientFrame.queryRead(
            request: request, epoch: tenure.epoch, snapshot: snapshot, ranges: ranges)
        guard isActive else { return keep(frame, session, id) }
        let owner = session.owner
        guard !volumes[volume].holds.contains(owner, request), !isAsked(owner, request) else { return [] }
        guard volumes[volume].holds.count(of: owner) + orderCount(of: id) < limits.reads + limits.waitingQueries else {
            return end(id, .tooManyQueries)
        }
        let read = PendingRead(connection: id, owner: owner, request: request, snapshot: snapshot, ranges: ranges)
        return [order(.map(snapshot: snapshot, ranges), volume, for: .read(read, volume: volume))]
    }

    /// The store reads it between two of its orders, so no copy and no grant comes in between, and nothing is held.
    mutating func readData(
        _ request: UInt64, _ snapshot: UInt64, offset: UInt64, length: UInt32, _ session: Session,
        _ id: ConnectionID
    ) -> [SessionAction] {
        guard length >= 1 else { return [failure(request, .empty, id)] }
        guard length <= UInt32(SessionWire.maximumData) else { return [failure(request, .tooLong, id)] }
        let chunkSize = UInt64(volumes[session.volume].about.chunkSize)
        guard UInt64(length) <= chunkSize - offset % chunkSize else { return [failure(request, .outOfRange, id)] }
        guard isActive else {
            let frame = ClientFrame.readData(
                request: request, epoch: tenure.epoch, snapshot: snapshot, offset: offset, length: length)
            return keep(frame, session, id)
        }
        guard orderCount(of: id) < limits.waitingQueries else { return end(id, .tooManyQueries) }
        let answer = CommandAnswer(connection: id, request: request)
        let read = StoreOrder.readData(snapshot: snapshot, offset: offset, length: length)
        return [order(read, session.volume, for: .data(answer))]
    }

    private func isAsked(_ owner: ReadOwner, _ request: UInt64) -> Bool {
        orders.values.contains { order in
            if case .read(let read, _) = order { read.owner == owner && read.request == request } else { false }
        }
    }

    /// Until `activate`.
    mutating func keep(_ frame: ClientFrame, _ session: Session, _ id: ConnectionID) -> [SessionAction] {
        guard !session.early.contains(frame) else { return [] }
        guard session.early.count < limits.waitingQueries else { return end(id, .tooManyQueries) }
        var session = session
        session.early.append(frame)
        connections[id] = .session(session)
        return []
    }

    func failure(_ request: UInt64, _ error: SessionQueryError, _ id: ConnectionID) -> SessionAction {
        .send(.error(request: request, epoch: tenure.epoch, code: error.rawValue), to: id)
    }

    // MARK: Answers of the store

    /// The chunks are saved: granted, unless a read still needs them on the origin.
    mutating func copied(_ write: PendingWrite, _ volume: Int, _ ticket: UInt64) -> [SessionAction] {
        guard !volumes[volume].holds.hold(write.ranges) || SessionMutants.active(.grantDespiteHold) else {
            volumes[volume].heldUp[ticket] = write
            return []
        }
        guard case .session(let session) = answered(write) else { return [] }
        invariant(
            .noStaleService, isActive && isAdmitted(session.owner.process) && !volumes[volume].isStill,
            "a grant outside of service")
        let generation = volumes[volume].about.generation
        let grant = ServerFrame.grant(request: write.request, epoch: tenure.epoch, generation: generation)
        return [.send(grant, to: write.connection)]
    }

    /// Takes the write out of its session, and says which that is; nil: it is gone.
    @discardableResult
    mutating func answered(_ write: PendingWrite) -> Connection? {
        guard case .session(var session) = connections[write.connection] else { return nil }
        session.writes.removeAll { $0 == write.request }
        connections[write.connection] = .session(session)
        return .session(session)
    }

    mutating func mapped(
        _ read: PendingRead, _ volume: Int, _ ticket: UInt64, _ pieces: [MapPiece]
    ) -> [SessionAction] {
        // A client that is gone has seen no map, so it holds nothing.
        guard connections[read.connection] != nil else { return [] }
        guard let held = ChunkRange.onOrigin(read.ranges, pieces) else {
            return [failure(read.request, .storeDamaged, read.connection)]
        }
        volumes[volume].holds.begin(
            read.owner, read.request, of: read.snapshot, ticket: ticket, held: held)
        return [.send(.map(request: read.request, epoch: tenure.epoch, pieces: pieces), to: read.connection)]
    }

    // MARK: Holds and reuse

    /// Who has not said yet what is open there, since its session began: perhaps the one that is to be deleted.
    func untold(_ volume: Int) -> [NodeID] {
        sessions(on: [volume]).filter { $0.1.openImages == nil }.map { $0.1.owner.process.node }
    }

    /// What is read just now may not be deleted, nor what a program has open.
    func uses(_ volume: Int) -> [SnapshotUse] {
        var readers = volumes[volume].holds.readers
        for order in orders.values {
            guard case .read(let read, volume) = order else { continue }
            ReadHolds.note(read.owner, of: read.snapshot, in: &readers)
        }
        var holders = SortedTable<UInt64, [NodeID]>()
        for (_, session) in sessions(on: [volume]) {
            for image in session.openImages ?? [] { ReadHolds.note(session.owner, of: image, in: &holders) }
        }
        var uses: [SnapshotUse] = []
        for (users, one, several) in [(holders, " has it open", " have it open"), (readers, " reads it", " read it")] {
            for (number, nodes) in users {
                let verb = nodes.count == 1 ? one : several
                uses.append(SnapshotUse(number: number, culprit: Self.words(nodes) + verb))
            }
        }
        return uses
    }

    /// Some holds of the volume ended. A write that waited for them is looked at again before it is granted: the store
    /// may have changed meanwhile.
    mutating func holdsChanged(_ volume: Int) -> [SessionAction] {
        var actions: [SessionAction] = []
        for (ticket, write) in volumes[volume].heldUp where !volumes[volume].holds.hold(write.ranges) {
            volumes[volume].heldUp[ticket] = nil
            if SessionMutants.active(.waitingWriteNotLookedAtAgain) {
                actions += copied(write, volume, ticket)
                continue
            }
            actions.append(order(.copyOut(write.ranges), volume, for: .write(write, volume: volume)))
        }
        return actions + reuse(volume)
    }

    /// The store deleted a snapshot, which reads that run may still look at; numbers rise.
    package mutating func freed(_ number: UInt64, volume: Int) -> [SessionAction] {
        volumes[volume].deletions.append((number, lastTicket))
        return reuse(volume)
    }

    /// What was deleted before the oldest read that runs was asked for may be freed.
    mutating func reuse(_ volume: Int) -> [SessionAction] {
        guard isActive || SessionMutants.active(.forgottenBeforeActivation) else { return [] }
        guard !volumes[volume].deletions.isEmpty else { return [] }
        var oldest = volumes[volume].holds.oldestTicket ?? .max
        if SessionMutants.active(.reuseUnderReaders) { oldest = .max }
        for (ticket, order) in orders {
            if case .read(_, volume) = order { oldest = min(oldest, ticket) }
        }
        var number: UInt64?
        while let first = volumes[volume].deletions.first, first.ticket < oldest {
            number = first.number
            volumes[volume].deletions.removeFirst()
        }
        return number.map { [order(.reuse(upTo: $0), volume, for: .reuse)] } ?? []
    }
}
