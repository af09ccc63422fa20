import CsnapCore

extension SnapshotStore {
    /// Saves each chunk of these queries that a snapshot lacks; one flush for all of them where they fit. One
    /// outcome for each query, in their order. A write that waited for a hold must be asked for again.
    package mutating func grant(_ queries: [[Range<UInt64>]]) throws(StoreError) -> [GrantOutcome] {
        try expectAlive()
        var outcomes = [GrantOutcome](repeating: .granted, count: queries.count)
        var lacking: [UInt64] = []
        for index in queries.indices {
            do throws(StoreError) {
                lacking += try self.lacking(queries[index])
            } catch {
                switch error {
                case .damaged(let offset): outcomes[index] = .damaged(offset: offset)
                case .outOfRange: outcomes[index] = .outOfRange
                default: throw error
                }
            }
        }
        lacking.sort()
        var failures: [(chunk: UInt64, outcome: GrantOutcome)] = []
        var next = 0
        while next < lacking.count {
            let part = copyOutPart(lacking, from: &next)
            do throws(StoreError) {
                try copyOut(part, &failures)
            } catch {
                // In the space map, or a node that a checkpoint needs: no copy, no grant.
                guard case .damaged(let offset) = error else { throw error }
                failures += part.map { ($0, .damaged(offset: offset)) }
            }
        }
        for index in queries.indices where outcomes[index] == .granted {
            let hit = failures.first { failure in queries[index].contains { $0.contains(failure.chunk) } }
            if let hit { outcomes[index] = hit.outcome }
        }
        return outcomes
    }

    /// Chunks of a query that no entry holds for the newest snapshot yet: one lookup each, however many snapshots.
    private mutating func lacking(_ query: [Range<UInt64>]) throws(StoreError) -> [UInt64] {
        let end = geometry.chunkCount(state.originSize)
        guard query.allSatisfy({ $0.upperBound <= end }) else { throw .outOfRange }
        guard let newest = state.snapshots.last else { return [] }
        var lacking: [UInt64] = []
        for range in query {
            // What lay behind the end of all snapshots is needed by none.
            for chunk in range
                .lowerBound..<max(range.lowerBound, min(range.upperBound, geometry.chunkCount(newest.size)))
            {
                let key = EntryKey(branch: 0, chunk: chunk, end: newest.number.value)
                if try entry(from: key, to: key.lastOfChunk) == nil { lacking.append(chunk) }
            }
        }
        return lacking
    }

    /// A successor reads the data of the last group once more: 4 MiB at most.
    var copiesPerGroup: Int { max(1, min(groupRecordLimit, (4 << 20) / Int(geometry.chunkSize))) }

    /// The next chunks that go together, without repetitions.
    private func copyOutPart(_ chunks: [UInt64], from next: inout Int) -> [UInt64] {
        let limit = copiesPerGroup
        var part: [UInt64] = []
        while next < chunks.count, part.count < limit {
            if part.last != chunks[next] { part.append(chunks[next]) }
            next += 1
        }
        // A repetition at the edge would be copied twice.
        while next < chunks.count, part.last == chunks[next] { next += 1 }
        return part
    }

    /// Reads, writes and records some chunks: one group.
    private mutating func copyOut(
        _ chunks: [UInt64], _ failures: inout [(chunk: UInt64, outcome: GrantOutcome)]
    ) throws(StoreError) {
        guard let newest = state.snapshots.last else { return }
        let size = Int(geometry.chunkSize)
        let most = buffer.bytes.count / size
        var records: [StoreRecord] = []
        do throws(StoreError) {
            try makeRoom()
            try expectJournalRoom()
        } catch {
            if case .full = error { failures += chunks.map { ($0, .full) } } else { throw error }
            return
        }
        var next = 0
        while next < chunks.count {
            var count = 1
            while count < most, next + count < chunks.count, chunks[next + count] == chunks[next] + UInt64(count) {
                count += 1
            }
            let range = chunks[next]..<chunks[next] + UInt64(count)
            next += count
            let run: Range<UInt64>
            do throws(BlockDeviceError) {
                try readOrigin(range)
                run = range
            } catch {
                // The whole run failed; which of its chunks is it?
                try copyOne(range, newest.number, &records, &failures)
                continue
            }
            try save(run, newest.number, &records, &failures)
        }
        if records.isEmpty { return }
        do throws(StoreError) {
            try append(records)
        } catch {
            if case .full = error { failures += chunks.map { ($0, .full) } } else { throw error }
        }
    }

    private mutating func copyOne(
        _ chunks: Range<UInt64>, _ number: SnapshotNumber, _ records: inout [StoreRecord],
        _ failures: inout [(chunk: UInt64, outcome: GrantOutcome)]
    ) throws(StoreError) {
        for chunk in chunks {
            do throws(BlockDeviceError) {
                try readOrigin(chunk..<chunk + 1)
            } catch {
                if !StoreMutants.active(.failedCopyGranted) {
                    failures.append((chunk, .originRead(chunk: chunk, error)))
                }
                continue
            }
            try save(chunk..<chunk + 1, number, &records, &failures)
        }
    }

    /// Fills the buffer; a short last chunk is filled up with zeros.
    mutating func readOrigin(_ chunks: Range<UInt64>) throws(BlockDeviceError) {
        let size = UInt64(geometry.chunkSize)
        let start = chunks.lowerBound * size
        let count = Int(min(chunks.upperBound * size, max(origin.size, start)) - start)
        let all = Int(size) * chunks.count
        try origin.read(into: buffer.part(0..<count), at: start)
        if count < all { buffer.part(count..<all).initializeMemory(as: UInt8.self, repeating: 0) }
    }

    /// Writes the buffer to new places, neighbours in one request.
    private mutating func save(
        _ chunks: Range<UInt64>, _ number: SnapshotNumber, _ records: inout [StoreRecord],
        _ failures: inout [(chunk: UInt64, outcome: GrantOutcome)]
    ) throws(StoreError) {
        let size = Int(geometry.chunkSize)
        var start = 0
        while start < chunks.count {
            let first: UInt64
            do throws(StoreError) {
                // What was saved in the open window counts before the next one is opened: a sealed window without
                // entries would be free.
                if freeUnits.isEmpty, !records.isEmpty {
                    try append(records)
                    records = []
                }
                first = try allocateUnit()
            } catch {
                guard case .full = error else { throw error }
                for record in records {
                    if case .put(let entry) = record { failures.append((entry.key.chunk, .full)) }
                }
                records = []
                failures += (chunks.lowerBound + UInt64(start)..<chunks.upperBound).map { ($0, .full) }
                return
            }
            // Neighbours of the same window only: the next window is opened, and so this one sealed, when all that
            // was taken in it is written.
            var count = 1
            while start + count < chunks.count, freeUnits.last == first + UInt64(count) {
                freeUnits.removeLast()
                count += 1
            }
            do throws(BlockDeviceError) {
                let part = buffer.part(start * size..<(start + count) * size)
                try device.write(UnsafeRawBufferPointer(part), at: geometry.offset(ofUnit: first))
            } catch {
                throw end(.device(error))
            }
            for index in start..<start + count {
                let key = EntryKey(branch: 0, chunk: chunks.lowerBound + UInt64(index), end: number.value)
                let offset = geometry.offset(ofUnit: first + UInt64(index - start))
                let checksum = buffer.checksum(index * size..<(index + 1) * size)
                records.append(.put(Entry(key: key, offset: offset, checksum: checksum)))
            }
            start += count
        }
    }
}
