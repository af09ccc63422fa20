package import CsnapCore

/// What an agent counts for monitoring systems (docs/operations.md, "Metrics"). On its loop only; bounded.
package struct AgentMetrics: Sendable {
    /// From the first sign that the service stopped, as this node saw it, until the next server was active.
    package private(set) var failover = DurationHistogram(
        milliseconds: [100, 250, 500, 1000, 2000, 3000, 5000, 10_000, 30_000, 60_000, 300_000])
    /// How long after its time the loop served a timer of the protocol.
    package private(set) var lateness = DurationHistogram(milliseconds: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000])
    private var events: [String: UInt64] = [:]
    private var hasBeenActive = false
    private var stoppedAt: Instant?

    package init() {}

    package mutating func observe(_ report: Report, at now: Instant) {
        events[EventWords(report).kind, default: 0] += 1
        switch report {
        case .serverActive:
            if let stoppedAt { failover.observe(now - stoppedAt) }
            stoppedAt = nil
            hasBeenActive = true
        case .leaseLost, .serverDown, .recovering, .clientsSuspended:
            if hasBeenActive { stoppedAt = stoppedAt ?? now }
        case .founded, .joinedGroup, .memberJoined, .memberSuspected, .memberAlive, .memberUnreachable, .memberLeft,
            .foreignGroup, .idConflict, .votersChanging, .votersChanged, .claiming, .claimFailed, .elected, .promised,
            .leaseSoft, .leaseRegained, .released, .serverFailed, .voteLost, .voteRestored, .waitingFor, .nodeReady,
            .serverStarted, .nodeReconnected, .admitted, .admissionRefused, .evicted, .clientsResumed, .clientAttached,
            .clientGone, .diskHangs, .diskAnswers, .stateWriteFailed, .storeSpace, .snapshotDropped:
            break
        }
    }

    package mutating func observe(lateness: Interval) { self.lateness.observe(max(lateness, .zero)) }

    package func text(_ status: StatusReport, drops: DropCounts) -> String {
        var text = PrometheusText()
        let who = [("cluster", status.cluster), ("node", "\(status.node)")]
        text.metric("csnap_info", .gauge, "Always 1.", [(who + [("role", status.role), ("phase", status.phase)], 1)])
        text.metric("csnap_boot", .counter, "Starts of this node's agent.", Double(status.boot))
        text.metric("csnap_epoch", .gauge, "The newest claim this node knows.", Double(status.epoch))
        text.metric(
            "csnap_server_active", .gauge, "Whether a server is active for all this node knows.",
            status.phase == "active" ? 1 : 0)
        text.metric(
            "csnap_clients_resumed", .gauge, "Whether this node's clients may go on.", status.clientsResumed ? 1 : 0)
        text.metric(
            "csnap_lease_remaining_seconds", .gauge, "What is left of the lease; only on the server's node.",
            status.leaseRemaining)
        text.histogram(
            "csnap_failover_seconds", "From the first sign that the service stopped until the next server was active.",
            failover)
        text.histogram("csnap_loop_lateness_seconds", "How late the loop served the protocol's timers.", lateness)
        text.metric(
            "csnap_packets_dropped_total", .counter, "Packets that were not obeyed or not sent.",
            DropReason.allCases.map { ([("reason", "\($0)")], Double(drops[$0])) })
        let states = ["alive", "suspect", "unreachable", "left"]
        text.metric(
            "csnap_members", .gauge, "Members of the group, as this node sees them.",
            states.map { state in ([("state", state)], Double(status.members.count { $0.state == state })) })
        text.metric("csnap_voters", .gauge, "Voters of the group.", Double(status.voters.count))
        text.metric(
            "csnap_wait_seconds", .gauge, "What is waited for, and how long; see `csnapctl why`.",
            status.waits.filter { !$0.warning }.map { ([("kind", $0.kind)], $0.seconds) })
        text.metric(
            "csnap_warnings", .gauge, "What may become trouble; see `csnapctl why`.",
            Double(status.waits.count { $0.warning }))
        text.metric(
            "csnap_events_total", .counter, "Reports of this agent.",
            events.sorted { $0.key < $1.key }.map { ([("kind", $0.key)], Double($0.value)) })
        return text.text
    }
}
