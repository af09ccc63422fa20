/// What this agent knows of one other member.
struct Peer: Equatable, Sendable {
    /// The highest evidence; equal on all members once gossip has settled (invariant 22).
    var record: MemberRecord
    /// Whether this agent heard this boot itself, or learned of it by fresh gossip, since its own start.
    ///
    /// Until then the member is believed unreachable, whatever others say of it in joins and sync pages (§2).
    var heard: Bool
    var lastHeard = Instant.distantPast
    /// Since when `believed` is what it is.
    var believedSince: Instant
    var roundTrip = RoundTrip()
    /// There exactly while the record says suspect.
    var suspicion: Suspicion?
    /// When it was last told directly what it is accused of.
    var accusedAt = Instant.distantPast
    /// Whether this boot of it is known to know us; until then our own record rides on each probe.
    var introduced = false

    var believed: MemberState {
        if record.state == .left { return .left }
        return heard ? record.state : .unreachable
    }

    /// The record with the state this agent believes.
    var view: MemberRecord {
        var view = record
        view.state = believed
        return view
    }

    /// Whether the prober still cares for it.
    var isProbed: Bool { record.state <= .suspect }
}
