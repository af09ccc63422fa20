/// The prober: one target a period, directly first, then through relays (SWIM §3.1; docs/protocol.md §2).
extension Membership {
    /// Relays asked for one probe, or all others if there are fewer.
    private static let relays = 3
    /// No relay works longer for others.
    private static let longestBudget = Interval.seconds(10)

    /// Begins a period: probes the ring's next member that was not heard in the last one, and some not yet heard.
    mutating func beginPeriod(_ now: Instant, _ effects: inout MembershipEffects) {
        let period = health.stretch(timing.probe)
        periodMayEnd = now + period - period / 8
        periodEnds = now + period + period / 8
        relayed.removeAll { $0.until <= now }
        guard own.state != .left else { return }
        let members = zip(peers.keys, peers.values).filter { $0.1.isProbed }.map { $0.0 }
        let target = ring.next(members: members, &generator) { [peers, probes] node in
            guard let peer = peers[node], peer.isProbed, peer.lastHeard <= now - period else { return false }
            return !probes.contains { $0.target.node == node }
        }
        if let target, let peer = peers[target] { probe(peer, now, &effects) }
        for peer in peers.values where !peer.heard && peer.isProbed { introduce(peer, now, &effects) }
        if probes.isEmpty { health.improve() }
    }

    /// Probes a member not heard since our start, if not too many probes are under way.
    mutating func introduce(_ peer: Peer, _ now: Instant, _ effects: inout MembershipEffects) {
        guard own.state != .left, probes.count < Self.mostIntroductions else { return }
        guard !probes.contains(where: { $0.target.node == peer.record.process.node }) else { return }
        probe(peer, now, &effects)
    }

    private mutating func probe(_ peer: Peer, _ now: Instant, _ effects: inout MembershipEffects) {
        let period = health.stretch(timing.probe)
        lastSequence &+= 1
        probes.append(
            Probe(
                target: peer.record.process, sequence: lastSequence, sentAt: now, charged: peer.believed == .alive,
                retryAt: now + health.stretch(peer.roundTrip.timeout(period: timing.probe)),
                deadline: now + period))
        sendPing(to: peer, sequence: lastSequence, now, &effects)
    }

    private mutating func sendPing(
        to peer: Peer, sequence: UInt64, _ now: Instant, _ effects: inout MembershipEffects
    ) {
        var first: [GossipItem] = peer.introduced ? [] : [.member(own)]
        first += accusation(of: peer)
        let ping = Ping(
            sequence: sequence, target: peer.record.process, incarnation: peer.record.incarnation,
            localHealth: own.localHealth, sentAt: now, gossip: gossip(first: first))
        effects.sends.append(.init(to: peer.record.address, message: .ping(ping)))
    }

    /// Asks again and through relays where the answer is overdue; accuses where the period passed in silence.
    mutating func checkProbes(_ now: Instant, _ effects: inout MembershipEffects) {
        defer { own.localHealth = UInt8(health.value) }
        guard !probes.isEmpty else { return }
        var open: [Probe] = []
        var silent: [Probe] = []
        for var probe in probes {
            guard let peer = peers[probe.target.node], peer.record.process == probe.target, peer.isProbed else {
                continue
            }
            if peer.lastHeard >= probe.sentAt, probe.nextWake <= now { continue }
            if probe.deadline <= now {
                silent.append(probe)
                continue
            }
            if probe.nextWake <= now { retry(&probe, peer, now, &effects) }
            open.append(probe)
        }
        probes = open
        for probe in silent {
            guard let peer = peers[probe.target.node] else { continue }
            if probe.charged { health.worsen() }
            accuse(probe.target, peer.record.incarnation, by: own.process.node, now, &effects)
        }
    }

    private mutating func retry(
        _ probe: inout Probe, _ target: Peer, _ now: Instant, _ effects: inout MembershipEffects
    ) {
        if probe.retries == 0 { askRelays(probe, target, now, &effects) }
        probe.retries += 1
        probe.retryAt = now + (probe.deadline - now) / 2
        sendPing(to: target, sequence: probe.sequence, now, &effects)
    }

    private mutating func askRelays(
        _ probe: Probe, _ target: Peer, _ now: Instant, _ effects: inout MembershipEffects
    ) {
        let request = PingRequest(
            sequence: probe.sequence, target: probe.target, address: target.record.address,
            budget: probe.deadline - now)
        for relay in pick(Self.relays, where: { $0.believed == .alive && $0.record.process != probe.target }) {
            effects.sends.append(.init(to: relay.record.address, message: .pingRequest(request)))
        }
    }

    /// Up to `count` random members of those wanted.
    mutating func pick(_ count: Int, where wanted: (Peer) -> Bool) -> [Peer] {
        var candidates = peers.values.filter(wanted)
        guard candidates.count > count else { return candidates }
        for index in 0..<count {
            candidates.swapAt(index, index + generator.next(below: candidates.count - index))
        }
        return Array(candidates.prefix(count))
    }

    /// Answers a probe of this node.
    mutating func receivePing(
        _ ping: Ping, from sender: NodeBoot, _ now: Instant, _ effects: inout MembershipEffects
    ) {
        take(ping.gossip, from: sender, now, &effects)
        heard(from: sender, at: now, into: &effects)
        guard ping.target.node == own.process.node else { return }
        noticeOwnBoot(ping.target.boot, &effects)
        guard ping.target.boot <= own.process.boot, let peer = peers[sender.node] else { return }
        let knowsUs = ping.target == own.process
        if peer.record.process == sender, knowsUs { peers[sender.node]?.introduced = true }
        noteHealth(ping.localHealth, of: sender)
        let current = knowsUs && ping.incarnation == own.incarnation
        // An older boot that still probes learns that it is surpassed.
        let about = sender < peer.record.process ? [.member(peer.record)] : accusation(of: peer)
        let first: [GossipItem] = (current ? [] : [.member(own)]) + about
        let ack = Ack(
            sequence: ping.sequence, target: own.process, incarnation: own.incarnation,
            localHealth: own.localHealth, echo: ping.sentAt, gossip: gossip(first: first))
        effects.sends.append(.init(to: peer.record.address, message: .ack(ack)))
    }

    /// An answer to our probe, direct or by a relay, or one to pass on.
    mutating func receiveAck(
        _ ack: Ack, from sender: NodeBoot, _ now: Instant, _ effects: inout MembershipEffects
    ) {
        take(ack.gossip, from: sender, now, &effects)
        heard(from: sender, at: now, into: &effects)
        if let index = relayed.firstIndex(where: { $0.sequence == ack.sequence && $0.target == ack.target }) {
            return passOn(ack, for: relayed.remove(at: index), now, &effects)
        }
        let wasOpen = probes.contains { $0.sequence == ack.sequence && $0.target == ack.target }
        probes.removeAll { $0.sequence == ack.sequence && $0.target == ack.target }
        if ack.target == sender, peers[sender.node]?.record.process == sender {
            // The echo tells retries apart, and measures also answers that come after the deadline: or a slow link
            // would never be known as one.
            peers[sender.node]?.roundTrip.measured(now - ack.echo)
            peers[sender.node]?.introduced = true
            noteHealth(ack.localHealth, of: sender)
        } else if wasOpen {
            heard(from: ack.target, at: now, into: &effects)
        }
        if wasOpen { health.improve() }
        own.localHealth = UInt8(health.value)
    }

    /// Probes a member for another one.
    mutating func receivePingRequest(
        _ request: PingRequest, from sender: NodeBoot, _ now: Instant, _ effects: inout MembershipEffects
    ) {
        heard(from: sender, at: now, into: &effects)
        guard request.target.node != own.process.node, own.state != .left else { return }
        guard let peer = peers[request.target.node], peer.record.process == request.target else { return }
        guard request.budget > .zero else { return }
        lastSequence &+= 1
        if relayed.count >= RelayedProbe.most { relayed.removeFirst() }
        relayed.append(
            RelayedProbe(
                sequence: lastSequence, target: request.target, requester: sender,
                requesterSequence: request.sequence, until: now + min(request.budget, Self.longestBudget)))
        sendPing(to: peer, sequence: lastSequence, now, &effects)
    }

    private func passOn(
        _ ack: Ack, for relay: RelayedProbe, _ now: Instant, _ effects: inout MembershipEffects
    ) {
        guard relay.until > now, let requester = peers[relay.requester.node] else { return }
        let about: [GossipItem] = peers[relay.target.node].map { [.member($0.record)] } ?? []
        let answer = Ack(
            sequence: relay.requesterSequence, target: ack.target, incarnation: ack.incarnation,
            localHealth: ack.localHealth, echo: ack.echo, gossip: about)
        effects.sends.append(.init(to: requester.record.address, message: .ack(answer)))
    }

    private mutating func noteHealth(_ value: UInt8, of sender: NodeBoot) {
        guard peers[sender.node]?.record.process == sender else { return }
        peers[sender.node]?.record.localHealth = min(value, UInt8(LocalHealth.worst))
    }
}
