/// What the agent asks of the membership.
extension Membership {
    /// 0 (healthy) to 8.
    package var localHealth: Int { health.value }

    /// The highest evidence about a member, our own node included, as gossip carries it.
    package func record(of node: NodeID) -> MemberRecord? {
        node == own.process.node ? own : peers[node]?.record
    }

    /// All but our own node, in order of id, with the state this agent believes.
    package var others: [MemberRecord] { peers.values.map { $0.view } }

    /// The highest evidence about all others, in order of id: what to tell a joiner.
    ///
    /// Not `others`: a state that only this agent believes (not heard yet) is no evidence and must not travel.
    package var records: [MemberRecord] { peers.values.map { $0.record } }

    /// The believed state; a member not heard since this agent's start is unreachable.
    package func state(of node: NodeID) -> MemberState? {
        node == own.process.node ? own.state : peers[node]?.believed
    }

    /// Since when it has been alive without a break (a suspicion is one); nil if it is not alive.
    package func reachableSince(_ node: NodeID) -> Instant? { since(node, .alive) }

    /// Since when it has been unreachable; nil if it is not.
    package func unreachableSince(_ node: NodeID) -> Instant? { since(node, .unreachable) }

    /// The smoothed round trip; nil when never measured.
    package func roundTrip(of node: NodeID) -> Interval? { peers[node]?.roundTrip.smoothed }

    /// Who accuses a suspect, in order of id; empty for all others.
    package func accusers(of node: NodeID) -> [NodeID] { peers[node]?.suspicion?.accusers ?? [] }

    private func since(_ node: NodeID, _ state: MemberState) -> Instant? {
        guard node != own.process.node else { return own.state == state ? startedAt : nil }
        guard let peer = peers[node], peer.believed == state else { return nil }
        return peer.believedSince
    }

    /// N: this agent and all members that are neither unreachable nor left.
    var liveMembers: Int {
        peers.values.reduce(1) { $0 + ($1.isProbed ? 1 : 0) }
    }

    /// Looked at in place: a copy of each peer for every event would cost more than all the rest.
    var hasSuspicion: Bool { peers.values.indices.contains { peers.values[$0].record.state == .suspect } }

    var hasNews: Bool { !news.isEmpty && peers.values.contains { $0.isProbed } }
}
