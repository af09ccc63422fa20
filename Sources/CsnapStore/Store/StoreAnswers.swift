/// What became of one query for permission to overwrite chunks.
package enum GrantOutcome: Equatable, Sendable {
    /// All snapshots that need these chunks have them, durably.
    case granted
    /// A chunk of the origin could not be read, so it cannot be saved: an error to this write alone.
    case originRead(chunk: UInt64, BlockDeviceError)
    /// The store is damaged at this offset, so that nobody knows what the snapshots lack, or where there is room.
    case damaged(offset: UInt64)
    /// No room to save them. The policy decides: hold the write, or delete `dropCandidate` and ask again.
    case full
    /// Behind the end of the origin.
    case outOfRange
}

/// Where chunks of a snapshot lie.
package struct ChunkLocation: Equatable, Sendable {
    package var chunks: Range<UInt64>
    package var place: ChunkPlace
    /// CRC-32C of each chunk in the store; none elsewhere.
    package var checksums: [UInt32]

    package init(chunks: Range<UInt64>, place: ChunkPlace, checksums: [UInt32] = []) {
        self.chunks = chunks
        self.place = place
        self.checksums = checksums
    }
}

package enum ChunkPlace: Equatable, Sendable {
    /// In the store, one after the other from this offset in bytes. The address stays true until the space is freed
    /// *and* every reader has forgotten it (`readersForgot`).
    case store(offset: UInt64)
    /// In the origin at their own place, as long as no grant for them is given: the caller holds them.
    case origin
    /// Behind the end of the snapshot.
    case zero
}

/// What a step of the store's own work came to.
package enum MaintenanceStep: Equatable, Sendable {
    case idle
    /// There is more; call again between other work.
    case more
}

/// Chunks that may differ between two images, and where to go on.
package struct DiffPart: Equatable, Sendable {
    /// In order; neighbours are one range.
    package private(set) var ranges: [Range<UInt64>] = []
    /// Nil: that was all.
    package internal(set) var next: UInt64?
    /// Bytes of the newer image.
    package let size: UInt64

    init(size: UInt64) { self.size = size }

    mutating func append(_ range: Range<UInt64>) {
        if range.isEmpty { return }
        if let last = ranges.last, last.upperBound == range.lowerBound {
            ranges[ranges.count - 1] = last.lowerBound..<range.upperBound
        } else {
            ranges.append(range)
        }
    }
}
