/// This node's way to a majority of grants (§5.2 to §5.4).
enum Candidacy: Equatable, Sendable {
    case idle
    case waiting(until: Instant)
    case preClaiming(Ballot)
    /// The promise to ourselves is on its way to the disk; no VoteRequest has left.
    case storing(Ballot)
    case voting(Ballot)
}

/// One try: an epoch and a nonce that are never used again.
struct Ballot: Equatable, Sendable {
    var epoch: Epoch
    var nonce: UInt64
    var reason: ClaimReason
    var startedAt: Instant
    var deadline: Instant
    var nextSend: Instant
    /// Who pre-granted or granted, ourselves included where we may.
    var supporters: [NodeID] = []
    /// Who refused a pre-grant since it was last asked, and the shortest time until one of them may say yes.
    var refusers: [NodeID] = []
    var shortestRefusal = Interval.seconds(3600)
    var grants: [CountedGrant] = []
    var admissions = AdmissionTable()
}

/// What a counted Grant said of the promise before it; the wait before evictions rests on it (§6).
struct CountedGrant: Equatable, Sendable {
    var end: PromiseEnd
    var sinceRelease: Interval
    var arrivedAt: Instant
}

extension Agent {
    var candidateWake: Instant {
        switch candidacy {
        case .idle:
            guard !isHolder, let promise = stored.promise, !promise.released, voter.promiseEnds > now
            else { return serverWake }
            return min(voter.promiseEnds, serverWake)
        case .waiting(let until): return until
        case .storing: return .distantFuture
        case .preClaiming(let ballot), .voting(let ballot): return min(ballot.deadline, ballot.nextSend)
        }
    }

    /// Eligible, no running claim, a voter majority reachable, healthy enough (§5.2).
    private var mayClaim: Bool {
        guard promiseIsOpen, !isHolder, stored.committed != nil, isEligible, server.state == .inert,
            discovery.conflict == nil, stored.mayVote, voter.answers, node.mayTalk
        else { return false }
        // Waived after three promises without a server.
        let healthy = membership.localHealth <= 2 || now - voter.promiseEnds > timing.promise * 3
        return healthy && isMajority { isReachable($0) }
    }

    func isReachable(_ node: NodeID) -> Bool {
        if node == own.node { return true }
        let state = membership.state(of: node)
        return state == .alive || state == .suspect
    }

    mutating func tickCandidate() {
        updateEligible()
        updateLeavesOut()
        noteService()
        switch candidacy {
        case .idle:
            guard mayClaim else { return }
            candidacy = .waiting(until: max(now, voter.promiseEnds) + candidateDelay)
            tickCandidate()
        case .waiting(let until):
            guard mayClaim else { return candidacy = .idle }
            if now >= until { preClaim() }
        case .preClaiming(var ballot):
            guard mayClaim else { return candidacy = .idle }
            if now >= ballot.deadline { return retreat(for: timing.rankStep) }
            guard now >= ballot.nextSend else { return }
            ballot.nextSend = now + timing.retry
            candidacy = .preClaiming(ballot)
            sendPreClaims(ballot)
        case .storing: break
        case .voting(var ballot):
            if now >= ballot.deadline { return abandonVote() }
            guard now >= ballot.nextSend else { return }
            ballot.nextSend = now + timing.retry
            candidacy = .voting(ballot)
            sendVoteRequests(ballot)
        }
    }

    /// rank × step + jitter. The rank is the place by id among the eligible members that are not unreachable; the very
    /// boot whose promise expired comes last, a named successor waits no rank.
    private var candidateDelay: Interval {
        var generator = self.generator
        let jitter = generator.next(below: timing.jitter)
        if server.surpassed > 0 { return jitter }
        if let successor = voter.successor, now < successor.until {
            return successor.node == own.node ? .zero : timing.rankStep * 10 + jitter
        }
        let last = stored.promise.flatMap { $0.released ? nil : $0.holder }
        let before = membership.others.filter { record in
            record.eligible && isReachable(record.process.node) && record.process != last
                && (record.process.node < own.node || last == own)
        }
        // Whoever may serve all volumes comes first.
        return timing.rankStep * Int64(before.count + (server.leavesOut ? 10 : 0)) + jitter
    }

    /// Back to waiting, after a try that came to nothing.
    private mutating func retreat(for interval: Interval) {
        if Mutants.active(.candidateNeverRetries) { return candidacy = .waiting(until: .distantFuture) }
        candidacy = .waiting(until: now + interval + candidateDelay)
        _ = generator.next()
    }

    // MARK: PreClaim

    private mutating func preClaim() {
        let reason = claimReason
        let hash = configurationHash
        var ballot = Ballot(
            epoch: stored.highestEpoch.next, nonce: generator.next(), reason: reason, startedAt: now,
            deadline: now + discovery.voteTimeout(timing), nextSend: now + timing.retry)
        guard preClaimRefusal(ballot.epoch, for: own, hash: hash) == nil else {
            return retreat(for: timing.rankStep)
        }
        ballot.supporters = [own.node]
        candidacy = .preClaiming(ballot)
        sendPreClaims(ballot)
        countPreGrants(ballot)
    }

    private var claimReason: ClaimReason {
        if server.surpassed > 0 { return .storeTenure }
        if voter.successor?.node == own.node { return .successor }
        return stored.promise == nil ? .noHolder : .promiseEnded
    }

    private mutating func sendPreClaims(_ ballot: Ballot) {
        let message = Message.preClaim(
            PreClaim(
                epoch: ballot.epoch, nonce: ballot.nonce, configurationHash: configurationHash, reason: ballot.reason))
        for voter in voters where voter != own.node && !ballot.supporters.contains(voter) { send(message, to: voter) }
    }

    mutating func receivePreGrant(_ grant: PreGrant, from voter: NodeBoot) {
        guard case .preClaiming(var ballot) = candidacy, ballot.nonce == grant.nonce else { return }
        if !ballot.supporters.contains(voter.node) { ballot.supporters.append(voter.node) }
        ballot.refusers.removeAll { $0 == voter.node }
        note(nil, of: voter.node)
        candidacy = .preClaiming(ballot)
        countPreGrants(ballot)
    }

    private mutating func countPreGrants(_ ballot: Ballot) {
        guard isMajority(ballot.supporters.contains) else { return }
        // Our own vote may have gone to another candidate meanwhile.
        guard refusal(of: stored.highestEpoch.next, for: own, hash: configurationHash) == nil else {
            return retreat(for: timing.rankStep)
        }
        store(ballot)
    }

    mutating func receivePreDeny(_ deny: PreDeny, from voter: NodeBoot) {
        sawEpoch(deny.highestEpoch)
        if let configuration = deny.configuration { learn(committed: configuration) }
        if let claim = deny.claim { learn(claim: claim) }
        guard case .preClaiming(var ballot) = candidacy, ballot.nonce == deny.nonce else { return }
        note(deny.reason, of: voter.node)
        if !ballot.refusers.contains(voter.node) { ballot.refusers.append(voter.node) }
        ballot.shortestRefusal = min(ballot.shortestRefusal, max(.zero, deny.remaining))
        candidacy = .preClaiming(ballot)
        // One refusal stops nobody: it may end within a retry, and the others may be enough.
        if !isMajority({ !ballot.refusers.contains($0) }) { retreat(for: ballot.shortestRefusal) }
    }

    // MARK: Vote

    /// The epoch is spent here: on disk, promised to ourselves, before any VoteRequest leaves.
    private mutating func store(_ old: Ballot) {
        let was = promiseEnd(for: own)
        var ballot = old
        ballot.epoch = stored.highestEpoch.next
        ballot.nonce = generator.next()
        ballot.supporters = []
        ballot.grants = [CountedGrant(end: was.end, sinceRelease: was.sinceRelease, arrivedAt: now)]
        invariant(.monotonePromise, stored.promise.map { $0.epoch < ballot.epoch } ?? true, "a new epoch is higher")
        if Mutants.active(.sameEpochRetried), let promise = stored.promise, promise.holder == own {
            ballot.epoch = promise.epoch
        }
        stored.highestEpoch = ballot.epoch
        if isVoter || !Mutants.active(.learnerCandidateNotPersisted) {
            stored.promise = Promise(epoch: ballot.epoch, holder: own, released: false)
        }
        voter.promiseEnds = now + timing.promise
        voter.releasedAt = nil
        voter.lastGrant = nil
        candidacy = .storing(ballot)
        report(.claiming(ballot.epoch, ballot.reason))
        persist(then: [.voting(ballot.epoch)])
    }

    mutating func beginVoting(_ epoch: Epoch) {
        guard case .storing(var ballot) = candidacy, ballot.epoch == epoch else { return }
        invariant(
            .monotonePromise, stored.promise?.epoch == epoch || Mutants.active(.learnerCandidateNotPersisted),
            "a candidate's own promise is of the epoch that it asks for")
        discovery.measureWrite(now - ballot.startedAt)
        ballot.startedAt = now
        ballot.deadline = now + discovery.voteTimeout(timing)
        ballot.nextSend = now + timing.retry
        ballot.supporters = [own.node]
        ballot.admissions.merge(stored.admissions)
        voter.promiseEnds = now + timing.promise
        candidacy = .voting(ballot)
        sendVoteRequests(ballot)
        countGrants(ballot)
    }

    private mutating func sendVoteRequests(_ ballot: Ballot) {
        let message = Message.voteRequest(
            VoteRequest(epoch: ballot.epoch, nonce: ballot.nonce, configurationHash: configurationHash))
        for voter in voters where voter != own.node && !ballot.supporters.contains(voter) { send(message, to: voter) }
    }

    mutating func receiveGrant(_ grant: Grant, from voter: NodeBoot) {
        guard case .voting(var ballot) = candidacy, ballot.epoch == grant.epoch, ballot.nonce == grant.nonce,
            !ballot.supporters.contains(voter.node), now < ballot.deadline || Mutants.active(.lateGrantCounted)
        else { return }
        guard grant.committed.hash == stored.committed?.hash || Mutants.active(.configurationHashIgnored) else {
            return
        }
        if let pending = grant.pending { learn(pending: pending) }
        // That news may have cost this node its own vote, and the try with it.
        guard case .voting = candidacy else { return }
        ballot.supporters.append(voter.node)
        ballot.grants.append(
            CountedGrant(end: grant.promiseWas, sinceRelease: grant.sinceRelease, arrivedAt: now))
        ballot.admissions.merge(AdmissionTable(merging: grant.admissions))
        candidacy = .voting(ballot)
        countGrants(ballot)
    }

    private mutating func countGrants(_ ballot: Ballot) {
        guard isMajority(ballot.supporters.contains) else { return }
        candidacy = .idle
        becomeHolder(ballot)
    }

    mutating func receiveDeny(_ deny: Deny, from voter: NodeBoot) {
        sawEpoch(deny.highestEpoch)
        if let promised = deny.promised { sawEpoch(promised.epoch) }
        if let configuration = deny.configuration { learn(committed: configuration) }
        if case .voting(let ballot) = candidacy, ballot.nonce == deny.nonce { note(deny.reason, of: voter.node) }
    }

    /// Gives the try up: its epoch is burnt, and the voters that granted it are free at once.
    mutating func abandonVote() {
        switch candidacy {
        case .storing(let ballot), .voting(let ballot):
            report(.claimFailed(ballot.epoch))
            discovery.voteFailed()
            markReleased(ballot.epoch)
            retreat(for: timing.rankStep)
        case .idle, .waiting, .preClaiming: candidacy = .idle
        }
    }
}
