/// News that rides on probes and acknowledgements.
package enum GossipItem: Equatable, Sendable {
    case member(MemberRecord)
    /// `accuser` suspects `process` at that incarnation.
    case accusation(accuser: NodeID, process: NodeBoot, incarnation: Incarnation)
    case claim(Claim)
    case configuration(VoterSet)
}

package struct Ping: Equatable, Sendable {
    package var sequence: UInt64
    package var target: NodeBoot
    package var incarnation: Incarnation
    package var localHealth: UInt8
    /// The sender's clock, echoed in the Ack so that it can measure the round trip.
    package var sentAt: Instant
    package var gossip: [GossipItem]

    package init(
        sequence: UInt64, target: NodeBoot, incarnation: Incarnation, localHealth: UInt8, sentAt: Instant,
        gossip: [GossipItem]
    ) {
        self.sequence = sequence
        self.target = target
        self.incarnation = incarnation
        self.localHealth = localHealth
        self.sentAt = sentAt
        self.gossip = gossip
    }
}

package struct Ack: Equatable, Sendable {
    package var sequence: UInt64
    /// Who was probed; not the sender when a relay passes the Ack on.
    package var target: NodeBoot
    package var incarnation: Incarnation
    package var localHealth: UInt8
    package var echo: Instant
    package var gossip: [GossipItem]

    package init(
        sequence: UInt64, target: NodeBoot, incarnation: Incarnation, localHealth: UInt8, echo: Instant,
        gossip: [GossipItem]
    ) {
        self.sequence = sequence
        self.target = target
        self.incarnation = incarnation
        self.localHealth = localHealth
        self.echo = echo
        self.gossip = gossip
    }
}

package struct PingRequest: Equatable, Sendable {
    package var sequence: UInt64
    package var target: NodeBoot
    package var address: Address
    package var budget: Interval

    package init(sequence: UInt64, target: NodeBoot, address: Address, budget: Interval) {
        self.sequence = sequence
        self.target = target
        self.address = address
        self.budget = budget
    }
}

/// Hashes over the records, for comparison once per anti-entropy period.
package struct SyncDigest: Equatable, Sendable {
    /// One hash per range of 16 node ids (by rank of the id's range), in order of `firstNode`.
    package var ranges: [RangeHash]
    package var configurationHash: UInt64
    package var claimHash: UInt64

    package struct RangeHash: Equatable, Sendable {
        package var firstNode: NodeID
        package var lastNode: NodeID
        package var hash: UInt64

        package init(firstNode: NodeID, lastNode: NodeID, hash: UInt64) {
            self.firstNode = firstNode
            self.lastNode = lastNode
            self.hash = hash
        }
    }

    package init(ranges: [RangeHash], configurationHash: UInt64, claimHash: UInt64) {
        self.ranges = ranges
        self.configurationHash = configurationHash
        self.claimHash = claimHash
    }
}

package struct SyncPage: Equatable, Sendable {
    package var records: [MemberRecord]
    package var claim: Claim?
    package var configuration: VoterSet?
    /// Whether the receiver should send its records of the same range back.
    package var wantsAnswer: Bool

    package init(records: [MemberRecord], claim: Claim?, configuration: VoterSet?, wantsAnswer: Bool) {
        self.records = records
        self.claim = claim
        self.configuration = configuration
        self.wantsAnswer = wantsAnswer
    }
}
