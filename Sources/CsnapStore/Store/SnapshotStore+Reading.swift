import CsnapCore

extension SnapshotStore {
    private static var partLimit: Int { 1024 }

    /// Where these chunks of a snapshot lie, in order, neighbours together; at most 1024 parts (the rest: ask again).
    package mutating func locate(
        _ number: SnapshotNumber, _ chunks: Range<UInt64>
    ) throws(StoreError) -> [ChunkLocation] {
        let snapshot = try expectSnapshot(number)
        var parts: [ChunkLocation] = []
        var chunk = chunks.lowerBound
        while chunk < chunks.upperBound {
            let next = try location(of: chunk, snapshot)
            if let last = parts.last, isNext(next.place, last) {
                parts[parts.count - 1].chunks = last.chunks.lowerBound..<chunk + 1
                parts[parts.count - 1].checksums += next.checksums
            } else {
                if parts.count == Self.partLimit { break }
                parts.append(next)
            }
            chunk += 1
        }
        return parts
    }

    private func isNext(_ place: ChunkPlace, _ part: ChunkLocation) -> Bool {
        switch (part.place, place) {
        case (.store(let first), .store(let next)):
            next == first + UInt64(part.chunks.count) * UInt64(geometry.chunkSize)
        case (.origin, .origin), (.zero, .zero): true
        case (.store, _), (.origin, _), (.zero, _): false
        }
    }

    private mutating func location(of chunk: UInt64, _ snapshot: Snapshot) throws(StoreError) -> ChunkLocation {
        let chunks = chunk..<chunk + 1
        if chunk >= geometry.chunkCount(snapshot.size) { return ChunkLocation(chunks: chunks, place: .zero) }
        guard let entry = try saved(snapshot, chunk) else { return ChunkLocation(chunks: chunks, place: .origin) }
        return ChunkLocation(chunks: chunks, place: .store(offset: entry.offset), checksums: [entry.checksum])
    }

    /// What the store has of a chunk of a snapshot or branch; nil: it is on the origin.
    private mutating func saved(_ snapshot: Snapshot, _ chunk: UInt64) throws(StoreError) -> Entry? {
        if let own = try written(snapshot, chunk) { return own }
        let key = EntryKey(branch: 0, chunk: chunk, end: (snapshot.base ?? snapshot.number).value)
        return try saved(snapshot, key)
    }

    /// What was written to a chunk of a branch; nil: nothing yet.
    mutating func written(_ branch: Snapshot, _ chunk: UInt64) throws(StoreError) -> Entry? {
        guard let number = branch.number.branch else { return nil }
        return try saved(branch, EntryKey(branch: number, chunk: chunk, end: 0))
    }

    /// The first entry of a chunk from a key on. Nobody is sent to a place where no chunk can lie.
    private mutating func saved(_ image: Snapshot, _ key: EntryKey) throws(StoreError) -> Entry? {
        guard let entry = try entry(from: key, to: key.lastOfChunk) else { return nil }
        guard geometry.unit(at: entry.offset) != nil else { throw .damagedData(image.number, chunk: key.chunk) }
        return entry
    }

    /// One chunk of a snapshot, checked against its checksum where it is in the store; for nodes that do not see
    /// the store. From the origin only under a hold.
    package mutating func read(_ number: SnapshotNumber, chunk: UInt64) throws(StoreError) -> [UInt8] {
        let snapshot = try expectSnapshot(number)
        let size = Int(geometry.chunkSize)
        guard chunk < geometry.chunkCount(snapshot.size) else { return [UInt8](repeating: 0, count: size) }
        try readChunk(snapshot, chunk)
        return Array(buffer.part(0..<size))
    }

    /// The same of a chunk that there is, to the beginning of the buffer.
    mutating func readChunk(_ snapshot: Snapshot, _ chunk: UInt64) throws(StoreError) {
        let size = Int(geometry.chunkSize)
        if let entry = try saved(snapshot, chunk) {
            do throws(BlockDeviceError) {
                try device.read(into: buffer.part(0..<size), at: entry.offset)
            } catch {
                throw .damagedData(snapshot.number, chunk: chunk)
            }
            let isWhole = buffer.checksum(0..<size) == entry.checksum
            guard isWhole || StoreMutants.active(.dataNotVerifiedAtReading) else {
                throw .damagedData(snapshot.number, chunk: chunk)
            }
        } else {
            do throws(BlockDeviceError) {
                try readOrigin(chunk..<chunk + 1)
            } catch {
                throw .originRead(chunk: chunk, error)
            }
        }
        // The origin may have grown since; behind the end of a snapshot there are zeros.
        let end = snapshot.size - chunk * UInt64(size)
        if end < UInt64(size) { buffer.part(Int(end)..<size).initializeMemory(as: UInt8.self, repeating: 0) }
    }

    /// Chunks that may differ between `from` and `to`, or between `from` and the present origin (nil), from a chunk on.
    /// At most `limit` entries are looked at, so that nobody waits long for it.
    package mutating func diff(
        _ from: SnapshotNumber, _ to: SnapshotNumber?, startingAt chunk: UInt64, limit: Int
    ) throws(StoreError) -> DiffPart {
        let low = try expectUnchanging(from)
        let high = try to.map { number throws(StoreError) in try expectUnchanging(number) }
        guard high.map({ low.number <= $0.number }) ?? true, limit > 0 else { throw .outOfRange }
        let size = high?.size ?? state.originSize
        // A chunk that the older image does not have in full is another one.
        let common = size == low.size ? geometry.chunkCount(low.size) : low.size / UInt64(geometry.chunkSize)
        var part = DiffPart(size: size)
        var key = EntryKey(branch: 0, chunk: chunk, end: low.number.value)
        let end = EntryKey(branch: 0, chunk: common, end: 0)
        for _ in 0..<limit {
            guard key < end, let entry = try entry(from: key, to: end), entry.key.chunk < common else {
                let rest = max(chunk, common)
                part.append(rest..<max(rest, geometry.chunkCount(size)))
                return part
            }
            if entry.key.end < low.number.value {
                key = EntryKey(branch: 0, chunk: entry.key.chunk, end: low.number.value)
                continue
            }
            if entry.key.end < high?.number.value ?? .max { part.append(entry.key.chunk..<entry.key.chunk + 1) }
            key = EntryKey(branch: 0, chunk: entry.key.chunk + 1, end: low.number.value)
        }
        part.next = key.chunk
        return part
    }
}
