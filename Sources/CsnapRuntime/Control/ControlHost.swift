package import CsnapCore
package import CsnapSession

/// What the agent's shell offers to the control socket. Calls may come from any thread; answers too.
package protocol ControlHost: Sendable {
    func status(_ answer: @escaping @Sendable (StatusReport) -> Void)

    /// What is waited for, and what of this node's volumes the server refuses; an answer within a second or two.
    func why(_ answer: @escaping @Sendable ([WaitReport]) -> Void)

    /// Prometheus' text.
    func metrics(_ answer: @escaping @Sendable (String) -> Void)

    /// Runs a command of a person; the answer comes when it is done or refused.
    func perform(_ command: ControlCommand, _ answer: @escaping @Sendable (OperatorOutcome) -> Void)

    /// Carries a snapshot command to whoever serves.
    func perform(
        _ command: SnapshotCommand, _ answer: @escaping @Sendable (Result<CommandOutcome, ControlError>) -> Void)

    /// The events after `cursor` (nil: from the oldest kept), at most `limit`, oldest first.
    func events(after cursor: UInt64?, limit: Int) -> EventPage

    /// Calls `notify` after each new event until the token is given back.
    func watchEvents(_ notify: @escaping @Sendable () -> Void) -> Int
    func stopWatching(_ token: Int)
}

/// The commands of the control interface. `found` draws its uuid in the shell.
package enum ControlCommand: Equatable, Sendable {
    case found
    case leave
    case transfer(NodeID)
    case strike(NodeID, fenced: Bool)
    case disable
    case enable
    case voters([NodeID])
    case addVoters([NodeID])
    case replaceVoter(NodeID, by: NodeID)
}

/// A part of the event log. `missed`: events before the first one were dropped from the log unread.
package struct EventPage: Equatable, Sendable {
    package var events: [EventItem]
    package var missed: Bool
    /// There are events after the last one.
    package var hasMore: Bool

    package init(events: [EventItem], missed: Bool, hasMore: Bool) {
        self.events = events
        self.missed = missed
        self.hasMore = hasMore
    }
}

/// One event as subscribers see it; the keys are stable.
package struct EventItem: Codable, Equatable, Sendable {
    /// Boot in the high 32 bits, a running number in the low: it rises over restarts of the agent.
    package var cursor: UInt64
    /// CLOCK_BOOTTIME, nanoseconds.
    package var at: Int64
    /// The node whose agent saw it.
    package var node: UInt32
    /// The name of the kind, e.g. `serverActive`.
    package var kind: String
    package var epoch: UInt64?
    package var round: UInt32?
    /// The node it is about.
    package var peer: UInt32?
    package var peerBoot: UInt64?
    /// One sentence for a person.
    package var text: String

    package init(cursor: UInt64, at: Int64, node: UInt32, kind: String, text: String) {
        self.cursor = cursor
        self.at = at
        self.node = node
        self.kind = kind
        self.text = text
    }

    /// Tells a subscriber that events were dropped before the next one: ask for the status again.
    package static func resync(cursor: UInt64, at: Int64, node: UInt32) -> EventItem {
        EventItem(
            cursor: cursor, at: at, node: node, kind: "resync",
            text: "events were dropped before this one: read the status again")
    }
}
