/// The one change of the voter set in flight, at the holder (§5a; Raft §4.3).
enum VoterChange: Equatable, Sendable {
    case none
    /// The new voters get Renew; the change goes on when a majority of them acknowledges within a renew period.
    case warming(VoterSet, since: Instant)
    /// Pending is on its way to our own disk.
    case storing(VoterSet)
    /// ConfigPropose is sent until majorities of both sets have it on disk.
    case proposing(Ballots)
    /// Committed here; ConfigCommit is sent until everybody concerned has it, or at least a majority of the new set.
    case committing(Ballots)

    var set: VoterSet? {
        switch self {
        case .none: nil
        case .warming(let set, _), .storing(let set): set
        case .proposing(let ballots), .committing(let ballots): ballots.set
        }
    }

    /// Nothing of it has left this node's memory: a person's command may take its place.
    var isReplaceable: Bool {
        switch self {
        case .none, .warming: true
        case .storing, .proposing, .committing: false
        }
    }

    /// A node's acknowledgements count no more: they are not on its disk.
    mutating func forget(_ node: NodeID) {
        switch self {
        case .none, .warming, .storing: break
        case .proposing(var ballots):
            ballots.acknowledged.removeAll { $0 == node }
            self = .proposing(ballots)
        case .committing(var ballots):
            ballots.acknowledged.removeAll { $0 == node }
            self = .committing(ballots)
        }
    }

    struct Ballots: Equatable, Sendable {
        var set: VoterSet
        var recipients: [NodeID]
        var acknowledged: [NodeID]
        var nextSend: Instant
        /// Repetitions of the proposal, or of the commit.
        var repetitions = 0

        /// So often a reachable voter is asked for its acknowledgement beyond the majorities: without the proposal on
        /// its disk it could not tell whether it has forgotten a vote.
        static let proposalRepetitions = 10
        /// After so many the rest learns by gossip.
        static let commitRepetitions = 20
    }
}

extension Agent {
    func voterChangeWake(_ change: VoterChange) -> Instant {
        switch change {
        case .none, .storing: .distantFuture
        case .warming: now + timing.renew
        case .proposing(let ballots), .committing(let ballots): ballots.nextSend
        }
    }

    mutating func tickVoterChange() {
        guard holder?.phase == .active, let change = holder?.change, leaseIsValid else { return }
        switch change {
        case .none:
            if let pending = stored.pending, !Mutants.active(.pendingConfigurationIgnored) {
                // Found with the epoch: proposed again, under ours.
                storePending(pending.set)
            } else if let wanted = wantedSet {
                startChange(to: wanted)
            }
        case .warming(let set, let since):
            if isWarm(set) {
                storePending(set)
            } else if now - since > timing.promise * 4 {
                holder?.change = .none
                voterChangeEnded(.refused(.voterSilent))
            }
        case .storing: break
        case .proposing(var ballots):
            guard now >= ballots.nextSend else { return }
            ballots.nextSend = now + timing.retry
            ballots.repetitions += 1
            holder?.change = .proposing(ballots)
            sendProposal(ballots)
            countProposal(ballots)
        case .committing(var ballots):
            guard now >= ballots.nextSend else { return }
            ballots.nextSend = now + timing.retry
            ballots.repetitions += 1
            holder?.change = .committing(ballots)
            sendCommit(ballots)
            countCommits(ballots)
        }
    }

    mutating func startChange(to set: VoterSet) {
        holder?.change = .warming(set, since: now)
        report(.votersChanging(set))
    }

    /// A majority of the new set acknowledged so lately that deadlines already told to the server and the clients,
    /// under the old set, end before those voters' promises do. Of those that are new each one still acknowledges:
    /// nobody is added that has died or lost its vote meanwhile.
    private func isWarm(_ set: VoterSet) -> Bool {
        let slack = timing.promise - timing.hardWithDrift - timing.kill
        func acknowledged(_ voter: NodeID, within interval: Interval) -> Bool {
            voter == own.node || (holder?.lease.acknowledged[voter] ?? .distantPast) >= now - interval
        }
        let old = stored.committed?.voters ?? []
        return set.voters.filter { acknowledged($0, within: slack) }.count >= set.quorum
            && set.voters.allSatisfy { old.contains($0) || acknowledged($0, within: timing.promise) }
    }

    private mutating func storePending(_ set: VoterSet) {
        guard let epoch = holder?.epoch else { return }
        stored.pending = PendingVoterSet(epoch: epoch, set: set)
        // The holder may be a voter only from now on: its own disk takes the admissions, as the proposal brings them
        // to the others.
        if !Mutants.active(.tableNotCarriedAtGrowth), let table = holder?.table.table { stored.admissions.merge(table) }
        holder?.change = .storing(set)
        persist(then: [.ownPending(version: set.version)])
    }

    mutating func ownPendingIsDurable(_ version: UInt64) {
        guard case .storing(let set) = holder?.change, set.version == version else { return }
        let ballots = VoterChange.Ballots(
            set: set, recipients: voters(of: set), acknowledged: [own.node], nextSend: now + timing.retry)
        holder?.change = .proposing(ballots)
        sendProposal(ballots)
        countProposal(ballots)
    }

    private func voters(of set: VoterSet) -> [NodeID] {
        var all = set.voters
        for voter in stored.committed?.voters ?? [] where !all.contains(voter) { all.append(voter) }
        return all.sorted()
    }

    private mutating func sendProposal(_ ballots: VoterChange.Ballots) {
        guard let current = holder, let committed = stored.committed else { return }
        let carried = Mutants.active(.tableNotCarriedAtGrowth) ? [] : current.table.table.entries
        let message = Message.configPropose(
            ConfigPropose(
                epoch: current.epoch, committed: committed, proposed: ballots.set, admissions: carried))
        for voter in ballots.recipients where voter != own.node && !ballots.acknowledged.contains(voter) {
            send(message, to: voter)
        }
    }

    /// A voter, old or new, stores the proposal beside the committed set, and the admissions with it.
    mutating func receiveConfigPropose(_ proposal: ConfigPropose, from holder: NodeBoot) {
        guard voter.answers, stored.mayVote else { return }
        let promised = Promise(epoch: proposal.epoch, holder: holder, released: false)
        // A Renew of this epoch comes first and brings the promise; it is never given by a proposal alone.
        guard stored.promise == promised || Mutants.active(.staleProposalAccepted) else { return }
        let proposed = proposal.proposed
        guard proposed.version > (stored.committed?.version ?? 0), proposed.isReachable else { return }
        guard let admissionsChanged = takeAdmissions(proposal.admissions) else { return }
        learn(committed: proposal.committed)
        let pending = PendingVoterSet(epoch: proposal.epoch, set: proposed)
        let changed = stored.pending != pending
        stored.pending = pending
        if changed || admissionsChanged { persist() }
        whenDurable(.configAck(ConfigAck(epoch: proposal.epoch, version: proposed.version), to: holder))
    }

    mutating func acknowledgeProposal(_ ack: ConfigAck, to holder: NodeBoot) {
        guard stored.promise?.epoch == ack.epoch || Mutants.active(.staleProposalAccepted) else { return }
        send(.configAck(ack), to: holder.node)
    }

    mutating func receiveConfigAck(_ ack: ConfigAck, from voter: NodeBoot) {
        guard let current = holder, current.epoch == ack.epoch, case .proposing(var ballots) = current.change,
            ballots.set.version == ack.version, !ballots.acknowledged.contains(voter.node)
        else { return }
        ballots.acknowledged.append(voter.node)
        holder?.change = .proposing(ballots)
        countProposal(ballots)
    }

    private mutating func countProposal(_ ballots: VoterChange.Ballots) {
        let acknowledged = ballots.acknowledged
        let newMajority = ballots.set.voters.filter(acknowledged.contains).count >= ballots.set.quorum
        let both = isMajority(acknowledged.contains)
        guard leaseIsValid, both || (Mutants.active(.commitAtNewMajorityOnly) && newMajority) else { return }
        let isAwaited = ballots.recipients.contains { isReachable($0) && !acknowledged.contains($0) }
        guard !isAwaited || ballots.repetitions >= VoterChange.Ballots.proposalRepetitions else { return }
        var committing = ballots
        committing.acknowledged = []
        committing.repetitions = 0
        committing.nextSend = now + timing.retry
        holder?.change = .committing(committing)
        stored.committed = ballots.set
        stored.pending = nil
        persist(then: [.ownCommitted(version: ballots.set.version)])
    }

    mutating func ownCommitIsDurable(_ version: UInt64) {
        guard case .committing(var ballots) = holder?.change, ballots.set.version == version else { return }
        ballots.acknowledged = [own.node]
        holder?.change = .committing(ballots)
        membership.announce(configuration: ballots.set)
        announceOwnClaim()
        sendCommit(ballots)
        countCommits(ballots)
    }

    private mutating func sendCommit(_ ballots: VoterChange.Ballots) {
        guard let epoch = holder?.epoch, ballots.acknowledged.contains(own.node) else { return }
        let message = Message.configCommit(ConfigCommit(epoch: epoch, committed: ballots.set))
        for voter in ballots.recipients where voter != own.node && !ballots.acknowledged.contains(voter) {
            send(message, to: voter)
        }
    }

    mutating func receiveConfigCommit(_ commit: ConfigCommit, from holder: NodeBoot) {
        sawEpoch(commit.epoch)
        learn(committed: commit.committed)
        guard stored.committed?.hash == commit.committed.hash else { return }
        whenDurable(
            .configCommitAck(ConfigCommitAck(epoch: commit.epoch, version: commit.committed.version), to: holder))
    }

    mutating func receiveConfigCommitAck(_ ack: ConfigCommitAck, from voter: NodeBoot) {
        guard let current = holder, current.epoch == ack.epoch, case .committing(var ballots) = current.change,
            ballots.set.version == ack.version, !ballots.acknowledged.contains(voter.node)
        else { return }
        ballots.acknowledged.append(voter.node)
        holder?.change = .committing(ballots)
        countCommits(ballots)
    }

    private mutating func countCommits(_ ballots: VoterChange.Ballots) {
        let done = ballots.set.voters.filter(ballots.acknowledged.contains).count
        let all = ballots.recipients.allSatisfy(ballots.acknowledged.contains)
        guard done >= ballots.set.quorum, all || ballots.repetitions >= VoterChange.Ballots.commitRepetitions else {
            return
        }
        holder?.change = .none
        report(.votersChanged(ballots.set))
        voterChangeEnded(.done)
    }

    // MARK: Learning

    /// A committed set, from whoever knows it: the higher version wins and is written.
    mutating func learn(committed set: VoterSet) {
        guard set.version > (stored.committed?.version ?? 0), set.isReachable, !set.voters.isEmpty else { return }
        if !isHolder { abandonVoteForNewConfiguration() }
        // What this holder was proposing is committed already, by a holder before it.
        if let running = holder?.change.set, running.version <= set.version {
            holder?.change = .none
            voterChangeEnded(running == set ? .done : .refused(.busy))
        }
        noticeLostVote(in: set)
        stored.committed = set
        if let pending = stored.pending, pending.set.version <= set.version { stored.pending = nil }
        persist()
        membership.announce(configuration: set)
        if !isHolder { report(.votersChanged(set)) }
    }

    mutating func abandonVoteForNewConfiguration() {
        switch candidacy {
        case .storing, .voting: abandonVote()
        case .idle, .waiting, .preClaiming: candidacy = .idle
        }
    }

    /// Of several pending sets that of the highest epoch counts.
    mutating func learn(pending news: PendingVoterSet) {
        guard news.set.version > (stored.committed?.version ?? 0), news.set.isReachable,
            news.epoch.isReachable, news.epoch > (stored.pending?.epoch ?? .none)
        else { return }
        stored.pending = news
        persist()
    }
}
