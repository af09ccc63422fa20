import CsnapCore

/// The making of one snapshot, or a resize, of one or several volumes at one instant, from the command until its answer
/// (docs/data-plane.md, "Snapshot creation is a barrier"; docs/decisions/0056-several-volumes-one-decision.md).
struct SnapshotBarrier: Equatable, Sendable {
    enum Phase: Equatable, Sendable {
        /// Each store is asked whether the name is free.
        case finding
        /// Acknowledgements are awaited until the deadline.
        case gathering
        /// All writers stand still, and no deadline from here on: each store reads what clients have read.
        case comparing
        /// From here on the stores decide. Each but the deciding one says durably that it can.
        case preparing
        /// The commit record in the store of lowest uuid is the decision.
        case deciding
        /// The others follow it.
        case completing
        /// A store could not: what is prepared is forgotten, durably, before anybody goes on.
        case abandoning
    }

    let name: String
    let uuid: Bits128
    let priority: Int32
    /// The origin's new size is taken; nothing is made.
    let isResize: Bool
    /// By the uuids of their stores: the first one decides.
    let volumes: [Int]
    /// Whether the answer names the volumes.
    let isSeveral: Bool
    /// Of its last sending.
    var answer: CommandAnswer
    let begun: Instant
    var phase = Phase.finding
    /// From BEGIN on.
    var attempt: BarrierAttempt?
    var deadline = Instant.distantFuture
    /// Sessions whose acknowledgement is missing.
    var missing = SortedTable<ConnectionID, NodeID>()
    /// What those who acknowledged this attempt have read of their origins.
    var samples: [Sample] = []
    /// Whose origins differ from the server's.
    var strangers: [NodeID] = []
    /// The second attempt, which all stand still for already: what differs then is another disk.
    var isRepeated = false
    /// Volumes whose stores have not answered what this phase asks.
    var asked: [Int] = []
    var prepared: [Int] = []
    var made: [Made] = []
    /// Of a resize that is done; else 0.
    var originSize: UInt64 = 0
    /// Why it is not made.
    var refusal: CommandOutcome?

    func isMade(by command: Bits128, of volumes: [Int], isSeveral: Bool) -> Bool {
        !isResize && uuid == command && self.isSeveral == isSeveral && self.volumes.sorted() == volumes.sorted()
    }

    struct Sample: Equatable, Sendable {
        var volume: Int
        var node: NodeID
        var sum: UInt32
    }

    struct Made: Equatable, Sendable {
        var volume: Int
        var entry: SnapshotEntry
    }
}

/// Where the outcome of a command goes.
struct CommandAnswer: Equatable, Sendable {
    var connection: ConnectionID
    var request: UInt64
}
