/// This node's way out: clients suspended, our admission withdrawn, the service handed over, the others told (§5.8).
struct Departure: Equatable, Sendable {
    var stage: Stage
    let command: Bits128
    /// Who should serve next; named in the Transfer.
    var successor: NodeID?
    var epoch = Epoch.none
    var goodbyes = 0

    /// It remains a voter: nobody could take its place.
    var keepsVote = false

    enum Stage: Equatable, Sendable {
        /// Until another has our place among the voters, or nobody can take it. The clients go on.
        case replacing(until: Instant, next: Instant)
        /// Until our clients are suspended, or their lease is over.
        case suspending(until: Instant)
        /// Our own eviction goes to the voters, or the server's group is being emptied.
        case stopping(until: Instant)
        /// Until a successor's epoch is seen, or one promise has passed.
        case handingOver(until: Instant)
        /// Telling every peer, a few times.
        case leaving(next: Instant)
        case gone
    }

    var hasLeft: Bool {
        switch stage {
        case .leaving, .gone: true
        case .replacing, .suspending, .stopping, .handingOver: false
        }
    }

    var nextWake: Instant {
        switch stage {
        case .replacing(let until, let next): min(until, next)
        case .suspending(let until), .stopping(let until), .handingOver(let until), .leaving(let until): until
        case .gone: .distantFuture
        }
    }

    static let goodbyes = 3
}

extension Agent {
    /// `leaves`: for good; a voter is then replaced before it goes.
    mutating func depart(_ command: Bits128, leaves: Bool) {
        guard departure == nil else { return }
        if leaves, isVoter, stored.committed?.voters.count ?? 0 > 1 {
            departure = Departure(
                stage: .replacing(until: now + timing.promise * 10, next: now), command: command, successor: nil,
                epoch: .none)
            updateEligible()
            return tickDeparture()
        }
        suspendForDeparture(command, keepsVote: false)
    }

    private mutating func askForReplacement(_ current: Departure, until: Instant) {
        if !isVoter { return suspendForDeparture(current.command, keepsVote: false) }
        if now >= until { return suspendForDeparture(current.command, keepsVote: true) }
        guard case .replacing(_, let next) = current.stage, now >= next else { return }
        let again = now + timing.renew
        departure?.stage = .replacing(until: until, next: again)
        if isHolder {
            if let outcome = carryOut(.leaving(own.node), current.command, from: own.node) {
                receiveLeavingReply(outcome)
            }
        } else if let claim, claim.phase != .released, claim.server.node != own.node {
            let request = OperatorRequest(command: current.command, verb: .leaving(own.node))
            send(.operatorRequest(request), to: claim.server.node)
        }
    }

    /// Nobody can take our place: we go all the same. Else the new set is learned like any other.
    mutating func receiveLeavingReply(_ outcome: OperatorOutcome) {
        guard let current = departure, case .replacing(let until, _) = current.stage else { return }
        switch outcome {
        case .done, .doneButVoter: break
        case .refused(.noReplacement): suspendForDeparture(current.command, keepsVote: true)
        // The service moves, or another change is under way: it is asked again until our time is over.
        case .refused:
            let again = now + timing.renew
            departure?.stage = .replacing(until: until, next: again)
        }
    }

    private mutating func suspendForDeparture(_ command: Bits128, keepsVote: Bool) {
        switch candidacy {
        case .storing, .voting: abandonVote()
        case .idle, .waiting, .preClaiming: break
        }
        candidacy = .idle
        suspendOwnClients()
        departure = Departure(
            stage: .suspending(until: max(now, node.toldUntil)), command: command, successor: bestSuccessor,
            epoch: holder?.epoch ?? .none)
        departure?.keepsVote = keepsVote
        updateEligible()
    }

    /// The lowest other node that may serve.
    var bestSuccessor: NodeID? {
        membership.others.first { $0.eligible && membership.state(of: $0.process.node) == .alive }?.process.node
    }

    mutating func tickDeparture() {
        guard let current = departure else { return }
        switch current.stage {
        case .replacing(let until, _): askForReplacement(current, until: until)
        case .suspending(let until):
            // What is at the disk has landed then, and the clients can say goodbye.
            let suspended = node.clients.values.allSatisfy { client in
                client.suspendedIn == node.adopted && client.writesInFlight == 0
            }
            guard (suspended && now >= node.unseenUntil) || now >= until else { return }
            let limit = now + timing.promise
            departure?.stage = .stopping(until: limit)
            for (id, client) in node.clients where client.suspendedIn == node.adopted {
                actions.append(.toClient(id, .part(node.adopted)))
            }
            withdraw()
        case .stopping(let until):
            if !isHolder {
                let limit = now + timing.promise
                departure?.stage = .handingOver(until: limit)
                return tickDeparture()
            }
            guard now >= until else { return }
            departure?.stage = .stopping(until: .distantFuture)
            stopServing(.release)
        case .handingOver(let until):
            let nothingToHandOver = current.epoch == .none
            guard nothingToHandOver || stored.highestEpoch > current.epoch || now >= until else { return }
            departure?.stage = .leaving(next: now)
            tickDeparture()
        case .leaving(let next):
            guard now >= next else { return }
            sayGoodbye()
        case .gone: break
        }
    }

    /// Our own boot is evicted as left, on a majority, before the server stops: nobody waits for us in the recovery.
    private mutating func withdraw() {
        guard let current = holder else { return tickDeparture() }
        if current.phase == .active, current.table.table[own.node]?.status.isAdmitted ?? false {
            writeTable(
                [AdmissionEntry(process: own, epoch: current.epoch, status: .evicted(.left))], then: .leftForStop)
        } else {
            stopServing(.release)
        }
    }

    private mutating func sayGoodbye() {
        guard let current = departure else { return }
        if current.goodbyes >= Departure.goodbyes {
            departure?.stage = .gone
            actions.append(.reply(command: current.command, current.keepsVote ? .doneButVoter : .done))
            actions.append(.exit(.done))
            return
        }
        departure?.goodbyes += 1
        let again = now + timing.retry
        departure?.stage = .leaving(next: again)
        runMembership { membership, now, effects in membership.leave(at: now, into: &effects) }
    }
}
