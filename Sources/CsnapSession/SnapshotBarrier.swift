import CsnapCore

/// The making of one snapshot, from BEGIN to END (docs/data-plane.md, "Snapshot creation is a barrier").
struct SnapshotBarrier: Equatable, Sendable {
    enum Phase: Equatable, Sendable {
        /// Acknowledgements are awaited until the deadline.
        case gathering
        /// All are in: only the store decides now, and no deadline.
        case committing
    }

    let attempt: BarrierAttempt
    let name: String
    let uuid: Bits128
    let begun: Instant
    let deadline: Instant
    let answer: CommandAnswer
    var phase = Phase.gathering
    /// Sessions whose acknowledgement is missing.
    var missing: SortedTable<ConnectionID, NodeID>
}

/// Where the outcome of a command goes.
struct CommandAnswer: Equatable, Sendable {
    var connection: ConnectionID
    var request: UInt64
}
