/// Accusations: of others, of ourselves, and their end (docs/protocol.md §2).
extension Membership {
    /// `accuser` says that this very incarnation is silent.
    mutating func accuse(
        _ process: NodeBoot, _ incarnation: Incarnation, by accuser: NodeID, _ now: Instant,
        _ effects: inout MembershipEffects
    ) {
        guard accuser != process.node, let known = peers[process.node] else { return }
        guard known.record.process == process, known.record.incarnation == incarnation else { return }
        guard known.isProbed else { return }
        var peer = known
        var suspicion =
            known.suspicion ?? Suspicion(at: now, members: liveMembers, health: health, timing: timing)
        let added = suspicion.accuse(by: accuser)
        guard added || known.suspicion == nil else { return }
        peer.record.state = .suspect
        peer.suspicion = suspicion
        store(peer, replacing: known, by: accuser, now, &effects)
        if known.suspicion == nil {
            news.add(.member(process.node))
            if accuser != own.process.node { ring.prefer(process.node) }
        }
        if added { news.add(.accusation(process.node, by: accuser)) }
        accuse(toItsFace: process.node, now, &effects)
    }

    /// Tells a suspect or unreachable member that we hear what it is accused of, so that it can refute at once.
    ///
    /// At most once in a quarter of a period: each of its packets asks for it.
    mutating func accuse(toItsFace node: NodeID, _ now: Instant, _ effects: inout MembershipEffects) {
        guard let peer = peers[node], hearsLately(peer, now) else { return }
        guard peer.accusedAt + timing.probe / 4 <= now || peer.accusedAt == .distantPast else { return }
        let accusation = self.accusation(of: peer)
        guard !accusation.isEmpty else { return }
        peers[node]?.accusedAt = now
        effects.sends.append(.init(to: peer.record.address, message: .news(accusation)))
    }

    /// What a member must refute; empty for those alive.
    func accusation(of peer: Peer) -> [GossipItem] {
        switch peer.record.state {
        case .suspect, .unreachable: [.member(peer.record)]
        case .alive, .left: []
        }
    }

    /// Others speak of us: a higher boot is reported, an accusation refuted.
    mutating func hearOfSelf(_ record: MemberRecord, _ effects: inout MembershipEffects) {
        noticeOwnBoot(record.process.boot, &effects)
        guard record.process == own.process, own.state != .left, record.incarnation >= own.incarnation else { return }
        if record.state == .alive, record.incarnation == own.incarnation { return }
        own.incarnation = record.incarnation.raised
        news.add(.member(own.process.node))
        if record.state != .alive { health.worsen() }
    }

    mutating func noticeOwnBoot(_ boot: Boot, _ effects: inout MembershipEffects) {
        guard boot > highestOwnBoot else { return }
        highestOwnBoot = boot
        effects.changes.append(.ownBootSurpassed(boot))
    }

    /// Suspects that did not refute in time become unreachable, except those we hear ourselves.
    mutating func endSuspicions(_ now: Instant, _ effects: inout MembershipEffects) {
        guard hasSuspicion else { return }
        for (node, known) in peers {
            guard let suspicion = known.suspicion, suspicion.deadline <= now else { continue }
            var peer = known
            if known.lastHeard > suspicion.startedAt, hearsLately(known, now) {
                peer.suspicion?.extend(until: now + timing.probe)
                peers[node] = peer
                accuse(toItsFace: node, now, &effects)
                continue
            }
            peer.record.state = .unreachable
            peer.suspicion = nil
            store(peer, replacing: known, by: own.process.node, now, &effects)
            for accuser in suspicion.accusers { news.drop(.accusation(node, by: accuser)) }
            news.add(.member(node))
        }
    }

    /// Timer lateness is our own fault: it costs health, and nobody is blamed for the time we were deaf.
    mutating func noticeLateness(_ now: Instant) {
        let late = now - periodEnds
        guard late > timing.probe / 4 else { return }
        health.worsen(by: 1 + Int(min(late.nanoseconds / max(1, timing.probe.nanoseconds), 7)))
        for index in probes.indices {
            probes[index].retryAt = max(probes[index].retryAt, now)
            probes[index].deadline = probes[index].deadline + late
        }
        for (node, peer) in peers {
            guard let suspicion = peer.suspicion else { continue }
            peers[node]?.suspicion?.extend(until: suspicion.deadline + late)
        }
    }
}
