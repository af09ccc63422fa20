/// The holder's lease: per voter the newest acknowledged renewal, counted from its own send time (§5.5, invariant 7).
struct Lease: Equatable, Sendable {
    private(set) var acknowledged = SortedTable<NodeID, Instant>()
    /// Renewals that may still be acknowledged, oldest first.
    private(set) var sent: [Renewal] = []
    /// The renewal that began the running period; voters that have not answered since are asked again.
    private(set) var periodStart: Instant
    private(set) var answered: [NodeID] = []
    var nextRenew: Instant
    var nextRetry = Instant.distantFuture
    /// The base the server was last told.
    var toldBase = Instant.distantPast
    var softReported = false

    struct Renewal: Equatable, Sendable {
        var nonce: UInt64
        var sentAt: Instant
    }

    init(at now: Instant) {
        periodStart = now
        nextRenew = now
    }

    mutating func acknowledge(_ voter: NodeID, sentAt: Instant) {
        acknowledged[voter] = max(acknowledged[voter] ?? .distantPast, sentAt)
    }

    /// A nonce that was sent: when. Forgotten ones are too old to count.
    func sentAt(_ nonce: UInt64) -> Instant? { sent.last { $0.nonce == nonce }?.sentAt }

    mutating func beginPeriod(_ nonce: UInt64, at now: Instant, timing: Timing) {
        periodStart = now
        answered = []
        nextRenew = now + timing.renew
        record(nonce, at: now, timing: timing)
    }

    mutating func record(_ nonce: UInt64, at now: Instant, timing: Timing) {
        if sent.count >= Bounds.outstandingNonces { sent.removeFirst() }
        sent.append(Renewal(nonce: nonce, sentAt: now))
        nextRetry = now + timing.retry
    }

    mutating func markAnswered(_ voter: NodeID) {
        if !answered.contains(voter) { answered.append(voter) }
    }
}

extension Agent {
    mutating func tickLease() {
        guard let epoch = holder?.epoch, let nextRenew = holder?.lease.nextRenew else { return }
        let base = leaseBase
        if now >= base + holdTime, !Mutants.active(.renewAfterHard) { return loseLease() }
        if now >= base + timing.soft, holder?.lease.softReported == false {
            holder?.lease.softReported = true
            report(.leaseSoft(epoch))
        }
        if now >= nextRenew {
            sendRenew(at: now)
        } else if now >= holder?.lease.nextRetry ?? .distantFuture {
            retryRenew()
        }
        tellServerLease()
    }

    /// One renewal to every voter, and uncounted to every other member that may serve or vote, so that its promise
    /// ends with theirs.
    mutating func sendRenew(at now: Instant) {
        guard let epoch = holder?.epoch, let phase = holder?.phase else { return }
        let nonce = renewNonce()
        let timing = timing
        holder?.lease.beginPeriod(nonce, at: now, timing: timing)
        answerWaitingLeases()
        let message = Message.renew(
            Renew(epoch: epoch, nonce: nonce, phase: phase, configurationHash: configurationHash))
        for voter in voters where voter != own.node { send(message, to: voter) }
        for learner in renewedLearners { send(message, to: learner) }
        askForLease(withRenewalOf: own)
    }

    private mutating func renewNonce() -> UInt64 { Mutants.active(.renewalWithoutNonce) ? 1 : generator.next() }

    private var renewedLearners: [NodeID] {
        let voters = voters
        return membership.others
            .filter { $0.state != .left && isReachable($0.process.node) && !voters.contains($0.process.node) }
            .map { $0.process.node }
    }

    /// Those that have not answered in this period; one that is unreachable is asked once a period.
    private func silentVoters(_ lease: Lease) -> [NodeID] {
        voters.filter { $0 != own.node && !lease.answered.contains($0) && membership.state(of: $0) != .unreachable }
    }

    /// Asks again whoever has not answered in this period, each time with a fresh nonce.
    private mutating func retryRenew() {
        guard let current = holder else { return }
        let silent = silentVoters(current.lease)
        guard !silent.isEmpty else {
            holder?.lease.nextRetry = .distantFuture
            return
        }
        let nonce = renewNonce()
        let (now, timing) = (now, timing)
        holder?.lease.record(nonce, at: now, timing: timing)
        let message = Message.renew(
            Renew(epoch: current.epoch, nonce: nonce, phase: current.phase, configurationHash: configurationHash))
        for voter in silent { send(message, to: voter) }
    }

    mutating func receiveRenewAck(_ ack: RenewAck, from voter: NodeBoot) {
        guard let epoch = holder?.epoch, epoch == ack.epoch, holder?.stop == nil,
            let sentAt = holder?.lease.sentAt(ack.nonce), let periodStart = holder?.lease.periodStart
        else { return }
        let counted = Mutants.active(.leaseFromAckReceipt) ? now : sentAt
        membership.roundTrip(of: voter.node, took: now - sentAt)
        holder?.lease.acknowledge(voter.node, sentAt: counted)
        if sentAt >= periodStart {
            holder?.lease.markAnswered(voter.node)
            if let lease = holder?.lease, silentVoters(lease).isEmpty { holder?.lease.nextRetry = .distantFuture }
        }
        if holder?.lease.softReported == true, now < leaseBase + timing.soft {
            holder?.lease.softReported = false
            report(.leaseRegained(epoch))
        }
        tellServerLease()
    }

    /// A voter promised a higher epoch, or released this one: that is final.
    mutating func receiveRenewNak(_ nak: RenewNak, from voter: NodeBoot) {
        sawEpoch(nak.promised.epoch)
        guard let current = holder, current.epoch == nak.epoch else { return }
        let higher = nak.promised.epoch > current.epoch
        let released = nak.promised == Promise(epoch: current.epoch, holder: own, released: true)
        if higher || released { loseLease() }
    }

    /// New deadlines for the server with every other renewal, or when half of soft has gone by.
    private mutating func tellServerLease() {
        guard let toldBase = holder?.lease.toldBase, holder?.stop == nil else { return }
        switch server.state {
        case .starting, .started: break
        case .absent, .inert, .stopping: return
        }
        let base = leaseBase
        let moved = base - toldBase
        guard moved >= timing.renew * 3 / 2 || (moved > .zero && now - toldBase >= timing.soft / 2) else { return }
        holder?.lease.toldBase = base
        actions.append(.toServer(.lease(soft: base + timing.soft, hard: base + holdTime)))
    }
}
