/// The merge of evidence: a lattice maximum over (boot, incarnation, state), invariants 15 and 19.
extension Membership {
    /// Where a record came from.
    enum Source: Equatable {
        /// From the member itself.
        case itself
        /// By gossip, which travels only while it is fresh.
        case gossip(NodeID)
        /// From another member's memory: a join's answer or a sync page. It may be stale by any length.
        case memory(NodeID)
    }

    /// Takes the record if it is higher than what is known; a member's own stale word is answered with the accusation.
    ///
    /// - Parameter direct: it comes from the member itself, so the member lives.
    package mutating func merge(
        _ record: MemberRecord, direct: Bool, at now: Instant, into effects: inout MembershipEffects
    ) {
        accept(record, direct ? .itself : .memory(own.process.node), now, &effects)
    }

    /// Any authenticated packet of that member: evidence of life. A suspect is told of its accusation (buddy rule).
    package mutating func heard(from sender: NodeBoot, at now: Instant, into effects: inout MembershipEffects) {
        if sender.node == own.process.node { return noticeOwnBoot(sender.boot, &effects) }
        guard var peer = peers[sender.node], peer.record.process == sender, peer.record.state != .left else { return }
        let before = peer
        peer.lastHeard = max(peer.lastHeard, now)
        if peer.heard {
            peers[sender.node] = peer
            if peer.record.state == .alive { return }
        } else {
            peer.heard = true
            store(peer, replacing: before, by: own.process.node, now, &effects)
        }
        accuse(toItsFace: sender.node, now, &effects)
    }

    mutating func accept(
        _ record: MemberRecord, _ source: Source, _ now: Instant, _ effects: inout MembershipEffects
    ) {
        guard record.incarnation.belongs(to: record.process.boot) else { return }
        let node = record.process.node
        guard node != own.process.node else { return hearOfSelf(record, &effects) }
        guard let known = peers[node] else { return admit(record, source, now, &effects) }
        guard record.supersedes(known.record) else {
            guard source == .itself else { return }
            if record.process == known.record.process { return heard(from: record.process, at: now, into: &effects) }
            // An older boot that still speaks learns at once that it is surpassed.
            let send = MembershipEffects.Send(to: record.address, message: .news([.member(known.record)]))
            return effects.sends.append(send)
        }
        let believed = softened(record, known, now)
        if believed.supersedes(known.record) { replace(known, with: believed, source, now, &effects) }
        accuse(toItsFace: node, now, &effects)
    }

    /// Evidence that a member is unreachable whom we hear ourselves counts as an accusation: it gets time to refute.
    private func softened(_ record: MemberRecord, _ known: Peer, _ now: Instant) -> MemberRecord {
        guard record.state == .unreachable, record.process == known.record.process, hearsLately(known, now) else {
            return record
        }
        var softer = record
        softer.state = .suspect
        return softer
    }

    /// Whether we heard it within two periods.
    func hearsLately(_ peer: Peer, _ now: Instant) -> Bool {
        peer.lastHeard > now - health.stretch(timing.probe) * 2
    }

    /// A member nobody told us of before.
    private mutating func admit(
        _ record: MemberRecord, _ source: Source, _ now: Instant, _ effects: inout MembershipEffects
    ) {
        guard peers.count < Self.mostMembers else { return }
        let first = peers.isEmpty
        var peer = Peer(record: record, heard: isFresh(record, source), believedSince: now)
        if source == .itself { peer.lastHeard = now }
        peer.suspicion = suspicion(of: record, now)
        store(peer, replacing: nil, by: accuser(source), now, &effects)
        if first { nextSync = now }
        if worthTelling(record, source, now) { news.add(.member(record.process.node)) }
        meet(record.process.node, now, &effects)
    }

    /// Higher evidence about a known member.
    private mutating func replace(
        _ known: Peer, with record: MemberRecord, _ source: Source, _ now: Instant,
        _ effects: inout MembershipEffects
    ) {
        let node = record.process.node
        let restarted = record.process != known.record.process
        invariant(.incarnationMonotone, record.supersedes(known.record), "evidence replaced by lower evidence")
        var peer = known
        peer.record = record
        peer.suspicion = suspicion(of: record, now)
        if restarted {
            peer.heard = false
            peer.lastHeard = .distantPast
            peer.introduced = false
            peer.accusedAt = .distantPast
            probes.removeAll { $0.target == known.record.process }
        }
        if source == .itself { peer.lastHeard = now }
        peer.heard = peer.heard || isFresh(record, source)
        store(peer, replacing: known, by: accuser(source), now, &effects)
        news.add(.member(node))
        if peer.isProbed, restarted || !known.isProbed { meet(node, now, &effects) }
    }

    /// Puts a member into the ring, and probes it at once where it is not heard yet.
    private mutating func meet(_ node: NodeID, _ now: Instant, _ effects: inout MembershipEffects) {
        guard let peer = peers[node], peer.isProbed else { return }
        ring.insert(node, &generator)
        if !peer.heard { introduce(peer, now, &effects) }
    }

    /// Keeps the peer and reports the change of belief, if it is one.
    mutating func store(
        _ peer: Peer, replacing known: Peer?, by accuser: NodeID, _ now: Instant,
        _ effects: inout MembershipEffects
    ) {
        var peer = peer
        invariant(.incarnationMonotone, (peer.record.state == .suspect) == (peer.suspicion != nil), "suspicion runs")
        if known?.believed != peer.believed || known?.record.process != peer.record.process {
            peer.believedSince = now
        }
        if known?.believed == .unreachable, peer.believed == .alive {
            syncWith = peer.record.process.node
            nextSync = min(nextSync, now + timing.probe)
        }
        peers[peer.record.process.node] = peer
        if let change = Self.change(from: known, to: peer, by: accuser) { effects.changes.append(change) }
    }

    private static func change(from known: Peer?, to peer: Peer, by accuser: NodeID) -> MembershipChange? {
        let process = peer.record.process
        guard let known, known.believed != .left || known.record.process == process else {
            return peer.believed == .left ? nil : .joined(peer.view)
        }
        if known.record.process != process, peer.believed != .left { return .restarted(peer.view) }
        guard known.believed != peer.believed else { return nil }
        switch peer.believed {
        case .alive: return .alive(process)
        case .suspect: return .suspected(process, by: accuser)
        case .unreachable: return .unreachable(process)
        case .left: return .left(process)
        }
    }

    private func isFresh(_ record: MemberRecord, _ source: Source) -> Bool {
        switch source {
        case .itself: true
        case .gossip: record.state == .alive
        case .memory: false
        }
    }

    private func accuser(_ source: Source) -> NodeID {
        switch source {
        case .itself: own.process.node
        case .gossip(let node), .memory(let node): node
        }
    }

    /// What a newcomer learns from the group's memory is no news to the group.
    private func worthTelling(_ record: MemberRecord, _ source: Source, _ now: Instant) -> Bool {
        if case .memory = source { return record.state != .left && now - startedAt >= timing.antiEntropy }
        return true
    }

    private func suspicion(of record: MemberRecord, _ now: Instant) -> Suspicion? {
        guard record.state == .suspect else { return nil }
        return Suspicion(at: now, members: max(2, liveMembers), health: health, timing: timing)
    }
}
