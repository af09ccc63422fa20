extension Agent {
    /// What this agent knows now; nothing it does not know (docs/troubleshooting.md explains each wait).
    package func status(at instant: Instant) -> AgentStatus {
        var view = self
        view.now = max(now, instant)
        return view.currentStatus
    }

    private var currentStatus: AgentStatus {
        AgentStatus(
            process: own, cluster: stored.cluster, mayVote: stored.mayVote, enabled: stored.enabled,
            serves: settings.serves, claim: claim, claimIsRunning: claimIsRunning, role: role,
            leaseRemaining: leaseRemaining, promise: stored.promise, promiseRemaining: promiseRemaining,
            committed: stored.committed, pending: stored.pending?.set, members: memberStatus, adopted: node.adopted,
            clientsResumed: node.resumed && now < node.leaseUntil, clients: clientStatus,
            admissions: (holder?.table.table ?? stored.admissions).entries,
            isLeaving: departure != nil, namesake: discovery.conflict,
            serverFailure: now < server.backOffUntil || serverKeepsFailing ? server.lastFailure : nil,
            failedVolume: server.failedVolume, filling: server.filling, waits: waits)
    }

    var claimIsRunning: Bool {
        guard let claim, claim.phase != .released else { return false }
        // A deposed holder whose server has not ended sees others serve, like any node.
        if let holder, holder.epoch == claim.tenure.epoch { return leaseIsValid }
        // A holder that answers our client leases serves, whomever our own vote went to.
        if claim.tenure == node.adopted, now < node.leaseUntil { return true }
        guard let promise = stored.promise, !promise.released, promise.epoch == claim.tenure.epoch else { return false }
        return !promiseIsOpen
    }

    private var role: AgentStatus.Role {
        if let holder { return .holder(holder.phase) }
        switch candidacy {
        case .storing(let ballot), .voting(let ballot): return .candidate(ballot.epoch)
        case .idle, .waiting, .preClaiming: return isVoter && stored.mayVote ? .voter : .learner
        }
    }

    private var leaseRemaining: Interval? {
        guard let holder, holder.stop == nil else { return nil }
        return leaseBase + timing.hard - now
    }

    private var memberStatus: [AgentStatus.Member] {
        let set = stored.committed?.voters ?? []
        let me = AgentStatus.Member(
            record: membership.own, state: membership.own.state, stateSince: nil, isVoter: set.contains(own.node),
            accusers: [])
        let others = membership.others.map { record in
            let node = record.process.node
            return AgentStatus.Member(
                record: record, state: membership.state(of: node) ?? .unreachable,
                stateSince: membership.unreachableSince(node) ?? membership.reachableSince(node),
                isVoter: set.contains(node), accusers: membership.accusers(of: node))
        }
        return [me] + others
    }

    private var clientStatus: [AgentStatus.LocalClientStatus] {
        node.clients.map { id, client in
            AgentStatus.LocalClientStatus(
                client: id, volume: client.volume, processID: client.processID,
                suspended: client.resumedIn != node.adopted || now >= node.leaseUntil,
                connected: client.connectedIn == node.adopted && node.adopted != .none && client.isServed,
                writesInFlight: client.writesInFlight, hangingRequests: client.hangingRequests,
                hangingSince: client.hangingSince)
        }
    }

    // MARK: Waits

    private var waits: [Wait] {
        var waits: [Wait] = []
        if discovery.conflict != nil {
            waits.append(Wait(kind: .idConflict, since: discovery.conflictSince, nodes: [own.node]))
        }
        if stored.cluster == .zero {
            waits.append(Wait(kind: .notInGroup, since: voter.startedAt, nodes: []))
        }
        if let since = persistence.stuckSince(at: now, patience: timing.promise) {
            waits.append(Wait(kind: .stateFile, since: since, nodes: [own.node]))
        }
        if now < server.backOffUntil || serverKeepsFailing {
            waits.append(Wait(kind: .store, since: server.failingSince, nodes: [own.node]))
        } else if settings.serves, stored.enabled, serverDoesNotLoad {
            waits.append(Wait(kind: .serverLoad, since: server.absentSince, nodes: [own.node]))
        }
        if let full = server.filling.first(where: { $0.isHolding }) {
            waits.append(Wait(kind: .storeFull, since: full.since, nodes: [own.node]))
        }
        if let holder { waits += holderWaits(holder) } else { waits += claimWaits }
        waits += clientWaits
        return waits + warnings
    }

    /// What may become trouble; nothing waits for it.
    private var warnings: [Wait] {
        var warnings: [Wait] = []
        if !stored.mayVote { warnings.append(Wait(kind: .noVote, since: voter.lostAt, nodes: missingWitnesses)) }
        if !stored.enabled { warnings.append(Wait(kind: .disabled, since: enabledSince, nodes: [own.node])) }
        if let low = server.filling.first(where: { !$0.isHolding }) {
            warnings.append(Wait(kind: .storeLow, since: low.since, nodes: [own.node]))
        }
        if let (nodes, since) = refusedNodes {
            warnings.append(Wait(kind: .admissionsFull, since: since, nodes: nodes))
        }
        if let stranger = foreignGroupMember {
            warnings.append(Wait(kind: .foreignGroup, since: stranger.since, nodes: [stranger.node]))
        }
        if let set = stored.committed, set.voters.count == 1 {
            warnings.append(Wait(kind: .singleVoter, since: voter.startedAt, nodes: set.voters))
        }
        let down = voters.filter { !isReachable($0) }
        if !down.isEmpty, claimIsRunning, isMajority(isReachable) {
            let since = down.compactMap { membership.unreachableSince($0) }.min() ?? now
            warnings.append(Wait(kind: .voterDown, since: since, nodes: down))
        }
        return warnings
    }

    private func holderWaits(_ holder: Holder) -> [Wait] {
        if let stop = holder.stop { return [Wait(kind: .serverStop, since: stop.since, nodes: [own.node])] }
        guard let recovery = holder.recovery else { return [] }
        func nodes(_ condition: (Recovery.Participant) -> Bool) -> [NodeID] {
            recovery.participants.filter { condition($0.1) }.map { $0.0 }
        }
        switch recovery.stage {
        case .gathering:
            let silent = nodes { !$0.isSettled }
            let kind: Wait.Kind = now < holder.evictNotBefore ? .leaseEnd : .ready
            return [Wait(kind: kind, since: recovery.startedAt, nodes: silent)]
        case .storing:
            if holder.serverAddress == nil {
                return [Wait(kind: .serverStart, since: recovery.startedAt, nodes: [own.node])]
            }
            return [Wait(kind: .table, since: holder.table.changedAt, nodes: voters)]
        case .reconnecting(let since): return [Wait(kind: .reconnect, since: since, nodes: nodes { !$0.isBack })]
        case .sealing: return [Wait(kind: .table, since: holder.table.changedAt, nodes: voters)]
        }
    }

    private var claimWaits: [Wait] {
        guard stored.committed != nil, !claimIsRunning else {
            if let claim, claim.phase == .recovering, claimIsRunning {
                return [Wait(kind: .recovering, since: told.recoveringSince, nodes: [claim.server.node])]
            }
            return []
        }
        let since = stored.promise == nil ? voter.startedAt : min(now, voter.promiseEnds)
        if !isMajority(isReachable) {
            return [Wait(kind: .noQuorum, since: since, nodes: voters.filter { !isReachable($0) })]
        }
        // Enough of them are there. If it is not the refusals that are known of, it will be those that are not.
        let refuse = Wait(
            kind: .votersRefuse, since: voter.servedAt, nodes: voters.filter { !isReachable($0) || cannotVote($0) })
        if !isMajority({ isReachable($0) && !cannotVote($0) }) { return [refuse] }
        if !promiseIsOpen {
            let holder = stored.promise.map { [$0.holder.node] } ?? []
            return [Wait(kind: .promise, since: voter.promiseEnds - timing.promise, nodes: holder)]
        }
        let eligible =
            membership.own.eligible || membership.others.contains { $0.eligible && isReachable($0.process.node) }
        guard eligible else {
            let others = membership.others.filter { isReachable($0.process.node) }
            let able = ([membership.own] + others).filter { $0.hasVolumes }.map { $0.process.node }
            return [Wait(kind: .noEligible, since: since, nodes: able.sorted())]
        }
        return now - voter.servedAt > timing.promise * 2 ? [refuse] : []
    }

    private func cannotVote(_ node: NodeID) -> Bool {
        node == own.node ? !stored.mayVote || isStateStuck : voter.refusers.contains(node)
    }

    /// A session that breaks is opened again at once, if that is possible.
    private static let sessionPatience = Interval.seconds(2)

    private var clientWaits: [Wait] {
        var waits: [Wait] = []
        var diskSince = node.clients.values.filter { $0.hangingRequests > 0 }.map { $0.hangingSince }
        if !node.mayTalk {
            waits.append(Wait(kind: .localClients, since: voter.startedAt, nodes: [own.node]))
        } else if !node.clients.isEmpty, !node.resumed || now >= node.leaseUntil {
            // Resumed, but the lease has run out: nobody answers.
            let since = node.resumed && node.leaseUntil != .distantPast ? node.leaseUntil : node.suspendedSince
            waits.append(Wait(kind: .suspended, since: since, nodes: [own.node]))
            if let since = refusedSince { waits.append(Wait(kind: .notAdmitted, since: since, nodes: [own.node])) }
            if node.clients.values.contains(where: { $0.suspendedIn == node.adopted && $0.writesInFlight > 0 }) {
                diskSince.append(since)
            }
        }
        let lost = node.clients.values.filter { $0.connectedIn != node.adopted }.map { $0.lostAt }
        // They were told where to go.
        if let claim, claim.phase == .active, claimIsRunning, claim.tenure == node.adopted, node.serverAddress != nil,
            !node.isLeaving, let since = lost.min(), now - since >= Self.sessionPatience
        {
            waits.append(Wait(kind: .notConnected, since: since, nodes: [claim.server.node]))
        }
        if let since = diskSince.min() { waits.append(Wait(kind: .clientDisk, since: since, nodes: [own.node])) }
        return waits
    }
}
