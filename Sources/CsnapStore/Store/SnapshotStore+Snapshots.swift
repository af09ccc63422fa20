package import CsnapCore

extension SnapshotStore {
    /// Makes a snapshot; the caller's barrier is around this. Of a uuid that there is already: that snapshot.
    package mutating func create(_ request: SnapshotRequest) throws(StoreError) -> Snapshot {
        try expectAlive()
        if let there = snapshot(uuid: request.uuid) { return there }
        try expectPossible(request)
        try flushOrigin()
        let snapshot = Snapshot(
            number: SnapshotNumber(state.generation), about: request, size: state.originSize)
        try commit([.created(snapshot)])
        return snapshot
    }

    /// First step of a snapshot of several volumes: durable, may be committed by `commitPrepared`. Idempotent.
    package mutating func prepare(_ snapshot: PreparedSnapshot) throws(StoreError) {
        try expectAlive()
        if self.snapshot(uuid: snapshot.about.uuid) != nil || state.prepared.contains(snapshot) { return }
        try expectPossible(snapshot.about)
        guard state.prepared.count < StoreLimits.prepared else { throw .tooManySnapshots }
        try flushOrigin()
        try commit([.prepared(snapshot)])
    }

    /// Whoever is in the barrier has flushed; who stopped or was lost before has not. A snapshot's chunks lie on the
    /// origin until they are copied out.
    private mutating func flushOrigin() throws(StoreError) {
        do throws(BlockDeviceError) { try origin.flush() } catch { throw .originFlush(error) }
    }

    /// Second step; idempotent by the uuid. First in the store that decides, then in the others.
    package mutating func commitPrepared(_ uuid: Bits128) throws(StoreError) -> Snapshot {
        try expectAlive()
        if let there = snapshot(uuid: uuid) { return there }
        guard let prepared = state.prepared.first(where: { $0.about.uuid == uuid }) else {
            throw .noSuchPrepared(uuid)
        }
        let snapshot = Snapshot(
            number: SnapshotNumber(state.generation), about: prepared.about, size: state.originSize)
        // It is decided: whoever cannot follow has to end.
        try commit([.created(snapshot)], isUrgent: !StoreMutants.active(.decisionAwaitsRoom))
        return snapshot
    }

    /// Forgets a prepared snapshot; nothing to do if there is none.
    package mutating func abandonPrepared(_ uuid: Bits128) throws(StoreError) {
        try expectAlive()
        guard state.prepared.contains(where: { $0.about.uuid == uuid }) else { return }
        try commit([.abandoned(uuid)])
    }

    /// Durable on return. Its space comes back by `maintain`. A snapshot stays as long as it has branches.
    package mutating func delete(_ number: SnapshotNumber) throws(StoreError) {
        try expectAlive()
        let snapshot = try expectSnapshot(number)
        guard !snapshot.about.flags.contains(.pinned), !isOfRevert(snapshot) else { throw .pinned(number) }
        if !StoreMutants.active(.baseDeleted), let branch = branch(of: number) {
            throw .hasBranch(number, branch.number)
        }
        try commit([.deleted(number)], isFlushed: !StoreMutants.active(.deletionNotFlushed))
        readers.deleted()
    }

    /// Changes name, priority and flags; uuid and date stay.
    package mutating func change(
        _ number: SnapshotNumber, name: String, priority: Int32, flags: SnapshotFlags
    ) throws(StoreError) -> Snapshot {
        try expectAlive()
        let snapshot = try expectSnapshot(number)
        if name != snapshot.about.name { try expectFree(name) }
        let record = StoreRecord.changed(number, name: name, priority: priority, flags: flags)
        if StoreMutants.active(.changeNotWritten) { _ = apply([record]) } else { try commit([record]) }
        return try expectSnapshot(number)
    }

    /// The snapshot that the policy "drop" gives up next: lowest priority, then oldest; never a pinned one, nor one
    /// of `inUse`, nor one that has branches. A branch is never given up: somebody has written it.
    package func dropCandidate(inUse: [SnapshotNumber]) -> SnapshotNumber? {
        var best: Snapshot?
        for snapshot in state.snapshots
        where !snapshot.about.flags.contains(.pinned) && !inUse.contains(snapshot.number) && !isOfRevert(snapshot)
            && branch(of: snapshot.number) == nil
        {
            if best.map({ snapshot.about.priority < $0.about.priority }) ?? true { best = snapshot }
        }
        return best?.number
    }

    /// Durable before the first WELCOME of this writer; nothing to do if it is there.
    package mutating func addWriter(_ writer: WriterRecord) throws(StoreError) {
        try expectAlive()
        if state.writers.contains(writer) { return }
        guard state.writers.count < StoreLimits.writers else { throw .tooManyWriters }
        try commit([.writerAdded(writer)], isFlushed: !StoreMutants.active(.writerNotFlushed))
    }

    package mutating func clearWriter(_ writer: WriterRecord) throws(StoreError) {
        try expectAlive()
        if state.writers.contains(writer) { try commit([.writerCleared(writer)]) }
    }

    /// Gives back what was kept away because of tenures of which one of these is true.
    package mutating func settle(_ facts: [SettleFact]) throws(StoreError) {
        try expectAlive()
        let parts = state.quarantine.filter { part in facts.contains { $0.settles(part) } }
        if parts.isEmpty { return }
        do throws(StoreError) {
            try commit(parts.map { .settled($0.tenure) })
        } catch {
            guard !error.isFatal, !StoreMutants.active(.settledByJournalAlone) else { throw error }
            // It is what makes the room that the journal lacks, and the anchor can say it as well.
            state.quarantine.removeAll { part in parts.contains { $0.tenure == part.tenure } }
            anchor.quarantine = state.quarantine
            anchor.sequence += 1
            try writeAnchor()
            try expectNotSurpassed()
        }
    }

    package var unsettled: [UnsettledTenure] {
        state.quarantine.map { part in
            UnsettledTenure(
                tenure: part.tenure, owner: part.owner,
                quarantined: UInt64(part.windows.count) * UInt64(geometry.windowSize))
        }
    }

    /// In a barrier: the origin has become larger.
    package mutating func resize(originSize: UInt64) throws(StoreError) {
        try expectAlive()
        guard originSize >= state.originSize else { throw .wouldShrink }
        guard originSize <= StoreLayout.maximumOriginSize else { throw .outOfRange }
        if originSize > state.originSize { try commit([.resized(originSize)]) }
    }

    func expectSnapshot(_ number: SnapshotNumber) throws(StoreError) -> Snapshot {
        guard let snapshot = state.snapshot(number) else { throw .noSuchSnapshot(number) }
        return snapshot
    }

    func snapshot(uuid: Bits128) -> Snapshot? {
        if StoreMutants.active(.uuidForgotten) { return nil }
        return state.snapshots.first { $0.about.uuid == uuid } ?? state.branches.first { $0.about.uuid == uuid }
    }

    func expectPossible(_ request: SnapshotRequest) throws(StoreError) {
        try expectFree(request.name)
        let count = state.snapshots.count + state.branches.count + state.prepared.count
        let last = state.generation + UInt64(StoreLimits.prepared)
        guard count < StoreLimits.snapshots, last < SnapshotNumber.branches else { throw .tooManySnapshots }
    }

    private func expectFree(_ name: String) throws(StoreError) {
        let bytes = name.utf8
        guard !bytes.isEmpty, bytes.count <= StoreLimits.nameLength, bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
        else { throw .impossibleName }
        for images in [state.snapshots, state.branches] {
            if let other = images.first(where: { $0.about.name.utf8.elementsEqual(bytes) }) {
                throw .nameTaken(other.number)
            }
        }
        // One that is prepared will have its name, whatever happens meanwhile.
        if state.prepared.contains(where: { $0.about.name.utf8.elementsEqual(bytes) }) {
            throw .nameTaken(SnapshotNumber(state.generation))
        }
    }
}
