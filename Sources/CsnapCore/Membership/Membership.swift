/// The group as one agent sees it: failure detector and gossip (docs/protocol.md §2).
///
/// SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips, Currey 2018). It decides nothing about safety: it
/// steers routing, ranking and alarms. Joining and rejoining are the agent's; it hands the records it gets to `merge`.
package struct Membership: Equatable, Sendable {
    /// Members known at once, left ones included; records beyond are refused (invariant 24).
    package static let mostMembers = 4096
    /// Members that hear of news in one tick.
    static let newsFanOut = 3
    /// Members not yet heard that are probed in one period beside the one of the ring.
    static let mostIntroductions = 4
    /// How often a leave is told to every peer directly.
    static let leaveRepeats = 3

    package internal(set) var own: MemberRecord
    let timing: Timing
    let startedAt: Instant
    var generator: Generator
    var health = LocalHealth()
    var peers = SortedTable<NodeID, Peer>()
    var claim: Claim?
    var configuration: VoterSet?
    /// The highest boot of our own node that anybody spoke of.
    var highestOwnBoot: Boot

    var ring = ProbeRing()
    var probes: [Probe] = []
    var relayed: [RelayedProbe] = []
    var lastSequence: UInt64
    /// The probe period ends with the first event between these two instants, or at the later one: a node that is
    /// awake anyway need not wake for it once more.
    var periodMayEnd: Instant
    var periodEnds: Instant

    var news = Dissemination()
    var nextNews: Instant
    var nextSync = Instant.distantFuture
    /// Whom to compare records with next; anybody when nil.
    var syncWith: NodeID?
    var leavesToTell = 0
    var nextLeave = Instant.distantFuture

    /// `own`: the record of this boot, alive. `seed`: unpredictable to the network.
    package init(own: MemberRecord, timing: Timing, seed: UInt64, at now: Instant) {
        self.own = own
        self.timing = timing
        startedAt = now
        generator = Generator(seed: seed)
        highestOwnBoot = own.process.boot
        lastSequence = generator.next() >> 1
        periodEnds = now + generator.next(below: timing.probe)
        periodMayEnd = periodEnds
        nextNews = now
    }

    /// When to call `advance` next. It may lie in the past when there is news to tell at once.
    package var nextWake: Instant {
        var wake = min(periodEnds, nextSync, nextLeave)
        for probe in probes { wake = min(wake, probe.nextWake) }
        if hasSuspicion {
            for peer in peers.values {
                if let suspicion = peer.suspicion { wake = min(wake, suspicion.deadline) }
            }
        }
        return hasNews ? min(wake, nextNews) : wake
    }

    /// Runs all timers that are due.
    package mutating func advance(to now: Instant, into effects: inout MembershipEffects) {
        noticeLateness(now)
        checkProbes(now, &effects)
        endSuspicions(now, &effects)
        if now >= periodMayEnd { beginPeriod(now, &effects) }
        if now >= nextSync { sendDigest(now, &effects) }
        if now >= nextLeave { tellLeave(now, &effects) }
        if hasNews, now >= nextNews { tellNews(now, &effects) }
    }

    /// Takes a message of the failure detector or of gossip; all others are none of its business.
    ///
    /// The sender is what the authenticated header says; the message is evidence of its life.
    package mutating func receive(
        _ message: Message, from sender: NodeBoot, at now: Instant, into effects: inout MembershipEffects
    ) {
        guard sender.node != own.process.node else { return heard(from: sender, at: now, into: &effects) }
        switch message {
        case .ping(let ping): receivePing(ping, from: sender, now, &effects)
        case .ack(let ack): receiveAck(ack, from: sender, now, &effects)
        case .pingRequest(let request): receivePingRequest(request, from: sender, now, &effects)
        case .news(let items): receiveNews(items, from: sender, now, &effects)
        case .syncDigest(let digest): receiveDigest(digest, from: sender, now, &effects)
        case .syncPage(let page): receivePage(page, from: sender, now, &effects)
        case .join, .joinAck, .bootTooOld, .foreignGroup, .idConflict, .preClaim, .preGrant, .preDeny, .voteRequest,
            .grant, .deny, .renew, .renewAck, .renewNak, .release, .transfer, .configPropose, .configAck,
            .configCommit, .configCommitAck, .voteRecover, .voteRecoverAck, .clientLease, .clientLeaseAck, .evicted,
            .table, .tableAck, .recover,
            .ready, .started, .reconnected, .resume, .resumeAck, .operatorRequest, .operatorReply:
            break
        }
    }

    /// Our own flags: a change raises the incarnation and is gossiped.
    package mutating func update(eligible: Bool, hasVolumes: Bool) {
        guard own.eligible != eligible || own.hasVolumes != hasVolumes else { return }
        own.eligible = eligible
        own.hasVolumes = hasVolumes
        guard own.state != .left else { return }
        own.incarnation = own.incarnation.raised
        news.add(.member(own.process.node))
    }

    /// Gossips this claim unless a higher or equal one is known.
    package mutating func announce(claim: Claim) { _ = adopt(claim) }

    /// Gossips this committed configuration unless its version or a higher one is known.
    package mutating func announce(configuration: VoterSet) { _ = adopt(configuration) }

    /// Says goodbye to every peer directly, a few times; this boot never comes back.
    package mutating func leave(at now: Instant, into effects: inout MembershipEffects) {
        guard own.state != .left else { return }
        own.state = .left
        news.add(.member(own.process.node))
        probes = []
        leavesToTell = Self.leaveRepeats
        tellLeave(now, &effects)
    }

    /// The round trip to a peer as some other exchange measured it (Renew, ClientLease).
    package mutating func roundTrip(of node: NodeID, took: Interval) {
        peers[node]?.roundTrip.measured(took)
    }
}

extension Incarnation {
    /// The next refutation of the same boot; the last one stays what it is.
    var raised: Incarnation { value & 0xffff_ffff == 0xffff_ffff ? self : next }

    /// Whether its high half is that boot.
    func belongs(to boot: Boot) -> Bool { value >> 32 == boot.value & 0xffff_ffff }
}
