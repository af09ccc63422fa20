/// What this node has promised, seen from its clock. The promise itself lies in `StoredState`.
struct Voter: Equatable, Sendable {
    /// When the unreleased promise of the state file ends; after a start that is the mute time (§5.1, invariant 8).
    var promiseEnds: Instant
    /// When the promise was released, if that happened in this life.
    var releasedAt: Instant?
    /// A pre-grant that holds off higher ids for one rank step.
    var preGrant: Hold?
    /// The successor a Transfer named, which holds off everybody else for ten steps.
    var successor: Hold?
    /// The last Grant given, to be repeated when its request is resent.
    var lastGrant: Grant?
    /// This node answers Renew, VoteRequest and ConfigPropose: its file tells of a vote, or it has joined without a
    /// majority of the voters knowing of an earlier one.
    var answers: Bool
    /// Since when, at the latest, a node without a vote has had none.
    var lostAt: Instant
    let startedAt: Instant
    /// When somebody served last, for all that this node knows.
    var servedAt: Instant
    /// Voters that answered since and cannot vote: they have no vote, no disk for it, or another configuration.
    var refusers: [NodeID] = []

    struct Hold: Equatable, Sendable {
        var node: NodeID
        var until: Instant
    }

    init(stored: StoredState, hadFile: Bool, timing: Timing, at now: Instant) {
        startedAt = now
        lostAt = now
        servedAt = now
        answers = hadFile && (stored.promise != nil || stored.committed?.voters.contains(stored.process.node) == true)
        promiseEnds = now
        if let promise = stored.promise, !promise.released, !Mutants.active(.noRestartMute) {
            promiseEnds = now + timing.promise
        }
        // When it was released is unknown: as late as possible, that is now.
        if stored.promise?.released == true { releasedAt = now }
    }
}

extension Agent {
    /// Whether this node's last promise binds it no more.
    var promiseIsOpen: Bool {
        guard let promise = stored.promise, !promise.released else { return true }
        if Mutants.active(.accusationTriggersElection), !isReachableAndTrusted(promise.holder.node) { return true }
        return now >= voter.promiseEnds || Mutants.active(.noWaitForPromise)
    }

    private func isReachableAndTrusted(_ node: NodeID) -> Bool {
        node == own.node || membership.state(of: node) == .alive
    }

    /// At most one promise: a holder's own has no known end.
    var promiseRemaining: Interval { promiseIsOpen ? .zero : min(voter.promiseEnds - now, timing.promise) }

    /// Why this node would not grant `epoch` to `candidate` now; nil if it would (§5.4).
    func refusal(of epoch: Epoch, for candidate: NodeBoot, hash: UInt64, isElected: Bool = false) -> DenyReason? {
        guard voter.answers, stored.mayVote, let committed = stored.committed else { return .noVote }
        guard self.hash(of: committed) == hash || Mutants.active(.configurationHashIgnored) else {
            return .configuration
        }
        if discovery.conflict != nil { return .idConflict }
        // What was forgotten may have been a promise of this very epoch; only its elected holder may still have it.
        guard epoch > stored.floor || (isElected && epoch == stored.floor), epoch.isReachable else { return .lowEpoch }
        guard let promise = stored.promise else { return nil }
        guard epoch > promise.epoch else { return .lowEpoch }
        if promise.holder == candidate || promiseIsOpen { return nil }
        return now - voter.startedAt < timing.promise && voter.promiseEnds == voter.startedAt + timing.promise
            ? .mute : .promised
    }

    /// How the last promise ended, for the Grant of the next one, and how long ago it was released.
    func promiseEnd(for candidate: NodeBoot) -> (end: PromiseEnd, sinceRelease: Interval) {
        guard let promise = stored.promise else { return (.none, .zero) }
        if promise.released, Mutants.active(.releasedForgottenAtRestart), voter.releasedAt == voter.startedAt {
            return (.expired, .zero)
        }
        if promise.holder == candidate, Mutants.active(.sameTreatedAsExpired) { return (.expired, .zero) }
        if promise.released, Mutants.active(.failedReleaseTreatedAsExpired), claim?.tenure.epoch != promise.epoch {
            return (.expired, .zero)
        }
        if promise.released { return (.released, voter.releasedAt.map { now - $0 } ?? .zero) }
        return (promise.holder == candidate ? .same : .expired, .zero)
    }

    var isStateStuck: Bool { persistence.stuckSince(at: now, patience: timing.promise) != nil }

    /// Who answers but cannot vote, for `why`; nil: it can.
    mutating func note(_ refusal: DenyReason?, of node: NodeID) {
        switch refusal {
        case .promised, .mute, .lowEpoch, .preGranted: break
        case nil: voter.refusers.removeAll { $0 == node }
        case .noVote, .idConflict, .configuration:
            if voters.contains(node), !voter.refusers.contains(node) { voter.refusers.append(node) }
        }
    }

    /// While somebody serves nobody refuses.
    mutating func noteService() {
        guard isHolder || claimIsRunning else { return }
        voter.servedAt = now
        voter.refusers = []
    }

    mutating func sawEpoch(_ epoch: Epoch) {
        guard epoch.isReachable else { return }
        stored.highestEpoch = max(stored.highestEpoch, epoch)
    }

    // MARK: PreClaim

    mutating func receivePreClaim(_ request: PreClaim, from candidate: NodeBoot) {
        if let reason = preClaimRefusal(request.epoch, for: candidate, hash: request.configurationHash) {
            let configuration = reason == .configuration ? stored.committed : nil
            send(
                .preDeny(
                    PreDeny(
                        nonce: request.nonce, reason: reason, claim: claim, remaining: remaining(of: reason),
                        highestEpoch: stored.highestEpoch, configuration: configuration)),
                to: candidate.node)
        } else {
            voter.preGrant = Voter.Hold(node: candidate.node, until: now + timing.rankStep)
            send(.preGrant(PreGrant(epoch: request.epoch, nonce: request.nonce)), to: candidate.node)
        }
    }

    func preClaimRefusal(_ epoch: Epoch, for candidate: NodeBoot, hash: UInt64) -> DenyReason? {
        if let reason = refusal(of: epoch, for: candidate, hash: hash) { return reason }
        // A vote that cannot be stored would cost the candidate its epoch, again and again.
        if isStateStuck { return .noVote }
        if let successor = voter.successor, now < successor.until, successor.node != candidate.node {
            return .preGranted
        }
        if let held = voter.preGrant, now < held.until, held.node < candidate.node { return .preGranted }
        return nil
    }

    private func remaining(of reason: DenyReason) -> Interval {
        switch reason {
        case .promised, .mute: promiseRemaining
        case .preGranted: max((voter.successor?.until ?? now) - now, (voter.preGrant?.until ?? now) - now)
        case .lowEpoch, .configuration, .noVote, .idConflict: .zero
        }
    }

    // MARK: VoteRequest

    mutating func receiveVoteRequest(_ request: VoteRequest, from candidate: NodeBoot) {
        if let promise = stored.promise, promise == Promise(epoch: request.epoch, holder: candidate, released: false) {
            // A resent request of the try that was granted: the Grant says again what it said, or is on its way.
            if persistence.durablePromise == promise, let grant = voter.lastGrant, grant.nonce == request.nonce {
                sendGrant(grant, to: candidate)
            }
            return
        }
        if let reason = refusal(of: request.epoch, for: candidate, hash: request.configurationHash) {
            send(
                .deny(
                    Deny(
                        nonce: request.nonce, reason: reason, promised: stored.promise,
                        remaining: remaining(of: reason), highestEpoch: stored.highestEpoch,
                        configuration: reason == .configuration ? stored.committed : nil)),
                to: candidate.node)
            sawEpoch(request.epoch)
            return
        }
        let was = promiseEnd(for: candidate)
        let grant = Grant(
            epoch: request.epoch, nonce: request.nonce, promiseWas: was.end, sinceRelease: was.sinceRelease,
            admissions: stored.admissions.entries, committed: stored.committed ?? VoterSet(version: 0, voters: []),
            pending: stored.pending)
        promise(request.epoch, to: candidate)
        voter.lastGrant = grant
        if Mutants.active(.voteNotPersisted) {
            sendGrant(grant, to: candidate)
        } else {
            persist(then: [.grant(grant, to: candidate)])
        }
    }

    /// Raises the promise in memory; the caller persists. It binds from now on, whatever the disk says.
    private mutating func promise(_ epoch: Epoch, to holder: NodeBoot) {
        invariant(.monotonePromise, stored.promise.map { $0.epoch < epoch } ?? true, "a promise only rises")
        stored.promise = Promise(epoch: epoch, holder: holder, released: false)
        voter.promiseEnds = now + timing.promise
        voter.releasedAt = nil
        voter.successor = nil
        // Whatever this node was trying to get for itself is void with its own vote given away.
        candidacy = .idle
        sawEpoch(epoch)
        report(.promised(Promise(epoch: epoch, holder: holder, released: false)))
    }

    mutating func sendGrant(_ grant: Grant, to candidate: NodeBoot) {
        guard stored.promise == Promise(epoch: grant.epoch, holder: candidate, released: false) else { return }
        voter.promiseEnds = max(voter.promiseEnds, now + timing.promise)
        send(.grant(grant), to: candidate.node)
    }

    // MARK: Renew, Release, Transfer

    mutating func receiveRenew(_ renew: Renew, from holder: NodeBoot) {
        guard voter.answers, stored.mayVote, renew.epoch.isReachable else { return }
        // Gossip will name its volumes; until then it counts for all.
        if renew.phase == .active { noteActive(renew.epoch, volumes: nil) }
        let ack = RenewAck(epoch: renew.epoch, nonce: renew.nonce)
        if let promise = stored.promise {
            if renew.epoch < promise.epoch {
                send(.renewNak(RenewNak(epoch: renew.epoch, promised: promise)), to: holder.node)
                return
            }
            if renew.epoch == promise.epoch {
                guard promise.holder == holder else { return }
                if promise.released {
                    send(.renewNak(RenewNak(epoch: renew.epoch, promised: promise)), to: holder.node)
                } else if persistence.durablePromise == promise {
                    acknowledgeRenew(ack, to: holder)
                }
                return
            }
        }
        guard refusal(of: renew.epoch, for: holder, hash: renew.configurationHash, isElected: true) == nil else {
            return
        }
        promise(renew.epoch, to: holder)
        voter.lastGrant = nil
        persist(then: [.renewAck(ack, to: holder)])
    }

    mutating func acknowledgeRenew(_ ack: RenewAck, to holder: NodeBoot) {
        guard stored.promise == Promise(epoch: ack.epoch, holder: holder, released: false) else { return }
        // While this node holds the lease itself its promise has no end of its own.
        if !isHolder { voter.promiseEnds = now + timing.promise }
        send(.renewAck(ack), to: holder.node)
        askForLease(withRenewalOf: holder)
    }

    mutating func receiveRelease(_ release: Release) {
        _ = recordRelease(of: release.epoch, holder: release.holder)
    }

    mutating func receiveTransfer(_ transfer: Transfer) {
        guard recordRelease(of: transfer.epoch, holder: transfer.holder) else { return }
        voter.successor = Voter.Hold(node: transfer.successor, until: now + timing.rankStep * 10)
    }

    /// Records that a holder's server group is empty. Says whether the promise of that very epoch is now released.
    private mutating func recordRelease(of epoch: Epoch, holder released: NodeBoot) -> Bool {
        sawEpoch(epoch)
        // What a vote that came back may have promised below its floor nobody knows; it stays unsaid.
        guard voter.answers, stored.mayVote, !isHolder, epoch.isReachable,
            epoch > stored.floor || epoch == stored.promise?.epoch
        else { return false }
        if let promise = stored.promise {
            if epoch < promise.epoch { return false }
            if epoch == promise.epoch {
                guard promise.holder == released, !promise.released else { return false }
            } else if !promiseIsOpen {
                return false  // It is resent until this promise has ended.
            }
        }
        stored.promise = Promise(epoch: epoch, holder: released, released: true)
        voter.releasedAt = now
        voter.promiseEnds = now
        // A try of our own below that epoch is void with our own vote.
        candidacy = .idle
        persist()
        return true
    }

    // MARK: The admission table

    mutating func receiveTable(_ table: Table, from holder: NodeBoot) {
        guard voter.answers, stored.mayVote, table.epoch >= stored.floor else { return }
        if let promise = stored.promise {
            let low = table.epoch < promise.epoch || (table.epoch == promise.epoch && promise.holder != holder)
            if low && !Mutants.active(.lowTableAccepted) { return }
        }
        guard let changed = takeAdmissions(table.entries) else { return }
        sawEpoch(table.epoch)
        if changed { persist() }
        whenDurable(.tableAck(TableAck(epoch: table.epoch, sequence: table.sequence), to: holder))
    }

    /// Says whether anything changed. Nil, and nothing is taken, if no datagram could carry the table then: no Grant of
    /// this voter would leave any more.
    mutating func takeAdmissions(_ entries: [AdmissionEntry]) -> Bool? {
        var merged = stored.admissions
        var changed = false
        for entry in entries where merged.merge(entry) { changed = true }
        guard merged.entries.count == stored.admissions.entries.count || merged.fitsDatagrams else { return nil }
        stored.admissions = merged
        return changed
    }

    mutating func acknowledgeTable(_ ack: TableAck, to holder: NodeBoot) {
        if let promise = stored.promise, ack.epoch < promise.epoch, !Mutants.active(.admissionAfterHigherPromise),
            !Mutants.active(.lowTableAccepted)
        {
            return
        }
        send(.tableAck(ack), to: holder.node)
    }
}
