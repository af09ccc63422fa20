import CsnapCore

extension SnapshotStore {
    /// What a successor has to read at most: 4 MiB, or an eighth of a small store.
    var journalCap: Int {
        let windows = min(8, max(2, geometry.windowCount / 8))
        return min(4 << 20, windows * Int(geometry.windowSize))
    }

    /// Records of one group: an eighth of a window at most, so that half a window always has room for some.
    var groupRecordLimit: Int { max(1, min(1024, Int(geometry.windowSize) / 8 / StoreRecord.longest)) }

    /// Makes records durable, then applies them. At the cap of the journal a checkpoint is finished first; where there
    /// is no room for one, or damage in its way, what may use the reserve goes on.
    mutating func commit(
        _ records: [StoreRecord], isFlushed: Bool = true, isUrgent: Bool = false
    ) throws(StoreError) {
        do throws(StoreError) {
            try makeRoom()
        } catch {
            let mayGoOn = (isUrgent || mayUseReserve(records)) && !StoreMutants.active(.capHoldsAll)
            guard !error.isFatal, mayGoOn else { throw error }
        }
        try append(records, isFlushed: isFlushed, isUrgent: isUrgent)
    }

    /// Time to have the next window: what is left of this one, three quarters of a small one, is for what may use the
    /// reserve.
    var isJournalShort: Bool {
        let size = Int(geometry.windowSize)
        return !journal.hasNext && journal.offset >= size - min(size / 4 * 3, Self.urgentRoom)
    }

    /// Bytes: records of 200,000 entries that are freed.
    private static var urgentRoom: Int { 8 << 20 }

    /// Where a group must end. Of a window that none follows the last block is for the record that opens the next one,
    /// and the block before for one that opens a window of nodes: a checkpoint gives windows back.
    private func end(of records: [StoreRecord]) -> Int {
        let size = Int(geometry.windowSize)
        if journal.hasNext || opensJournal(records) { return size }
        let opensNodes = records.allSatisfy { if case .opened(.nodes, _) = $0 { true } else { false } }
        let isKept = !opensNodes && !StoreMutants.active(.noBlockForNodes)
        return size - (isKept ? 2 : 1) * StoreLayout.blockSize
    }

    private func fits(_ records: [StoreRecord]) -> Bool {
        let group = JournalGroup(
            tenure: tenure, number: journal.number, predecessor: journal.predecessor, records: records)
        return journal.offset + group.encoded(store: format.store).bytes.count <= end(of: records)
    }

    private func opensJournal(_ records: [StoreRecord]) -> Bool {
        records.contains { if case .opened(.journal, _) = $0 { true } else { false } }
    }

    private func mayUseReserve(_ records: [StoreRecord]) -> Bool {
        StoreMutants.active(.reserveForAll) || records.allSatisfy { $0.mayUseReserve }
    }

    mutating func makeRoom() throws(StoreError) {
        while journal.liveBytes >= journalCap {
            if checkpoint == nil {
                if let vain, !mayCheckpoint { throw vain.error }
                beginCheckpoint()
            }
            try stepCheckpoint()
        }
    }

    /// Before chunks are copied whose record would find no room.
    mutating func expectJournalRoom() throws(StoreError) {
        guard isJournalShort, pick(.journal, leaving: lastReserve) == nil, !StoreMutants.active(.copiedInVain) else {
            return
        }
        isShort = true
        throw .full
    }

    /// One group: written, flushed, applied. Windows it opens may be used when this returns: the record is durable,
    /// and the slots read after that showed no higher tenure. Of the last half of the reserve a journal opens a window
    /// only when the one before is used up, for what may use the reserve; all else takes of that one what comes before
    /// `urgentRoom`.
    mutating func append(
        _ records: [StoreRecord], isFlushed: Bool = true, isUrgent: Bool = false
    ) throws(StoreError) {
        var records = records
        for record in records { try loadSpace(for: record) }
        if isJournalShort, !opensJournal(records) {
            let isUrgent = isUrgent || mayUseReserve(records)
            let opened = records.compactMap { if case .opened(_, let window) = $0 { window } else { nil } }
            let mayTakeLast = isUrgent && (!fits(records) || StoreMutants.active(.lastWindowsTakenEarly))
            if let window = pick(.journal, besides: opened.first, leaving: mayTakeLast ? 0 : lastReserve) {
                let next = StoreRecord.opened(.journal, window)
                if fits(records + [next]) { records.append(next) } else { try append([next]) }
            } else if !isUrgent {
                isShort = true
                throw .full
            }
        }
        let opens = records.contains { if case .opened = $0 { true } else { false } }
        let group = JournalGroup(
            tenure: tenure, number: journal.number, predecessor: journal.predecessor, records: records)
        let (bytes, checksum) = group.encoded(store: format.store)
        if journal.offset + bytes.count > end(of: records) {
            guard journal.hasNext else { throw .full }
            journal.moveOn()
            state.open.journal.removeFirst()
        }
        try write(bytes, at: geometry.offset(ofWindow: journal.window) + UInt64(journal.offset))
        if isFlushed, !StoreMutants.active(.grantBeforeFlush) { try flush() }
        journal.wrote(bytes.count, checksum: checksum)
        if opens { try expectNotSurpassed() }
        guard apply(records) else { preconditionFailure("a record of our own cannot be applied") }
        for record in records {
            if case .opened(.journal, let window) = record { journal.piece.windows.append(window) }
        }
    }

    mutating func loadSpace(for record: StoreRecord) throws(StoreError) {
        switch record {
        case .put(let entry): if let unit = geometry.unit(at: entry.offset) { try loadSpace(of: unit) }
        case .remove(_, let offset): if let unit = geometry.unit(at: offset) { try loadSpace(of: unit) }
        case .created, .deleted, .changed, .prepared, .abandoned, .writerAdded, .writerCleared, .opened, .settled,
            .resized, .swept, .sweepEnded, .overwritten, .generationRaised, .reverting:
            break
        }
    }

    /// Applies a durable group. False: it cannot be, so it is none of ours.
    mutating func apply(_ records: [StoreRecord]) -> Bool {
        for record in records {
            guard state.apply(record, geometry) else { return false }
            switch record {
            case .put(let entry): overlay.set(Overlay.Item(entry: entry, isRemoved: false))
            case .remove(let key, let offset):
                overlay.set(Overlay.Item(entry: Entry(key: key, offset: offset, checksum: 0), isRemoved: true))
            case .created, .deleted, .changed, .prepared, .abandoned, .writerAdded, .writerCleared, .opened, .settled,
                .resized, .swept, .sweepEnded, .overwritten, .generationRaised, .reverting:
                break
            }
        }
        return true
    }

    /// The same, with the pages of the space map that it needs.
    mutating func replay(_ group: JournalGroup) throws(StoreError) -> Bool {
        for record in group.records { try loadSpace(for: record) }
        return apply(group.records)
    }
}
