/// This node's way out: clients suspended, our admission withdrawn, the service handed over, the others told (§5.8).
struct Departure: Equatable, Sendable {
    var stage: Stage
    let command: Bits128
    /// Who should serve next; named in the Transfer.
    var successor: NodeID?
    var epoch = Epoch.none
    var goodbyes = 0

    enum Stage: Equatable, Sendable {
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
        case .suspending, .stopping, .handingOver: false
        }
    }

    var nextWake: Instant {
        switch stage {
        case .suspending(let until), .stopping(let until), .handingOver(let until), .leaving(let until): until
        case .gone: .distantFuture
        }
    }

    static let goodbyes = 3
}

extension Agent {
    mutating func depart(_ command: Bits128) {
        guard departure == nil else { return }
        switch candidacy {
        case .storing, .voting: abandonVote()
        case .idle, .waiting, .preClaiming: break
        }
        candidacy = .idle
        suspendOwnClients()
        departure = Departure(
            stage: .suspending(until: max(now, node.toldUntil)), command: command, successor: bestSuccessor,
            epoch: holder?.epoch ?? .none)
        updateEligible()
    }

    /// The lowest other node that may serve.
    var bestSuccessor: NodeID? {
        membership.others.first { $0.eligible && membership.state(of: $0.process.node) == .alive }?.process.node
    }

    mutating func tickDeparture() {
        guard let current = departure else { return }
        switch current.stage {
        case .suspending(let until):
            let suspended = node.clients.values.allSatisfy { $0.suspendedIn == node.adopted }
            guard (suspended && now >= node.unseenUntil) || now >= until else { return }
            let limit = now + timing.promise
            departure?.stage = .stopping(until: limit)
            withdraw()
        case .stopping(let until):
            if holder == nil {
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
            actions.append(.reply(command: current.command, .done))
            actions.append(.exit(.done))
            return
        }
        departure?.goodbyes += 1
        let again = now + timing.retry
        departure?.stage = .leaving(next: again)
        runMembership { membership, now, effects in membership.leave(at: now, into: &effects) }
    }
}
