extension SnapshotStore {
    /// Entries that one step of the sweep looks at.
    private static var sweepPart: Int { 512 }

    /// Whether `maintain` has something to do.
    package var needsMaintenance: Bool {
        !isEnded && (checkpoint != nil || needsCheckpoint && mayCheckpoint || maySweep || isSweepDue)
    }

    /// A sweep is under way, and nobody reads what it would free.
    private var maySweep: Bool {
        guard let sweep = state.sweep else { return false }
        // Nothing that it frees leaves the journal as long as damage is in the way of a checkpoint.
        let isBlocked = vain?.damage != nil && journal.liveBytes >= 2 * journalCap
        if isBlocked, !StoreMutants.active(.sweptPastCap) { return false }
        if StoreMutants.active(.sweptUnderReaders) { return true }
        guard readers.forgotDeletions else { return false }
        let isOfBranches = sweep.cursor == .beforeBranches && !sweep.again
        guard isOfBranches, let swept = sweptUpTo else { return true }
        // Of what was overwritten, it would find no more than the sweep before did.
        if swept == readers.overwritten, !readers.forgotOverwriting { return false }
        // It looks at all entries of all branches: often where they are few, else when a quarter of them was written
        // since, or when somebody found no room.
        let isWorthIt = (readers.overwritten - swept) * 4 >= sweptEntries
        return sweptEntries <= Self.fewEntries || isWorthIt || isShort
    }

    private static var fewEntries: UInt64 { 1024 }

    /// What sweeps left under a page of the space map can be freed.
    private var isSweepDue: Bool { leftUnderPages == .readable }

    /// The journal is half full, or in so many pieces that takeovers would soon have to wait for a checkpoint; or its
    /// last window is, and a checkpoint would give others back; or those of dead servers lie in the last windows.
    private var needsCheckpoint: Bool {
        if isScarce, anchor.pieces.count > 1, !StoreMutants.active(.scarceStoreWaits) { return true }
        if journal.liveBytes >= journalCap / 2 || anchor.pieces.count >= StoreAnchor.piecesForCheckpoint { return true }
        let givesBack = anchor.pieces.count > 1 || journal.current > 0
        return givesBack && isJournalShort && pick(.journal, leaving: lastReserve) == nil
    }

    /// One step of checkpoint or sweep: some ten milliseconds at most.
    package mutating func maintain() throws(StoreError) -> MaintenanceStep {
        try expectAlive()
        if checkpoint != nil {
            // Without room for it: what deleted snapshots leave makes some, and is swept next.
            try stepCheckpoint()
        } else if needsCheckpoint, mayCheckpoint {
            beginCheckpoint()
        } else if maySweep {
            try stepSweep()
        } else if isSweepDue {
            // What a deletion of nothing says as well, to a successor, too.
            try commit([.deleted(.none)])
            leftUnderPages = .nothing
        }
        return needsMaintenance ? .more : .idle
    }

    /// Frees entries that serve no snapshot any more: none lives above the chunk's entry before and up to its end. And
    /// those of branches that are deleted, or that were overwritten.
    private mutating func stepSweep() throws(StoreError) {
        var cursor = state.sweep?.cursor
        if cursor == nil || cursor == .beforeBranches {
            sweptUpTo = readers.overwritten
            sweptEntries = 0
            isSweptInPart = false
            isShort = false
        }
        var records: [StoreRecord] = []
        let last = EntryKey(branch: .max, chunk: .max, end: .max)
        for _ in 0..<Self.sweepPart where records.count + 1 < groupRecordLimit {
            let next: Entry?
            do throws(StoreError) { next = try entry(from: cursor?.successor ?? .first, to: last) } catch {
                guard case .damaged = error, !StoreMutants.active(.sweepStopsAtDamage) else { throw error }
                guard records.isEmpty else { break }
                try passDamage()
                throw error
            }
            guard let entry = next else {
                try commit(records + endOfSweep)
                // A smaller tree may do with less.
                if vain?.damage == nil { vain = nil }
                return
            }
            if entry.key.branch > 0 { sweptEntries += 1 }
            var isUseless = !state.needs(entry.key, after: cursor)
            if StoreMutants.active(.sweepTooMuch), entry.key.branch == 0 {
                isUseless = entry.key.end < state.snapshots.last?.number.value ?? .max
            }
            if isUseless, isLookedAt(entry.key, after: cursor) {
                isSweptInPart = true
            } else if isUseless, try canFree(entry) {
                records.append(.remove(entry.key, offset: entry.offset))
            }
            cursor = entry.key
        }
        guard let cursor else { return }
        if records.isEmpty {
            // Not worth a record: a successor looks at these once more.
            state.sweep?.cursor = cursor
        } else {
            try commit(records + [.swept(cursor)])
        }
    }

    private var endOfSweep: [StoreRecord] {
        isSweptInPart && !StoreMutants.active(.leftoverForgotten) ? [.sweepEnded, .overwritten] : [.sweepEnded]
    }

    /// The sweep goes on behind a node that it cannot read twice, and behind the first entry there: whether that serves
    /// anybody, what lies before it would say.
    private mutating func passDamage() throws(StoreError) {
        guard sweepMetDamage == lookedFrom else {
            sweepMetDamage = lookedFrom
            return
        }
        sweepMetDamage = nil
        switch try lastDamage() {
        case .none: return
        case .upTo(let upper): state.sweep?.cursor = upper
        case .toTheEnd: try commit(endOfSweep)
        }
    }

    /// Whether an entry that serves nobody can be removed: not where the space map cannot be read, and not one that is
    /// none of ours.
    private mutating func canFree(_ entry: Entry) throws(StoreError) -> Bool {
        guard entry.key.end < .max, let unit = geometry.unit(at: entry.offset) else { return false }
        do throws(StoreError) { try loadSpace(of: unit) } catch {
            guard case .damaged = error, !StoreMutants.active(.sweepStopsAtDamage) else { throw error }
            if leftUnderPages == .nothing { leftUnderPages = .unreadable }
            return false
        }
        let window = state.windows[geometry.window(ofUnit: unit)]
        return window.kind == .data && (window.used > 0 || !state.space.isUsed(unit))
    }

    /// Readers of a branch may remember it: the write in its place is too new.
    private func isLookedAt(_ key: EntryKey, after before: EntryKey?) -> Bool {
        guard let before, before.isSameChunk(as: key) else { return false }
        if StoreMutants.active(.sweptUnderReaders) || StoreMutants.active(.overwrittenUnderReaders) { return false }
        return before.write > readers.overwritten
    }
}
