/// One probe on its way.
struct Probe: Equatable, Sendable {
    let target: NodeBoot
    let sequence: UInt64
    let sentAt: Instant
    /// Whether its failure speaks of our own health: only where the target was alive and known before.
    let charged: Bool
    /// When the answer is overdue: the target is asked again, the first time through relays too.
    var retryAt: Instant
    var retries = 0
    /// When the target counts as silent.
    var deadline: Instant

    /// More retries in one period find nothing that these did not.
    static let mostRetries = 2

    var nextWake: Instant { retries < Self.mostRetries ? min(retryAt, deadline) : deadline }
}

/// A probe we pass on for another member.
struct RelayedProbe: Equatable, Sendable {
    /// More than these at once are not remembered: the oldest goes.
    static let most = 64

    let sequence: UInt64
    let target: NodeBoot
    let requester: NodeBoot
    let requesterSequence: UInt64
    let until: Instant
}
