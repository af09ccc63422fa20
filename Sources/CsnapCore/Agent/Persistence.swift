/// What must be durable before it may happen: each entry waits for its token (docs/architecture.md).
struct Persistence: Equatable, Sendable {
    private(set) var lastToken: UInt64 = 0
    private(set) var writes: [Write] = []
    /// The promise that is on disk.
    private(set) var durablePromise: Promise?
    /// When to write again after a failure.
    var retryAt = Instant.distantFuture
    /// Since when no write has succeeded, if the newest one failed.
    private(set) var failingSince: Instant?
    /// When that was last reported.
    private var toldAt = Instant.distantPast
    /// What the failed write held back.
    var parked: [HeldBack] = []

    struct Write: Equatable, Sendable {
        var token: UInt64
        var begunAt: Instant
        var promise: Promise?
        var then: [HeldBack]
    }

    /// One under way and one that waits for it.
    private static let writeLimit = 2
    /// A disk that goes on failing is reported no more often.
    private static let reportPeriod = Interval.seconds(30)

    init(durablePromise: Promise?) { self.durablePromise = durablePromise }

    var isIdle: Bool { writes.isEmpty }

    /// Since when the disk has kept us waiting: it fails, or has not answered for `patience`.
    func stuckSince(at now: Instant, patience: Interval) -> Instant? {
        if let failingSince { return failingSince }
        guard let oldest = writes.first, now - oldest.begunAt > patience else { return nil }
        return oldest.begunAt
    }

    mutating func begin(promise: Promise?, then: [HeldBack], at now: Instant) -> UInt64 {
        lastToken += 1
        if writes.count == Self.writeLimit {
            // The last one has not begun, and the new one says all that it would.
            let last = writes.count - 1
            writes[last].token = lastToken
            writes[last].promise = promise
            for effect in then { writes[last].then.hold(effect) }
        } else {
            writes.append(Write(token: lastToken, begunAt: now, promise: promise, then: then))
        }
        return lastToken
    }

    /// Holds `effect` back until the newest write is durable; false when there is none under way.
    mutating func holdBack(_ effect: HeldBack) -> Bool {
        guard !writes.isEmpty else {
            // After a failed write nothing newer than the disk may be relied on until the next one.
            guard retryAt < .distantFuture else { return false }
            parked.hold(effect)
            return true
        }
        writes[writes.count - 1].then.hold(effect)
        return true
    }

    mutating func takeParked() -> [HeldBack] {
        let effects = parked
        parked = []
        retryAt = .distantFuture
        return effects
    }

    /// Everything up to `token` is durable: returns what may happen now, in order.
    mutating func finish(_ token: UInt64) -> [HeldBack] {
        var effects: [HeldBack] = []
        failingSince = nil
        toldAt = .distantPast
        while let first = writes.first, first.token <= token {
            durablePromise = first.promise
            effects += first.then
            writes.removeFirst()
        }
        return effects
    }

    /// The writes up to `token` failed: what they held back goes on waiting for the next one.
    mutating func fail(_ token: UInt64) -> [HeldBack] {
        var effects: [HeldBack] = []
        while let first = writes.first, first.token <= token {
            failingSince = failingSince ?? first.begunAt
            for effect in first.then { effects.hold(effect) }
            writes.removeFirst()
        }
        return effects
    }

    /// Whether a failed write is news.
    mutating func tellsOfFailure(at now: Instant) -> Bool {
        guard toldAt == .distantPast || now - toldAt >= Self.reportPeriod else { return false }
        toldAt = now
        return true
    }
}

/// An effect that may happen only after the state it rests on is on disk.
enum HeldBack: Equatable, Sendable {
    case grant(Grant, to: NodeBoot)
    case renewAck(RenewAck, to: NodeBoot)
    case voting(Epoch)
    case tableAck(TableAck, to: NodeBoot)
    case configAck(ConfigAck, to: NodeBoot)
    case configCommitAck(ConfigCommitAck, to: NodeBoot)
    case announceRelease(Epoch)
    case ownPending(version: UInt64)
    case ownCommitted(version: UInt64)
    case reply(Bits128, OperatorOutcome)
    case founded(Bits128)
    case voteRestored
    case exit(ExitReason)
}

extension HeldBack {
    /// An answer: whoever does not get it asks again.
    fileprivate var isAskedForAgain: Bool {
        switch self {
        case .grant, .renewAck, .tableAck, .configAck, .configCommitAck: true
        case .voting, .announceRelease, .ownPending, .ownCommitted, .reply, .founded, .voteRestored, .exit: false
        }
    }
}

extension [HeldBack] {
    /// Of answers no more than a bound, the latest: while a disk is slow they are asked for again and again. The others
    /// are few and happen once.
    fileprivate mutating func hold(_ effect: HeldBack) {
        if count >= Bounds.heldBack {
            if let oldest = firstIndex(where: { $0.isAskedForAgain }) {
                remove(at: oldest)
            } else if effect.isAskedForAgain {
                return
            }
        }
        append(effect)
    }
}

extension Agent {
    /// Writes the state as it is now; `then` happens when it is durable.
    mutating func persist(then effects: [HeldBack] = []) {
        // A whole record is written: it carries what a failed write held back, too.
        let token = persistence.begin(
            promise: stored.promise, then: persistence.takeParked() + effects, at: now)
        actions.append(.persist(stored, token: token))
    }

    /// Lets `effect` happen when all that was written so far is durable: at once if it is.
    mutating func whenDurable(_ effect: HeldBack) {
        if !persistence.holdBack(effect) { carryOut(effect) }
    }

    mutating func didPersist(_ token: UInt64) {
        for effect in persistence.finish(token) { carryOut(effect) }
    }

    mutating func didFailToPersist(_ token: UInt64) {
        let waiting = answerFailed(persistence.fail(token))
        if persistence.tellsOfFailure(at: now) { report(.stateWriteFailed) }
        if persistence.isIdle {
            persistence.retryAt = now + .seconds(1)
            persistence.parked += waiting
        } else {
            for effect in waiting { _ = persistence.holdBack(effect) }
        }
    }

    /// A person is told at once; what was asked for stays in the record, which is written again each second.
    private mutating func answerFailed(_ effects: [HeldBack]) -> [HeldBack] {
        effects.filter { effect in
            guard case .reply(let command, _) = effect else { return true }
            actions.append(.reply(command: command, .refused(.notStored)))
            return false
        }
    }

    mutating func retryPersist() {
        if now >= persistence.retryAt { persist() }
    }

    /// Each effect looks again whether it still holds: much may have happened while the disk was writing.
    private mutating func carryOut(_ effect: HeldBack) {
        switch effect {
        case .grant(let grant, let candidate): sendGrant(grant, to: candidate)
        case .renewAck(let ack, let holder): acknowledgeRenew(ack, to: holder)
        case .voting(let epoch): beginVoting(epoch)
        case .tableAck(let ack, let holder): acknowledgeTable(ack, to: holder)
        case .configAck(let ack, let holder): acknowledgeProposal(ack, to: holder)
        case .configCommitAck(let ack, let holder): send(.configCommitAck(ack), to: holder.node)
        case .announceRelease(let epoch): announceRelease(of: epoch)
        case .ownPending(let version): ownPendingIsDurable(version)
        case .ownCommitted(let version): ownCommitIsDurable(version)
        case .reply(let command, let outcome): actions.append(.reply(command: command, outcome))
        case .founded(let cluster): groupIsFounded(cluster)
        case .voteRestored: report(.voteRestored)
        case .exit(let reason): actions.append(.exit(reason))
        }
    }
}
