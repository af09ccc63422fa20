/// Who asked for the change under way; the answer goes there when a majority of the new set has stored it.
struct VoterChangeOrder: Equatable, Sendable {
    var id: Bits128
    var asker: NodeID
}

/// Which sets the holder changes to: by itself, and for a person (§5a). Never to an even number.
extension Agent {
    /// The next set that nobody has to ask for: growth first, then the replacement of a voter that is lost.
    var wantedSet: VoterSet? { grownSet ?? replacedSet }

    /// 1 → 3 → 5 with stable learners, lowest ids first; nil while there is nothing to grow.
    private var grownSet: VoterSet? {
        guard let committed = stored.committed, committed.voters.count + 2 <= settings.maximumVoters else { return nil }
        let added = stableLearners.prefix(2)
        guard added.count == 2 else { return nil }
        return committed.next(committed.voters + added)
    }

    /// A lost voter's place goes to the first stable learner.
    private var replacedSet: VoterSet? {
        guard let committed = stored.committed, let new = stableLearners.first,
            let old = committed.voters.first(where: isLost)
        else { return nil }
        return committed.replacing(old, by: new)
    }

    /// A voter that has answered nobody, or acknowledged nothing, for `replaceAfter`.
    private func isLost(_ voter: NodeID) -> Bool {
        guard let current = holder, voter != own.node, !Mutants.active(.lostVoterKept) else { return false }
        if let since = membership.unreachableSince(voter), now - since >= timing.replaceAfter { return true }
        let last = max(current.lease.acknowledged[voter] ?? .distantPast, current.activeAt ?? now)
        return now - last >= timing.replaceAfter
    }

    /// Members that may serve, do not vote, acknowledge renewals and were alive without a break for long enough.
    private var stableLearners: [NodeID] {
        let voters = stored.committed?.voters ?? []
        var nodes: [NodeID] = []
        for record in membership.others where record.eligible && !voters.contains(record.process.node) {
            let node = record.process.node
            guard acknowledges(node), let since = membership.reachableSince(node), now - since >= timing.stable else {
                continue
            }
            nodes.append(node)
        }
        // The holder itself may be a learner: it is as stable as its lease.
        if !voters.contains(own.node), departure == nil { nodes.append(own.node) }
        return nodes.sorted()
    }

    /// Whether a node acknowledged a renewal of late; one that lost its vote never does.
    private func acknowledges(_ node: NodeID) -> Bool {
        node == own.node || holder?.lease.acknowledged[node] ?? .distantPast >= now - timing.promise
    }

    // MARK: For people

    /// Nil: it begins, and is answered when it is done.
    mutating func changeVoters(_ verb: OperatorVerb, asked order: VoterChangeOrder) -> OperatorOutcome? {
        guard let current = holder, current.phase == .active, let committed = stored.committed else {
            return .refused(.busy)
        }
        if current.order == order { return nil }
        let set: VoterSet
        switch asked(verb, of: committed) {
        case .refused(let code): return .refused(code)
        case .set(let wanted): set = wanted
        }
        if set.voters == committed.voters { return .done }
        if let code = refusal(of: set, after: committed) { return .refused(code) }
        guard current.change.isReplaceable, current.order == nil, stored.pending == nil else { return .refused(.busy) }
        holder?.order = order
        startChange(to: set)
        return nil
    }

    private enum AskedSet {
        case set(VoterSet)
        case refused(RefusalCode)
    }

    private func asked(_ verb: OperatorVerb, of committed: VoterSet) -> AskedSet {
        switch verb {
        case .voters(let voters): return .set(committed.next(voters))
        case .addVoters(let added):
            return .set(committed.next(committed.voters + added.filter { !committed.voters.contains($0) }))
        case .replaceVoter(let old, let new):
            if !committed.voters.contains(old) {
                // Done already, for one whose answer was lost.
                return committed.voters.contains(new) ? .set(committed) : .refused(.notVoter)
            }
            return .set(committed.replacing(old, by: new))
        case .leaving(let node):
            guard committed.voters.contains(node) else { return .set(committed) }
            guard let new = stableLearners.first(where: { $0 != node }) else { return .refused(.noReplacement) }
            return .set(committed.replacing(node, by: new))
        case .transfer, .strike: return .refused(.badVoters)
        }
    }

    /// Why a set is not changed to; nil: it may be.
    private func refusal(of set: VoterSet, after committed: VoterSet) -> RefusalCode? {
        for (voter, next) in zip(set.voters, set.voters.dropFirst()) where voter == next { return .badVoters }
        if set.voters.count % 2 == 0 { return .evenVoters }
        if set.voters.count > max(settings.maximumVoters, committed.voters.count) { return .tooManyVoters }
        for voter in set.voters where !committed.voters.contains(voter) {
            if voter != own.node, membership.record(of: voter) == nil { return .notMember }
            if !acknowledges(voter) { return .voterSilent }
        }
        return nil
    }

    /// The change that a person asked for has ended, one way or the other.
    mutating func voterChangeEnded(_ outcome: OperatorOutcome) {
        guard let order = holder?.order else { return }
        holder?.order = nil
        if order.asker != own.node {
            reply(to: order.asker, OperatorReply(command: order.id, outcome: outcome))
        } else if departure?.command == order.id {
            receiveLeavingReply(outcome)
        } else {
            answer(order.id, outcome)
        }
    }
}

extension VoterSet {
    func next(_ voters: [NodeID]) -> VoterSet { VoterSet(version: version + 1, voters: voters.sorted()) }

    func replacing(_ old: NodeID, by new: NodeID) -> VoterSet { next(voters.filter { $0 != old } + [new]) }
}
