/// Gossip: on every probe and answer, and a tick of its own while there is news (docs/protocol.md §2).
extension Membership {
    /// Distance of two ticks: a fifth of the probe period.
    private var newsPeriod: Interval { timing.probe / 5 }

    /// The items for one message: `first` what the receiver must know, then the news told least.
    mutating func gossip(first: [GossipItem]) -> [GossipItem] {
        var budget = GossipBudget()
        var items: [GossipItem] = []
        for item in first where budget.take(item) { items.append(item) }
        let limit = Dissemination.limit(members: liveMembers)
        for topic in news.inOrder {
            guard let item = text(of: topic) else {
                news.drop(topic)
                continue
            }
            if first.contains(item) { continue }
            guard budget.take(item) else { break }
            items.append(item)
            news.wasTold(topic, limit: limit)
        }
        return items
    }

    private func text(of topic: Dissemination.News) -> GossipItem? {
        switch topic {
        case .claim: return claim.map { .claim($0) }
        case .configuration: return configuration.map { .configuration($0) }
        case .member(let node): return record(of: node).map { .member($0) }
        case .accusation(let node, let accuser):
            guard let peer = peers[node], let suspicion = peer.suspicion else { return nil }
            guard suspicion.accusers.contains(accuser) else { return nil }
            return .accusation(accuser: accuser, process: peer.record.process, incarnation: peer.record.incarnation)
        }
    }

    /// Tells the news to a few random members.
    mutating func tellNews(_ now: Instant, _ effects: inout MembershipEffects) {
        nextNews = now + newsPeriod
        for peer in pick(Self.newsFanOut, where: { $0.isProbed }) {
            let items = gossip(first: [])
            guard !items.isEmpty else { return }
            effects.sends.append(.init(to: peer.record.address, message: .news(items)))
        }
    }

    mutating func tellLeave(_ now: Instant, _ effects: inout MembershipEffects) {
        leavesToTell -= 1
        nextLeave = leavesToTell > 0 ? now + timing.retry : .distantFuture
        for peer in peers.values where peer.record.state != .left {
            effects.sends.append(.init(to: peer.record.address, message: .news([.member(own)])))
        }
    }

    mutating func receiveNews(
        _ items: [GossipItem], from sender: NodeBoot, _ now: Instant, _ effects: inout MembershipEffects
    ) {
        let before = own.incarnation
        let behind = take(items, from: sender, now, &effects)
        heard(from: sender, at: now, into: &effects)
        // A refutation goes straight back to who brought the accusation, stale word of us is put right.
        guard behind || own.incarnation != before, let peer = peers[sender.node] else { return }
        effects.sends.append(.init(to: peer.record.address, message: .news([.member(own)])))
    }

    /// Takes news; says whether the sender knows less of us than we do.
    @discardableResult
    mutating func take(
        _ items: [GossipItem], from sender: NodeBoot, _ now: Instant, _ effects: inout MembershipEffects
    ) -> Bool {
        var behind = false
        // Accusations first, so that the accuser is named; and again for those whose record came along.
        takeAccusations(items, now, &effects)
        for item in items {
            switch item {
            case .member(let record):
                let isSelf = record.process.node == own.process.node
                behind = behind || isSelf && own.supersedes(record)
                accept(record, record.process == sender ? .itself : .gossip(sender.node), now, &effects)
            case .claim(let claim): if adopt(claim) { effects.claims.append(claim) }
            case .configuration(let set): if adopt(set) { effects.configurations.append(set) }
            case .accusation: break
            }
        }
        takeAccusations(items, now, &effects)
        return behind
    }

    private mutating func takeAccusations(
        _ items: [GossipItem], _ now: Instant, _ effects: inout MembershipEffects
    ) {
        for item in items {
            guard case .accusation(let accuser, let process, let incarnation) = item else { continue }
            if process == own.process {
                var accused = own
                accused.state = .suspect
                accused.incarnation = incarnation
                if incarnation.belongs(to: process.boot) { hearOfSelf(accused, &effects) }
            } else if accuser != own.process.node {
                accuse(process, incarnation, by: accuser, now, &effects)
            }
        }
    }

    /// Keeps and gossips the claim if it is the highest; says whether it is.
    mutating func adopt(_ claim: Claim) -> Bool {
        guard claim.tenure.epoch.isReachable else { return false }
        if let known = self.claim, known >= claim { return false }
        self.claim = claim
        news.add(.claim)
        return true
    }

    /// Keeps and gossips the configuration if it is the newest; says whether it is.
    mutating func adopt(_ set: VoterSet) -> Bool {
        guard set.isReachable else { return false }
        if let known = configuration, known.version >= set.version { return false }
        configuration = set
        news.add(.configuration)
        return true
    }
}
