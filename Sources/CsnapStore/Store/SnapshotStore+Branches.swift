import CsnapCore

/// Something to be written to a branch; it lies in one chunk.
package struct BranchWrite: Equatable, Sendable {
    package var branch: SnapshotNumber
    /// Bytes.
    package var offset: UInt64
    package var length: Int
    /// `length` of them, or none: zeros.
    package var bytes: [UInt8]

    package init(branch: SnapshotNumber, offset: UInt64, length: Int, bytes: [UInt8]) {
        self.branch = branch
        self.offset = offset
        self.length = length
        self.bytes = bytes
    }
}

/// Branches: images that begin as a snapshot and are written through the server (docs/data-plane.md, "Branches").
///
/// Each write puts its chunk to a new place, merged with what the branch held; never in place, so that what a dead
/// server may still write changes nothing. What was there is freed by the sweep when no reader looks at it any more.
extension SnapshotStore {
    /// Makes a branch of a snapshot, which stays as it is. Of a uuid that there is already: that branch.
    package mutating func branch(
        _ request: SnapshotRequest, of number: SnapshotNumber
    ) throws(StoreError) -> Snapshot {
        try expectAlive()
        if let there = snapshot(uuid: request.uuid) { return there }
        try expectPossible(request)
        let base = try expectUnchanging(number)
        guard state.lastBranch < .max else { throw .tooManySnapshots }
        let branch = Snapshot(
            number: SnapshotNumber(branch: state.lastBranch + 1), about: request, size: base.size, base: number)
        try commit([.created(branch)])
        return branch
    }

    /// The first branch of a snapshot; nil: it has none.
    package func branch(of number: SnapshotNumber) -> Snapshot? { state.branches.first { $0.base == number } }

    func expectUnchanging(_ number: SnapshotNumber) throws(StoreError) -> Snapshot {
        let snapshot = try expectSnapshot(number)
        guard snapshot.base == nil else { throw .isBranch(number) }
        return snapshot
    }

    /// Writes, durably; one flush for all of them where they fit. One outcome for each, in their order: nil, or why
    /// nothing of it was written. Later ones lie over earlier ones.
    package mutating func write(_ writes: [BranchWrite]) throws(StoreError) -> [StoreError?] {
        try expectAlive()
        var outcomes = [StoreError?](repeating: nil, count: writes.count)
        var targets: [(key: EntryKey, write: Int)] = []
        for index in writes.indices {
            do throws(StoreError) {
                targets.append((try target(writes[index]), index))
            } catch {
                outcomes[index] = error
            }
        }
        // Those of one chunk together, in their order.
        targets.sort { $0.key == $1.key ? $0.write < $1.write : $0.key < $1.key }
        var next = 0
        while next < targets.count {
            var group = BranchGroup()
            do throws(StoreError) {
                try makeRoom()
                try expectJournalRoom()
                while next < targets.count, group.chunks < copiesPerGroup {
                    let key = targets[next].key
                    let mine = targets[next...].prefix { $0.key == key }.map { $0.write }
                    next += mine.count
                    do throws(StoreError) {
                        try write(mine.map { writes[$0] }, key, &group)
                        group.writes += mine
                    } catch {
                        for index in mine { outcomes[index] = error }
                        if error.isFatal || error == .full { throw error }
                    }
                }
                try commit(&group)
            } catch {
                if error.isFatal { throw error }
                // No room for it, or for what comes after it.
                for index in group.writes { outcomes[index] = error }
                for target in targets[next...] { outcomes[target.write] = error }
                return outcomes
            }
        }
        return outcomes
    }

    /// The chunk's key without a number of its own.
    private func target(_ write: BranchWrite) throws(StoreError) -> EntryKey {
        let image = try expectSnapshot(write.branch)
        guard let branch = write.branch.branch else { throw .isNoBranch(write.branch) }
        let size = UInt64(geometry.chunkSize)
        guard write.length > 0, write.bytes.isEmpty || write.bytes.count == write.length,
            write.offset <= image.size, UInt64(write.length) <= image.size - write.offset,
            UInt64(write.length) <= size - write.offset % size
        else { throw .outOfRange }
        return EntryKey(branch: branch, chunk: write.offset / size, end: 0)
    }

    /// Merges the writes to one chunk and writes it to a new place.
    private mutating func write(
        _ writes: [BranchWrite], _ key: EntryKey, _ group: inout BranchGroup
    ) throws(StoreError) {
        let image = try expectSnapshot(writes[0].branch)
        let size = Int(geometry.chunkSize)
        let old = try written(image, key.chunk)
        let needed = min(UInt64(size), image.size - key.chunk * UInt64(size))
        if writes.contains(where: { UInt64($0.length) >= needed }) {
            buffer.part(0..<size).initializeMemory(as: UInt8.self, repeating: 0)
        } else {
            let isOverBase = StoreMutants.active(.mergedWithBase)
            try readChunk(isOverBase ? try expectSnapshot(image.base ?? image.number) : image, key.chunk)
        }
        for write in writes {
            let start = Int(write.offset % UInt64(size))
            let target = buffer.part(start..<start + write.length)
            if write.bytes.isEmpty {
                target.initializeMemory(as: UInt8.self, repeating: 0)
            } else {
                target.copyBytes(from: write.bytes)
            }
        }
        var offset = old?.offset ?? 0
        if old == nil || !StoreMutants.active(.branchWrittenInPlace) {
            // What was written in the open window counts before the next one is opened: a sealed window without
            // entries would be free. Neither touches the buffer.
            if freeUnits.isEmpty { try commit(&group) }
            offset = geometry.offset(ofUnit: try allocateUnit())
        }
        do throws(BlockDeviceError) {
            try device.write(UnsafeRawBufferPointer(buffer.part(0..<size)), at: offset)
        } catch {
            throw end(.device(error))
        }
        let write = state.lastWrite + UInt64(group.records.count) + 1
        guard write < EntryKey.lastWrite else { throw .full }
        let written = EntryKey(branch: key.branch, chunk: key.chunk, write: write)
        group.records.append(.put(Entry(key: written, offset: offset, checksum: buffer.checksum(0..<size))))
        group.chunks += 1
        if old != nil { group.isOverwriting = true }
    }

    private mutating func commit(_ group: inout BranchGroup) throws(StoreError) {
        if group.records.isEmpty { return }
        let isAsked = state.sweep?.againInBranches == true || StoreMutants.active(.overwritingNotSwept)
        let isOverwriting = group.isOverwriting && !isAsked
        try append(group.records + (isOverwriting ? [.overwritten] : []))
        if group.isOverwriting { readers.overwrote(lastWrite: state.lastWrite) }
        group.records = []
        group.writes = []
        group.isOverwriting = false
    }
}

/// Chunks of branches that are written and not yet recorded.
private struct BranchGroup {
    var records: [StoreRecord] = []
    /// The writes in them.
    var writes: [Int] = []
    /// All there were.
    var chunks = 0
    var isOverwriting = false
}
