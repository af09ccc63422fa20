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
    /// Where nothing was written yet: behind the last group, or in what was opened next.
    var end: JournalEnd?
}

/// A place in a window of a journal, and all behind it.
struct JournalEnd: Equatable, Sendable {
    var window: UInt32
    var offset: Int
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
        var held: (group: JournalGroup, place: UInt64)?
        while StoreMutants.active(.cutsIgnored) || piece.cut.map({ position.number <= $0 }) ?? true {
            guard let group = try next(&position, &reader) else { break }
            if let held { try applyReplayed(held, &outcome) }
            held = group
        }
        var isDestroyed = false
        if piece.cut == nil, try isFollowed(position, &reader) {
            try lost(position)
            isDestroyed = true
        }
        if let held {
            let counts = piece.cut == nil && !isDestroyed ? try isDataWhole(held.group) : true
            if counts { try applyReplayed(held, &outcome) }
        }
        if let cut = piece.cut, (outcome.last ?? 0) < cut { try lost(position) }
        outcome.bytes = position.liveBytes
        outcome.windows = position.piece.windows
        outcome.tail = Array(position.piece.windows[position.current...])
        if position.hasNext { position.moveOn() }
        outcome.end = JournalEnd(window: position.window, offset: position.offset)
        return outcome
    }

    private mutating func applyReplayed(
        _ held: (group: JournalGroup, place: UInt64), _ outcome: inout ReplayedPiece
    ) throws(StoreError) {
        if damage != nil {
            try replayLeniently(held.group)
        } else {
            guard try replay(held.group) else { throw .damaged(offset: held.place) }
        }
        outcome.last = held.group.number
    }

    /// The group at the position, or at the beginning of the next window, and its place; moves the position behind it.
    private mutating func next(
        _ position: inout JournalWriter, _ reader: inout JournalReader
    ) throws(StoreError) -> (group: JournalGroup, place: UInt64)? {
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
    ) throws(StoreError) -> (group: JournalGroup, place: UInt64)? {
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
            return (group, offset)
        } catch {
            throw end(.device(error))
        }
    }

    /// A group is written when the one before is durable. So where a later one lies behind the end, that is no end:
    /// something has destroyed what was there.
    private mutating func isFollowed(_ end: JournalWriter, _ reader: inout JournalReader) throws(StoreError) -> Bool {
        if StoreMutants.active(.damagedJournalEnds) { return false }
        if try hasLaterGroup(from: end.offset, in: end.window, end, &reader) { return true }
        return end.hasNext ? try hasLaterGroup(from: 0, in: end.piece.windows[end.current + 1], end, &reader) : false
    }

    private mutating func hasLaterGroup(
        from start: Int, in window: UInt32, _ position: JournalWriter, _ reader: inout JournalReader
    ) throws(StoreError) -> Bool {
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
                    return true
                }
            }
        } catch {
            throw end(.device(error))
        }
        return false
    }

    /// The group at a position is gone: an error that names its place, or noted and gone past.
    private mutating func lost(_ position: JournalWriter) throws(StoreError) {
        let error = StoreError.damaged(offset: try placeOfLost(position))
        guard noteLost(position.piece.tenure, from: position.number, error) else { throw error }
    }

    /// There, or at the beginning of the next window: where what lies looks more like that group.
    private mutating func placeOfLost(_ position: JournalWriter) throws(StoreError) -> UInt64 {
        let here = geometry.offset(ofWindow: position.window) + UInt64(position.offset)
        guard position.hasNext else { return here }
        let next = geometry.offset(ofWindow: position.piece.windows[position.current + 1])
        if position.offset >= Int(geometry.windowSize) { return next }
        let block = StoreLayout.blockSize
        let likeness = (
            here: JournalGroup.likeness(try readBytes(block, at: here), store: format.store, position),
            next: JournalGroup.likeness(try readBytes(block, at: next), store: format.store, position)
        )
        return likeness.next > likeness.here ? next : here
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
