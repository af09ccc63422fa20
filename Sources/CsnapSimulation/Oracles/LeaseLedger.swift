import CsnapCore

/// What one agent process sent and was answered, kept by the world: from it follows the longest lease it may use.
final class LeaseLedger {
    let process: NodeBoot
    let life: Int
    /// The epoch of the newest vote request.
    private(set) var epoch: Epoch = .none
    private var voteNonces = SortedTable<Epoch, UInt64>()
    private var renewals = NonceLog()
    private var clientLeases = NonceLog()
    /// When each ClientLease of another node came here first.
    private var leaseRequests = NonceLog()
    /// Per voter, the send time of the newest acknowledged nonce of `epoch`.
    private var acknowledged = SortedTable<NodeID, Instant>()
    /// Room for one count of a quorum, kept because each step counts one.
    private var bases: [Instant] = []
    /// The highest epoch this process has released.
    var released: Epoch = .none
    /// The latest hard deadline handed out in `epoch`.
    var hardGiven: Instant = .distantPast
    /// Something came that may lengthen the lease since `ownBound` was last looked at.
    var mayHaveRisen = true
    /// The longest the lease ever was allowed to be; this node's own clients live under it.
    var ownBound: Instant = .distantPast
    /// The same of the epoch held last: its clients live under it also when this node asks for votes again.
    private(set) var ownBefore: (epoch: Epoch, until: Instant) = (.none, .distantPast)
    /// Longest client lease that the answers so far allow, per tenure of the answer.
    private(set) var clientLeaseBound: (tenure: Tenure, until: Instant) = (.none, .distantPast)
    /// Nodes whose Ready was delivered here, for the tenure of that Ready.
    private(set) var ready: [(tenure: Tenure, process: NodeBoot)] = []
    /// The last vote request of each candidate: its epoch, and whether it counted by the configuration known here.
    var asked = SortedTable<NodeBoot, (epoch: Epoch, agreed: Bool)>()
    /// The last promise this voter acknowledged to somebody, and when.
    var lastPromise: (promise: Promise, at: Instant)?
    /// The highest epoch whose holder told this voter during this life that it is over, or that was released here.
    var releasedHere: Epoch = .none
    /// The last tenure reported active, and the highest epoch reported down (invariant 20).
    var reported: Tenure = .none
    var reportedActive: Epoch = .none
    var reportedDown: Epoch = .none

    init(process: NodeBoot, life: Int) {
        self.process = process
        self.life = life
    }

    /// A server is started in that epoch; a lone voter asks nobody before.
    func begins(_ started: Epoch) {
        guard started > epoch else { return }
        if ownBound > ownBefore.until { ownBefore = (epoch, ownBound) }
        epoch = started
        acknowledged.removeAll()
        hardGiven = .distantPast
        ownBound = .distantPast
        mayHaveRisen = true
    }

    /// False if this epoch was asked for with another nonce before (invariant 3).
    func sendsVoteRequest(_ request: VoteRequest, at time: Instant) -> Bool {
        if let nonce = voteNonces[request.epoch] { return nonce == request.nonce }
        voteNonces[request.epoch] = request.nonce
        begins(request.epoch)
        return renewals.add(request.nonce ^ 0x5555_5555_5555_5555, at: time)
    }

    /// False if the nonce was used before (invariant 3).
    func sendsRenew(_ renew: Renew, at time: Instant) -> Bool { renewals.add(renew.nonce, at: time) }

    func sendsClientLease(_ lease: ClientLease, at time: Instant) { _ = clientLeases.add(lease.nonce, at: time) }

    /// How long this node's clients may be served in that epoch if this node held it.
    func ownBound(in held: Epoch) -> Instant {
        if held == epoch { return ownBound }
        return held == ownBefore.epoch ? ownBefore.until : .distantPast
    }

    /// When that request came; nil if none did.
    func leaseRequestArrived(_ nonce: UInt64) -> Instant? { leaseRequests[nonce] }

    func receives(_ message: Message, from sender: NodeBoot, timing: Timing, at time: Instant) {
        switch message {
        case .grant(let grant):
            guard grant.epoch == epoch, voteNonces[epoch] == grant.nonce else { return }
            acknowledge(sender.node, renewals[grant.nonce ^ 0x5555_5555_5555_5555])
        case .renewAck(let ack):
            guard ack.epoch == epoch else { return }
            acknowledge(sender.node, renewals[ack.nonce])
        case .clientLease(let request): _ = leaseRequests.add(request.nonce, at: time)
        case .clientLeaseAck(let ack):
            guard let sent = clientLeases[ack.nonce] else { return }
            let until = sent + min(timing.hard, ack.remaining)
            // A new round is of the same holder, which counts what it promised before.
            if ack.tenure.epoch > clientLeaseBound.tenure.epoch {
                clientLeaseBound = (ack.tenure, until)
            } else if ack.tenure.epoch == clientLeaseBound.tenure.epoch {
                clientLeaseBound = (max(ack.tenure, clientLeaseBound.tenure), max(until, clientLeaseBound.until))
            }
        case .release(let release): releasedHere = max(releasedHere, release.epoch)
        case .transfer(let transfer): releasedHere = max(releasedHere, transfer.epoch)
        case .ready(let message):
            if ready.count > 256 { ready.removeFirst(128) }
            ready.append((message.tenure, sender))
        default: break
        }
    }

    private func acknowledge(_ node: NodeID, _ sent: Instant?) {
        guard let sent, sent > acknowledged[node] ?? .distantPast else { return }
        acknowledged[node] = sent
        mayHaveRisen = true
    }

    /// The latest instant at which the lease may end, counted as §5.5 says over what is durable on this node.
    func bound(disk: StoredState?, at now: Instant, hold: Interval) -> Instant {
        guard let disk, let committed = disk.committed else { return .distantPast }
        let vouches =
            disk.promise.map { $0.epoch == epoch && $0.holder == process && !$0.released } ?? false
        var end = quorumBase(committed, vouches ? now : nil)
        if let pending = disk.pending { end = min(end, quorumBase(pending.set, vouches ? now : nil)) }
        return end + hold
    }

    private func quorumBase(_ set: VoterSet, _ own: Instant?) -> Instant {
        bases.removeAll(keepingCapacity: true)
        for voter in set.voters {
            if voter == process.node {
                if let own { bases.append(own) }
            } else if let base = acknowledged[voter] {
                bases.append(base)
            }
        }
        guard bases.count >= set.quorum else { return .distantPast }
        bases.sort(by: >)
        return bases[set.quorum - 1]
    }
}

/// The first send time of each nonce; the oldest are forgotten.
struct NonceLog {
    private var times: [UInt64: Instant] = [:]
    private var order: [UInt64] = []
    private var oldest = 0

    subscript(nonce: UInt64) -> Instant? { times[nonce] }

    /// False if the nonce was sent before at another time.
    mutating func add(_ nonce: UInt64, at time: Instant) -> Bool {
        if let known = times[nonce] { return known == time }
        times[nonce] = time
        order.append(nonce)
        if order.count - oldest > 8192 {
            times[order[oldest]] = nil
            oldest += 1
            if oldest > 8192 {
                order.removeFirst(oldest)
                oldest = 0
            }
        }
        return true
    }
}
