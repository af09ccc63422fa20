/// What the holder of an epoch keeps: its lease, its recovery, the admission table on its way to the voters.
struct Holder: Equatable, Sendable {
    let epoch: Epoch
    var round = Round(1)
    var phase = ClaimPhase.recovering
    var lease: Lease
    var table: AdmissionWriter
    /// No eviction of this epoch happens before (§6): client leases under an old promise may still run.
    var evictNotBefore: Instant
    var recovery: Recovery?
    var serverAddress: Address?
    /// What it serves, as it says; nil: unknown, or too many for a claim.
    var serverVolumes: [VolumeDigest]?
    /// When this epoch last became active; nil before.
    var activeAt: Instant?
    /// Servers of this epoch that ended without a word after they had started, since one has served for a while.
    var silentEnds = 0
    /// Each node's last acknowledged ClientLease in this epoch, and the boot that may go on asking.
    var clientLeases = SortedTable<NodeID, Instant>()
    /// Requests that are answered with the next Renew.
    var waitingLeases = SortedTable<NodeID, WaitingLease>()
    var admitted = SortedTable<NodeID, Boot>()
    var refused = SortedTable<NodeID, AdmissionRefusal>()
    var evictions = SortedTable<NodeID, PendingEviction>()
    /// Resume not yet acknowledged: when to send it again.
    var resuming = SortedTable<NodeID, Instant>()
    var change = VoterChange.none
    /// Who waits for the end of that change, if a person asked for it.
    var order: VoterChangeOrder?
    var stop: Stop?

    var tenure: Tenure { Tenure(epoch: epoch, round: round) }

    /// The holder is on its way out: nothing is renewed, the server's group is being emptied.
    struct Stop: Equatable, Sendable {
        var since: Instant
        /// When SIGKILL follows a stop that was asked for politely; nil once it was sent.
        var killAt: Instant?
    }
}

extension Agent {
    mutating func becomeHolder(_ ballot: Ballot) {
        invariant(.epochUniqueness, !isHolder, "one epoch at a time")
        invariant(
            .monotonePromise, persistence.durablePromise?.epoch == ballot.epoch || !isVoter,
            "our own promise is on disk before the epoch is ours")
        var table = AdmissionWriter(table: ballot.admissions, at: now)
        table.table.merge(stored.admissions)
        var lease = Lease(at: now)
        for voter in ballot.supporters where voter != own.node { lease.acknowledge(voter, sentAt: ballot.startedAt) }
        let wait = evictionWait(ballot.grants)
        holder = Holder(epoch: ballot.epoch, lease: lease, table: table, evictNotBefore: wait)
        voter.promiseEnds = .distantFuture
        discovery.voteSucceeded()
        report(.elected(ballot.epoch, by: ballot.supporters.sorted()))
        sendRenew(at: now)
        beginRecovery()
    }

    /// hard·(1+ρ)/(1−ρ) after the latest release that a counted Grant tells of; at once if every promise expired.
    private func evictionWait(_ grants: [CountedGrant]) -> Instant {
        var latest = now
        if Mutants.active(.noWaitAfterRelease) { return latest }
        let releases = grants.filter { grant in
            grant.end == .released || (grant.end == .same && !Mutants.active(.sameTreatedAsExpired))
        }
        if Mutants.active(.waitOnlyIfAllReleased), releases.count < grants.count { return latest }
        for grant in releases {
            latest = max(latest, grant.arrivedAt + timing.hardWithDrift - grant.sinceRelease)
        }
        return latest
    }

    /// The quorum-th newest acknowledged send time; the older one where two sets count; distantPast without a lease.
    /// Our own vote is of now.
    var leaseBase: Instant {
        guard let acknowledged = holder?.lease.acknowledged else { return .distantPast }
        var base = Instant.distantFuture
        for set in votingSets {
            let counted = Mutants.active(.oneAckIsEnough) ? min(2, set.quorum) : set.quorum
            base = min(base, newest(counted, of: set.voters, in: acknowledged))
        }
        return base
    }

    /// The `rank`-th newest send time of those voters. Counted without an array, at every event.
    private func newest(
        _ rank: Int, of voters: [NodeID], in acknowledged: SortedTable<NodeID, Instant>
    ) -> Instant {
        var limit = Instant.distantFuture
        var left = rank
        while true {
            var newest = Instant.distantPast
            var count = 0
            for voter in voters {
                let time = voter == own.node ? now : acknowledged[voter] ?? .distantPast
                if time >= limit { continue }
                if time > newest { (newest, count) = (time, 1) } else if time == newest { count += 1 }
            }
            if count >= left || newest == .distantPast { return newest }
            left -= count
            limit = newest
        }
    }

    /// Whether the lease runs, by our own clock.
    var leaseIsValid: Bool { now < leaseBase + holdTime && holder?.stop == nil }

    /// How long a lease lasts from its base: hard, which with drift and the kill fits into the promise.
    var holdTime: Interval { Mutants.active(.noDriftMargin) ? timing.promise : timing.hard }

    mutating func tickHolder() {
        guard isHolder else { return }
        if holder?.stop != nil { return tickStop() }
        tickLease()
        guard isHolder, holder?.stop == nil else { return }
        tickServerProven()
        tickServerStart()
        guard holder?.stop == nil else { return }
        tickTable()
        tickRecovery()
        tickResumes()
        tickEvictions()
        tickVoterChange()
    }

    func holderWake(_ holder: Holder) -> Instant {
        if let stop = holder.stop { return stop.killAt ?? .distantFuture }
        var next = min(holder.lease.nextRenew, holder.lease.nextRetry)
        let base = leaseBase
        next = min(next, base + holdTime)
        if !holder.lease.softReported { next = min(next, base + timing.soft) }
        if holder.table.isWaiting { next = min(next, holder.table.nextSend) }
        if let recovery = holder.recovery { next = min(next, recovery.nextTick) }
        for (_, due) in holder.resuming { next = min(next, due) }
        for (_, eviction) in holder.evictions where !eviction.written { next = min(next, eviction.notBefore) }
        return min(next, voterChangeWake(holder.change))
    }

    // MARK: The end of an epoch

    enum StopKind { case kill, release }

    /// Ends our epoch: the server is stopped, its group proven empty, then the promise is released (§5.6 b).
    mutating func stopServing(_ kind: StopKind) {
        guard isHolder, holder?.stop == nil else { return }
        voterChangeEnded(.refused(.notHolder))
        holder?.phase = .releasing
        holder?.recovery = nil
        announceOwnClaim()
        switch server.state {
        case .absent:
            holder?.stop = Holder.Stop(since: now, killAt: nil)
            holderIsStopped()
        case .inert where kind == .release:
            // Never started: an inert server serves nobody and may stay loaded.
            holder?.stop = Holder.Stop(since: now, killAt: nil)
            holderIsStopped()
        case .inert, .starting, .started, .stopping:
            server.state = .stopping
            if kind == .kill {
                holder?.stop = Holder.Stop(since: now, killAt: nil)
                actions.append(.killServer)
            } else {
                let stop = Holder.Stop(since: now, killAt: now + timing.kill)
                holder?.stop = stop
                actions.append(.toServer(.stop))
            }
        }
    }

    /// At hard, or when a higher epoch is known: nothing may be served any more.
    mutating func loseLease() {
        guard let holder, holder.stop == nil else { return }
        report(.leaseLost(holder.epoch))
        stopServing(.kill)
    }

    private mutating func tickStop() {
        guard let killAt = holder?.stop?.killAt, now >= killAt else { return }
        holder?.stop?.killAt = nil
        actions.append(.killServer)
    }

    mutating func holderIsStopped() {
        guard let ended = holder, ended.stop != nil else { return }
        holder = nil
        report(.released(ended.epoch))
        announce(
            Claim(
                tenure: ended.tenure, phase: .released, server: own,
                serviceAddress: ended.serverAddress ?? settings.address,
                configurationVersion: stored.committed?.version ?? 0))
        // Before the release is on disk: else we would claim again ourselves meanwhile, all the more if the Transfer
        // that named us holds yet.
        voter.successor = (departure?.successor ?? server.successor).map {
            Voter.Hold(node: $0, until: now + timing.rankStep * 10)
        }
        markReleased(ended.epoch)
    }

    /// The server process ended by itself: the same epoch, the next round, in place (§5.8).
    mutating func holderLostServer() {
        guard isHolder, holder?.stop == nil else { return }
        holder?.serverAddress = nil
        if !Mutants.active(.restartInPlaceWithoutNewRound), let round = holder?.round { holder?.round = round.next }
        if Mutants.active(.nextRoundDropsWait) {
            let dropped = now
            holder?.evictNotBefore = dropped
        }
        beginRecovery()
    }

    // MARK: News

    mutating func announceOwnClaim() {
        guard let holder else { return }
        announce(
            Claim(
                tenure: holder.tenure, phase: holder.phase, server: own,
                serviceAddress: holder.serverAddress ?? settings.address,
                configurationVersion: stored.committed?.version ?? 0, volumes: holder.serverVolumes))
    }

    private mutating func announce(_ claim: Claim) {
        learn(claim: claim)
    }

    /// News of a claim, from anybody: the highest is kept and passed on. It grants nothing.
    mutating func learn(claim news: Claim) {
        guard news.tenure.epoch.isReachable else { return }
        sawEpoch(news.tenure.epoch)
        if news.phase == .active { noteActive(news.tenure.epoch, volumes: news.volumes) }
        if let holder, news.tenure.epoch > holder.epoch { loseLease() }
        if let claim, claim >= news { return }
        claim = news
        membership.announce(claim: news)
        tell(of: news)
    }
}
