/// What one step of the membership asks of its caller, in order.
package struct MembershipEffects: Equatable, Sendable {
    /// One message for one peer; the caller puts several to one address into one datagram if they fit.
    package struct Send: Equatable, Sendable {
        package var to: Address
        package var message: Message

        package init(to: Address, message: Message) {
            self.to = to
            self.message = message
        }
    }

    package var sends: [Send] = []
    /// Each change exactly once, in the order in which it was believed.
    package var changes: [MembershipChange] = []
    /// Claims higher than any heard or announced before: hints only.
    package var claims: [Claim] = []
    /// Committed configurations of a higher version than any heard or announced before: hints only.
    package var configurations: [VoterSet] = []

    package init() {}
}

/// One change of what this agent believes of the group; snapshot plus changes equals state.
package enum MembershipChange: Equatable, Sendable {
    /// First known to this agent, or back with a new boot after it left. The record carries the believed state.
    case joined(MemberRecord)
    /// A higher boot of a known member; it replaces all older evidence.
    case restarted(MemberRecord)
    case suspected(NodeBoot, by: NodeID)
    /// It was suspect or unreachable.
    case alive(NodeBoot)
    case unreachable(NodeBoot)
    case left(NodeBoot)
    /// Somebody has evidence of this higher boot of our own node.
    case ownBootSurpassed(Boot)
}
