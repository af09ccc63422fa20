/// What a repair came to.
package struct RepairReport: Equatable, Sendable {
    /// What was wrong before.
    package var before: CheckReport
    /// What no repair can bring back.
    package var losses: [RepairLoss] = []
    /// There are more than `losses` says.
    package var hasMoreLosses = false
    /// The store was written; false: nothing was wrong.
    package var isChanged = false
    /// Of the store as it is now.
    package var generation: UInt64

    package static let lossLimit = 10_000

    init(before: CheckReport, generation: UInt64) {
        self.before = before
        self.generation = generation
    }

    mutating func lost(_ loss: RepairLoss) {
        if losses.count < Self.lossLimit { losses.append(loss) } else { hasMoreLosses = true }
    }
}

/// Something that a snapshot had and has no more.
package enum RepairLoss: Equatable, Sendable {
    /// What these snapshots show in these chunks may be wrong; `end` is behind the last one, nil: to the end.
    case chunks(first: UInt64, end: UInt64?, snapshots: [SnapshotNumber])
    /// What that tenure did from this group on is gone: snapshots made since, and any chunk overwritten since in those
    /// that were there.
    case journal(epoch: UInt64, group: UInt64, snapshots: [SnapshotNumber])

    package var snapshots: [SnapshotNumber] {
        switch self {
        case .chunks(_, _, let snapshots), .journal(_, _, let snapshots): snapshots
        }
    }
}
