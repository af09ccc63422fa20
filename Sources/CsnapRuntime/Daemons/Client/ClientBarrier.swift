package import CsnapCore
package import CsnapSession

/// A snapshot is being made, and this client stands still for it.
struct ClientBarrier: Equatable, Sendable {
    enum Phase: Equatable {
        /// Writes at the disk are waited for, then the origin is flushed.
        case draining
        /// Nothing is at the disk and the origin is flushed: only END, or a new session's WELCOME, lets writes go on.
        case acknowledged
    }

    let attempt: BarrierAttempt
    var phase = Phase.draining
}

extension ClientCore {
    mutating func abandon(_ now: Instant, pause: Interval) {
        sessionLost(now, pause: pause)
        actions.append(.disconnect)
    }

    // MARK: - Barrier

    /// BEGIN: what waits for a grant will be asked for again; nothing more goes to the origin.
    mutating func begin(_ attempt: BarrierAttempt) {
        guard session == .open, attempt.tenure == gate.adopted else { return }
        barrier = ClientBarrier(attempt: attempt)
        queries.askAgain()
        if gate.holdWrites() || SessionMutants.active(.ackBeforeDrained) { flush(attempt) }
    }

    /// The last write has returned.
    mutating func drained() {
        if let barrier { flush(barrier.attempt) }
    }

    private mutating func flush(_ attempt: BarrierAttempt) {
        if SessionMutants.active(.ackBeforeFlushed) { return flushed(attempt, error: 0) }
        actions.append(.flushOrigin(attempt))
    }

    /// The origin is flushed (0), or could not be. Then nothing is said: the server gives up at its deadline and names
    /// this node.
    package mutating func flushed(_ attempt: BarrierAttempt, error: Int32) {
        guard barrier == ClientBarrier(attempt: attempt) else { return }
        guard error == 0 else {
            note(
                .originUnflushed, "the origin cannot be flushed for a snapshot, which will be refused: error \(error)",
                attempt.tenure)
            return
        }
        barrier?.phase = .acknowledged
        if session == .open { actions.append(.send(.barrierAck(attempt))) }
    }

    /// END: go on in this generation. If it is the old one no snapshot was made, and the bitmap still holds.
    /// `originSize`: as many bytes from now on; 0: as many as before.
    mutating func end(_ attempt: BarrierAttempt, generation: UInt64, originSize: UInt64, _ now: Instant) {
        guard session == .open else { return }
        guard barrier?.attempt == attempt else {
            if bitmap?.generation != generation { abandon(now, pause: Self.reconnectPause) }
            return
        }
        if let old = bitmap, old.generation != generation {
            bitmap = UnsharedBitmap(
                storeUUID: old.storeUUID, generation: generation, chunkSize: old.chunkSize,
                originSize: self.originSize)
            if SessionMutants.active(.bitmapKeptAtEnd) { bitmap?.insert(allOf: old) }
        }
        grow(to: originSize)
        leaveBarrier()
        ask()
    }

    /// The origin has become larger: connections made from now on see it. Every chunk is asked for once again.
    mutating func grow(to size: UInt64) {
        guard size > originSize else { return }
        originSize = size
        if let old = bitmap {
            bitmap = UnsharedBitmap(
                storeUUID: old.storeUUID, generation: old.generation, chunkSize: old.chunkSize, originSize: size)
        }
        actions.append(.grown(size))
    }

    mutating func leaveBarrier() {
        guard barrier != nil else { return }
        barrier = nil
        gate.releaseWrites()
        actions.append(.wake)
    }

    // MARK: - Snapshot reads

    /// Reads chunks of a snapshot: `.readMapped` says where they are, as soon as that is known.
    package mutating func read(_ id: UInt64, snapshot: UInt64, _ range: ChunkRange, now: Instant) {
        reads.begin(id, snapshot: snapshot, range)
        askReads(now)
    }

    /// The disk read that `.readMapped` asked for has returned. True: its data may be shown. False: it is void, since
    /// the lease ran out or the server changed meanwhile; `.readMapped` comes again.
    package mutating func finishRead(_ id: UInt64, now: Instant) -> Bool {
        let isOpen = gate.isOpen(now) || SessionMutants.active(.readNotCheckedAfterwards)
        guard let end = reads.finish(id, isOpen: isOpen) else { return false }
        if end.tellServer, session == .open {
            actions.append(.send(.endRead(request: id, epoch: gate.adopted.epoch)))
        }
        if !end.holds { askReads(now) }
        return end.holds
    }

    /// The connection is gone, and none of its writes waits any more.
    package mutating func withdraw(_ ticket: UInt32) { queries.remove(ticket) }

    /// Nobody waits for it any more. True: it is over now (a map that comes later is ended at once); false: it is at
    /// the disk.
    package mutating func withdrawRead(_ id: UInt64) -> Bool {
        remoteReads.withdraw(id) || reads.withdraw(id) || changes.withdraw(id)
    }

    /// Lets the server read bytes of one chunk of a snapshot: `.readData` brings them.
    package mutating func readRemotely(
        _ id: UInt64, snapshot: UInt64, offset: UInt64, length: UInt32, now: Instant
    ) {
        remoteReads.begin(id, snapshot: snapshot, offset: offset, length: length)
        askReads(now)
    }

    mutating func received(_ id: UInt64, _ bytes: [UInt8], _ now: Instant) {
        guard session == .open, let length = remoteReads.answered(id) else { return }
        let isWhole = bytes.count == Int(length)
        actions.append(
            isWhole ? .readData(id, bytes) : .readFailed(id, code: SessionQueryError.storeDamaged.rawValue))
        askReads(now)
    }

    /// The session is over.
    mutating func endReads() {
        reads.sessionEnded()
        changes.sessionEnded()
        remoteReads.sessionEnded()
    }

    mutating func askReads(_ now: Instant) {
        guard session == .open, gate.isOpen(now) else { return }
        for (id, read) in reads.takeUnasked() {
            actions.append(
                .send(
                    .queryRead(
                        request: id, epoch: gate.adopted.epoch, snapshot: read.snapshot, ranges: [read.range])))
        }
        for (id, read) in remoteReads.takeUnasked() {
            actions.append(
                .send(
                    .readData(
                        request: id, epoch: gate.adopted.epoch, snapshot: read.snapshot, offset: read.offset,
                        length: read.length)))
        }
    }

    mutating func mapped(_ id: UInt64, _ pieces: [MapPiece], _ now: Instant) {
        guard session == .open else { return }
        guard reads.mapped(id, isOpen: gate.isOpen(now)) else {
            actions.append(.send(.endRead(request: id, epoch: gate.adopted.epoch)))
            return
        }
        actions.append(.readMapped(id, pieces))
    }

    // MARK: - Changes

    /// Which chunks changed between two images? `.changes` or `.readFailed` answers. What two snapshots differ in does
    /// not change, so no lease is looked at.
    package mutating func askChanges(_ id: UInt64, _ query: ChangesQuery) {
        changes.add(id, query)
        askNextChanges()
    }

    mutating func askNextChanges() {
        guard session == .open, let question = changes.takeQuestion() else { return }
        actions.append(
            .send(.queryChanges(request: question.id, epoch: gate.adopted.epoch, question.query)))
    }

    /// Whether somebody waits for this answer.
    mutating func answered(_ id: UInt64) -> Bool {
        let isAwaited = changes.answered(id)
        askNextChanges()
        return isAwaited
    }

    // MARK: - List of snapshots

    mutating func askList() {
        guard session == .open, let after = snapshots.takeQuestion() else { return }
        actions.append(
            .send(.listSnapshots(request: SnapshotList.request, epoch: gate.adopted.epoch, after: after)))
    }

    mutating func listed(_ entries: [SnapshotEntry], hasMore: Bool) {
        if snapshots.listed(entries, hasMore: hasMore) {
            actions.append(.exports(snapshots.entries, chunkSize: bitmap?.chunkSize ?? 0))
        }
        askList()
    }
}
