package import CsnapCore
package import CsnapSession

/// What is asked of the server about snapshots and branches: where their chunks are, what is written to them, what
/// differs, which there are.
extension ClientCore {
    // MARK: - Another store

    /// Whether what is open of that store is not there any more: another one was made in its place, whose numbers begin
    /// anew.
    package func isGone(_ store: Bits128) -> Bool { self.store != store }

    /// WELCOME names another store: what was asked of the one before has no answer.
    mutating func exchangeStore(for other: Bits128) {
        defer { store = other }
        guard let store, store != other else { return }
        note(.other, "the volume has another store: programs that have its snapshots open find them gone")
        openImages = SortedTable()
        let ids = reads.storeIsGone() + remoteReads.takeAll() + branchWrites.takeAll() + changes.takeAll()
        for id in ids { actions.append(.failed(id, code: SessionQueryError.unknownSnapshot.rawValue)) }
    }

    // MARK: - Who has what open

    /// A connection has chosen the export of that snapshot or branch, which is not deleted before `closed`.
    package mutating func opened(_ image: UInt64) {
        openImages[image] = (openImages[image] ?? 0) + 1
        tellOpenImages()
    }

    package mutating func closed(_ image: UInt64) {
        let left = (openImages[image] ?? 1) - 1
        openImages[image] = left == 0 ? nil : left
        tellOpenImages()
    }

    mutating func tellOpenImages() {
        guard session == .open else { return }
        let images = Array(openImages.keys.prefix(SessionWire.maximumOpenImages))
        actions.append(.send(.openImages(epoch: gate.adopted.epoch, images)))
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
        if end.isGone { actions.append(.failed(id, code: SessionQueryError.unknownSnapshot.rawValue)) }
        if end.tellServer, session == .open {
            actions.append(.send(.endRead(request: id, epoch: gate.adopted.epoch)))
        }
        askReads(now)
        return end.holds
    }

    /// The write waits no more: it goes to the disk, or its connection is gone. That may leave room to ask for others.
    package mutating func withdraw(_ ticket: UInt32) {
        queries.remove(ticket)
        if session == .open && queries.hasUnasked { wantsToAsk = true }
    }

    /// Nobody waits for it any more. True: it is over now (a map that comes later is ended at once); false: it is at
    /// the disk.
    package mutating func withdrawRead(_ id: UInt64) -> Bool {
        remoteReads.withdraw(id) || branchWrites.withdraw(id) || reads.withdraw(id) || changes.withdraw(id)
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
            isWhole ? .readData(id, bytes) : .failed(id, code: SessionQueryError.storeDamaged.rawValue))
        askReads(now)
    }

    /// Writes to a branch, bytes of one chunk: `.written` says that they are durable.
    package mutating func writeBranch(_ id: UInt64, _ data: BranchData, now: Instant) {
        branchWrites.begin(id, data)
        askReads(now)
    }

    mutating func written(_ id: UInt64, _ now: Instant) {
        guard session == .open, let isAwaited = branchWrites.answered(id) else { return }
        if isAwaited { actions.append(.written(id)) }
        askReads(now)
    }

    /// An error that is the answer to something asked here; false: it is not.
    mutating func failed(_ id: UInt64, code: UInt16, _ now: Instant) -> Bool {
        let isFull = code == SessionQueryError.storeFull.rawValue && !SessionMutants.active(.fullBranchWriteFailed)
        if isFull, branchWrites.foundNoRoom(id, now) {
            // Its turn is somebody else's, unless all wait for a while.
            if branchWrites.nextResume == nil { askReads(now) }
            return true
        }
        if let isAwaited = branchWrites.answered(id) {
            if isAwaited { actions.append(.failed(id, code: code)) }
            askReads(now)
            return true
        }
        guard reads.failed(id) || answered(id) || remoteReads.answered(id) != nil else { return false }
        actions.append(.failed(id, code: code))
        askReads(now)
        return true
    }

    /// The session is over.
    mutating func endReads() {
        reads.sessionEnded()
        changes.sessionEnded()
        remoteReads.sessionEnded()
        branchWrites.sessionEnded()
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
        for (id, data) in branchWrites.takeUnasked() {
            actions.append(.send(.writeBranch(request: id, epoch: gate.adopted.epoch, data)))
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

    /// Which chunks changed between two images? `.changes` or `.failed` answers. What two snapshots differ in does
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
            actions.append(
                .exports(snapshots.entries, chunkSize: bitmap?.chunkSize ?? 0, store: store ?? .zero))
        }
        askList()
    }
}
