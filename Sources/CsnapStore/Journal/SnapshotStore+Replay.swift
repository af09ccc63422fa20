import CsnapCore

/// What a replay of one piece came to.
struct ReplayedPiece {
    /// Number of the last group that counts; nil: none does.
    var last: UInt64?
    var bytes = 0
    /// Of the piece and of its records: all are needed until a checkpoint has passed them.
    var windows: [UInt32] = []
    /// Where its tenure may still be writing: the window of the last group, and what it had opened next.
    var tail: [UInt32] = []
}

/// Reads a journal in large parts.
struct JournalReader {
    /// More than the longest group.
    static let partSize = 256 << 10
    private var start: UInt64 = 0
    private var bytes: [UInt8] = []

    /// `count` bytes at an offset, or less at the end of the window.
    mutating func read<Device: BlockDevice>(
        _ count: Int, at offset: UInt64, windowEnd: UInt64, _ device: inout Device
    ) throws(BlockDeviceError) -> [UInt8] {
        let wanted = min(UInt64(count), windowEnd - offset)
        if offset < start || offset + wanted > start + UInt64(bytes.count) {
            let part = min(max(Self.partSize, count), Int(windowEnd - offset))
            bytes = try device.read(part, at: offset)
            start = offset
        }
        let first = Int(offset - start)
        return Array(bytes[first..<first + Int(wanted)])
    }
}

extension SnapshotStore {
    /// Applies the groups of a piece up to its cut, or as far as they go.
    mutating func replay(_ piece: JournalPiece) throws(StoreError) -> ReplayedPiece {
        var outcome = ReplayedPiece()
        var reader = JournalReader()
        var position = JournalWriter(piece: piece)
        position.offset = Int(piece.offset)
        position.number = piece.number
        position.predecessor = piece.predecessor
        // Held until a later one proves that it was flushed, or its data does.
        var held: JournalGroup?
        while StoreMutants.active(.cutsIgnored) || piece.cut.map({ position.number <= $0 }) ?? true {
            guard let group = try next(&position, &reader) else { break }
            if let held { try applyReplayed(held, &outcome) }
            held = group
        }
        var isDestroyed = false
        if piece.cut == nil {
            do throws(StoreError) {
                try expectEnd(position, &reader)
            } catch {
                isDestroyed = noteLost(piece.tenure, from: position.number, error)
                if !isDestroyed { throw error }
            }
        }
        if let held {
            let counts = piece.cut == nil && !isDestroyed ? try isDataWhole(held) : true
            if counts { try applyReplayed(held, &outcome) }
        }
        if let cut = piece.cut, (outcome.last ?? 0) < cut {
            let error = StoreError.damaged(
                offset: geometry.offset(ofWindow: position.window) + UInt64(position.offset))
            guard noteLost(piece.tenure, from: position.number, error) else { throw error }
        }
        outcome.bytes = position.liveBytes
        outcome.windows = position.piece.windows
        outcome.tail = Array(position.piece.windows[position.current...])
        return outcome
    }

    private mutating func applyReplayed(_ group: JournalGroup, _ outcome: inout ReplayedPiece) throws(StoreError) {
        if damage != nil {
            try replayLeniently(group)
        } else {
            guard try replay(group) else { throw .damaged(offset: 0) }
        }
        outcome.last = group.number
    }

    /// The group at the position, or at the beginning of the next window; moves the position behind it.
    private mutating func next(
        _ position: inout JournalWriter, _ reader: inout JournalReader
    ) throws(StoreError) -> JournalGroup? {
        if let group = try group(at: &position, &reader) { return group }
        guard position.hasNext else { return nil }
        var moved = position
        moved.moveOn()
        guard let group = try group(at: &moved, &reader) else { return nil }
        position = moved
        return group
    }

    private mutating func group(
        at position: inout JournalWriter, _ reader: inout JournalReader
    ) throws(StoreError) -> JournalGroup? {
        let start = geometry.offset(ofWindow: position.window)
        let windowEnd = start + UInt64(geometry.windowSize)
        let offset = start + UInt64(position.offset)
        guard offset < windowEnd else { return nil }
        do throws(BlockDeviceError) {
            let header = try reader.read(JournalGroup.headerSize, at: offset, windowEnd: windowEnd, &device)
            guard let length = JournalGroup.length(header), offset + UInt64(length) <= windowEnd else { return nil }
            let bytes = try reader.read(length, at: offset, windowEnd: windowEnd, &device)
            guard
                let group = JournalGroup(
                    bytes, store: format.store, tenure: position.piece.tenure, number: position.number,
                    predecessor: position.predecessor)
            else { return nil }
            let blocks = (length + StoreLayout.blockSize - 1) / StoreLayout.blockSize
            position.wrote(blocks * StoreLayout.blockSize, checksum: JournalGroup.checksum(bytes))
            for record in group.records {
                if case .opened(.journal, let window) = record, window < UInt32(geometry.windowCount),
                    !position.piece.windows.contains(window)
                {
                    position.piece.windows.append(window)
                }
            }
            return group
        } catch {
            throw end(.device(error))
        }
    }

    /// A group is written when the one before is durable. So where a later one lies behind the end, that is no end:
    /// something has destroyed what was there.
    private mutating func expectEnd(_ end: JournalWriter, _ reader: inout JournalReader) throws(StoreError) {
        if StoreMutants.active(.damagedJournalEnds) { return }
        try expectNoGroup(from: end.offset, in: end.window, end, &reader)
        if end.hasNext { try expectNoGroup(from: 0, in: end.piece.windows[end.current + 1], end, &reader) }
    }

    private mutating func expectNoGroup(
        from start: Int, in window: UInt32, _ position: JournalWriter, _ reader: inout JournalReader
    ) throws(StoreError) {
        let base = geometry.offset(ofWindow: window)
        let windowEnd = base + UInt64(geometry.windowSize)
        let last = min(start + JournalReader.partSize, Int(geometry.windowSize))
        do throws(BlockDeviceError) {
            for offset in stride(from: start, to: last, by: StoreLayout.blockSize) {
                let place = base + UInt64(offset)
                let header = try reader.read(JournalGroup.headerSize, at: place, windowEnd: windowEnd, &device)
                guard let length = JournalGroup.length(header), place + UInt64(length) <= windowEnd else { continue }
                let bytes = try reader.read(length, at: place, windowEnd: windowEnd, &device)
                if JournalGroup.isLater(bytes, store: format.store, than: position.number, of: position.piece.tenure) {
                    throw .system(0)
                }
            }
        } catch {
            if error == .system(0) { throw .damaged(offset: base + UInt64(start)) }
            throw end(.device(error))
        }
    }

    /// Whether the data that a group speaks of is there: group and data were written together.
    private mutating func isDataWhole(_ group: JournalGroup) throws(StoreError) -> Bool {
        if StoreMutants.active(.dataNotVerifiedAtReplay) { return true }
        for record in group.records {
            guard case .put(let entry) = record else { continue }
            guard geometry.unit(at: entry.offset) != nil else { return false }
            let bytes = try readBytes(Int(geometry.chunkSize), at: entry.offset)
            if Castagnoli.checksum(bytes) != entry.checksum { return false }
        }
        return true
    }
}
