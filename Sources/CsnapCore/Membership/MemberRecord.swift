/// What the failure detector believes of a member.
///
/// It steers routing, ranking and alarms; safety never depends on it (docs/protocol.md §2).
package enum MemberState: UInt8, Comparable, Sendable {
    case alive = 0
    case suspect = 1
    case unreachable = 2
    case left = 3

    package static func < (left: MemberState, right: MemberState) -> Bool { left.rawValue < right.rawValue }
}

/// One member as gossip carries it. Records merge as a lattice maximum over (boot, incarnation, state).
package struct MemberRecord: Equatable, Sendable {
    package var process: NodeBoot
    package var incarnation: Incarnation
    package var state: MemberState
    /// Where other agents send their packets.
    package var address: Address
    /// Able to run the server: reaches every configured store, is not `serve: false` and not disabled.
    package var eligible: Bool
    /// Has volumes configured, so its clients want to be admitted.
    package var hasVolumes: Bool
    /// Lifeguard's local health, 0 (healthy) to 8.
    package var localHealth: UInt8

    package init(
        process: NodeBoot, incarnation: Incarnation, state: MemberState, address: Address, eligible: Bool,
        hasVolumes: Bool, localHealth: UInt8
    ) {
        self.process = process
        self.incarnation = incarnation
        self.state = state
        self.address = address
        self.eligible = eligible
        self.hasVolumes = hasVolumes
        self.localHealth = localHealth
    }

    /// Whether this evidence replaces `other` about the same node.
    package func supersedes(_ other: MemberRecord) -> Bool {
        if process.boot != other.process.boot { return process.boot > other.process.boot }
        if incarnation != other.incarnation { return incarnation > other.incarnation }
        return state > other.state
    }
}
