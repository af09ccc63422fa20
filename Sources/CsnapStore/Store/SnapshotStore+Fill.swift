import CsnapCore

extension SnapshotStore {
    /// Records that the newest snapshot's images of these chunks hold zeros, which are neither read nor written: a file
    /// without a byte in it gives them. Makes a store of millions of chunks in seconds, for benches; needs a snapshot.
    ///
    /// `isLogged`: by the journal alone, as copies are, beyond its cap if need be; else a checkpoint takes them.
    package mutating func fillWithZeros(_ chunks: [UInt64], isLogged: Bool) throws(StoreError) {
        try expectAlive()
        guard let newest = state.snapshots.last else { throw .noSuchSnapshot(SnapshotNumber(0)) }
        let checksum = Castagnoli.checksum([UInt8](repeating: 0, count: Int(geometry.chunkSize)))
        let limit = copiesPerGroup
        var next = 0
        while next < chunks.count {
            var records: [StoreRecord] = []
            // What was recorded in the open window counts before the next one is opened.
            while next < chunks.count, records.count < limit, records.isEmpty || !freeUnits.isEmpty {
                let offset = geometry.offset(ofUnit: try allocateUnit())
                let key = EntryKey(branch: 0, chunk: chunks[next], end: newest.number.value)
                records.append(.put(Entry(key: key, offset: offset, checksum: checksum)))
                next += 1
            }
            if isLogged {
                try append(records)
            } else {
                for record in records { try loadSpace(for: record) }
                guard apply(records) else { preconditionFailure("a record of our own cannot be applied") }
            }
        }
        if !isLogged { try checkpointNow() }
    }
}
