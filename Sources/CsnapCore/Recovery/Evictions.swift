/// A node that the holder has stopped waiting for, in a running epoch; it goes when its client lease is surely over.
struct PendingEviction: Equatable, Sendable {
    var process: NodeBoot
    var cause: EvictionCause
    var notBefore: Instant
    /// By an operator: it is not taken back when the node answers again.
    var ordered: Bool
    /// The eviction is on its way to the voters.
    var written = false
}

/// A ClientLease whose answer waits for the next Renew.
struct WaitingLease: Equatable, Sendable {
    var process: NodeBoot
    var request: ClientLease
    var arrivedAt: Instant
}

extension Agent {
    // MARK: Client leases at the holder

    mutating func receiveClientLease(_ request: ClientLease, from process: NodeBoot) {
        let lease = WaitingLease(process: process, request: request, arrivedAt: now)
        if request.mayWait, holder?.admitted[process.node] == process.boot {
            holder?.waitingLeases[process.node] = lease
        } else {
            answer(lease)
        }
    }

    /// Each is looked at as if it came now: since it came its node may have been struck, or a recovery begun.
    mutating func answerWaitingLeases() {
        guard let waiting = holder?.waitingLeases.values, !waiting.isEmpty else { return }
        holder?.waitingLeases = SortedTable()
        for lease in waiting { answer(lease) }
    }

    /// A node asks for its clients: acknowledged only if it is Ready in the running recovery, or admitted while active.
    private mutating func answer(_ lease: WaitingLease) {
        let (request, process) = (lease.request, lease.process)
        guard let current = holder, current.stop == nil, leaseIsValid else { return }
        if let entry = current.table.table[process.node], entry.process == process,
            case .evicted(let cause) = entry.status
        {
            send(.evicted(Evicted(tenure: current.tenure, process: process, cause: cause)), to: process.node)
            return
        }
        if let entry = current.table.table[process.node], entry.process.boot > process.boot {
            // Its state file was lost, and whoever let it join did not know: it must take a boot above that one.
            send(.evicted(Evicted(tenure: current.tenure, process: process, cause: .left)), to: process.node)
            return
        }
        if let recovery = current.recovery {
            guard request.tenure == current.tenure, recovery.participants[process.node]?.ready == process.boot,
                recovery.participants[process.node]?.evicted == nil
            else { return }
            return acknowledge(lease)
        }
        guard current.phase == .active else { return }
        if current.admitted[process.node] == process.boot {
            guard request.tenure == current.tenure, current.evictions[process.node] == nil else { return }
            acknowledge(lease)
        } else if request.suspended {
            admit(process, asked: request)
        }
    }

    /// The node counts from its sending, which was before the request came: so its lease ends before ours.
    private mutating func acknowledge(_ lease: WaitingLease) {
        guard let current = holder else { return }
        holder?.clientLeases[lease.process.node] = now
        let end = leaseBase + timing.hard
        let remaining = Mutants.active(.clientLeaseNotCapped) ? timing.hard : end - lease.arrivedAt
        send(
            .clientLeaseAck(
                ClientLeaseAck(nonce: lease.request.nonce, tenure: current.tenure, remaining: remaining)),
            to: lease.process.node)
    }

    /// A joined boot with its clients suspended: on a voter majority first, then at the server, then resumed.
    private mutating func admit(_ process: NodeBoot, asked request: ClientLease) {
        guard let current = holder else { return }
        let entry = current.table.table[process.node]
        if let entry, entry.process.boot > process.boot || entry.process == process { return }
        let new = AdmissionEntry(process: process, epoch: current.epoch, status: .admitted)
        if entry == nil {
            var table = current.table.table
            table.merge(new)
            guard table.fitsDatagramsForEver else { return refuseAdmission(of: process, asked: request) }
        }
        let old = entry.flatMap { $0.status.isAdmitted ? $0.process : nil }
        writeTable([new], then: .admitted(process, replacing: old))
    }

    // MARK: Evictions while active

    mutating func tickEvictions() {
        guard holder?.phase == .active, let epoch = holder?.epoch, let admitted = holder?.admitted else { return }
        for (node, boot) in admitted where node != own.node {
            let process = NodeBoot(node: node, boot: boot)
            let pending = holder?.evictions[node]
            if pending?.written == true { continue }
            guard let loss = loss(of: process) else {
                if let pending, !pending.ordered { holder?.evictions[node] = nil }
                continue
            }
            if pending == nil {
                let due = loss == .left && Mutants.active(.hearsayEndsBoot) ? now : clientLeaseEnd(of: node)
                let eviction = PendingEviction(process: process, cause: loss, notBefore: due, ordered: false)
                holder?.evictions[node] = eviction
            }
        }
        guard holder?.evictions.isEmpty == false else { return }
        for (node, eviction) in holder?.evictions ?? SortedTable() {
            guard !eviction.written, now >= eviction.notBefore || Mutants.active(.evictWithoutLeaseWait) else {
                continue
            }
            holder?.evictions[node]?.written = true
            writeTable(
                [
                    AdmissionEntry(process: eviction.process, epoch: epoch, status: .evicted(eviction.cause))
                ], then: .evicted(eviction.process, eviction.cause))
        }
    }

    /// Why an admitted node is lost, for all that gossip says; the lease wait makes it safe. What is heard of its boot,
    /// or of a higher one, may tell of an earlier process, whose state file was lost since: that is no proof that the
    /// clients of this one are suspended.
    private func loss(of process: NodeBoot) -> EvictionCause? {
        guard let record = membership.record(of: process.node) else { return .leasePassed }
        // If it is a later one it will be admitted, and replaces this boot at once.
        if record.process.boot > process.boot { return .leasePassed }
        switch membership.state(of: process.node) {
        case .alive, .suspect: return nil
        case .unreachable, nil: return .leasePassed
        case .left: return record.process == process ? .left : .leasePassed
        }
    }

    private func clientLeaseEnd(of node: NodeID) -> Instant {
        let last = holder?.clientLeases[node] ?? holder?.activeAt ?? now
        return last + timing.hardWithDrift
    }

    /// The operator's `strike`: the node may answer, but is not waited for.
    mutating func strike(_ node: NodeID, fenced: Bool) -> OperatorOutcome {
        guard let current = holder, current.stop == nil else { return .refused(.notHolder) }
        guard node != own.node else { return .refused(.isSelf) }
        // Whoever says that a machine is off must not be wrong: one that is heard is not.
        if fenced, membership.state(of: node) == .alive { return .refused(.answersStill) }
        if current.recovery?.participants[node] != nil {
            if fenced {
                holder?.recovery?.participants[node]?.fenced = true
                tickRecovery()
                return .done
            }
            return .refused(.busy)
        }
        guard let boot = current.admitted[node] else {
            // Evicted already: that its machine is off is news to the server, which clears its writers.
            guard fenced, current.phase == .active, let entry = current.table.table[node] else {
                return .refused(.notMember)
            }
            actions.append(.toServer(.strike(entry.process, .fenced)))
            return .done
        }
        let eviction = PendingEviction(
            process: NodeBoot(node: node, boot: boot), cause: fenced ? .fenced : .leasePassed,
            notBefore: fenced ? now : clientLeaseEnd(of: node), ordered: true)
        holder?.evictions[node] = eviction
        tickEvictions()
        return .done
    }
}
