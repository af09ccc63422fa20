extension Agent {
    /// The configurations whose majorities count now: the committed one, and the pending one beside it (§5a).
    var votingSets: [VoterSet] {
        guard let committed = stored.committed else { return [] }
        guard let pending = stored.pending?.set else { return [committed] }
        if Mutants.active(.oldVotersOnlyAfterPending) { return [committed] }
        if Mutants.active(.pendingConfigurationIgnored), stored.pending?.epoch != holder?.epoch { return [committed] }
        if Mutants.active(.candidateNeedsOldMajorityOnly), !isHolder { return [committed] }
        if Mutants.active(.pendingVoterGrantsAlone), !isHolder { return [pending] }
        return [committed, pending]
    }

    /// Every voter of the sets that count, in order of id.
    var voters: [NodeID] {
        var all: [NodeID] = []
        for set in votingSets {
            for voter in set.voters where !all.contains(voter) { all.append(voter) }
        }
        return all.sorted()
    }

    var isVoter: Bool { stored.committed?.voters.contains(own.node) ?? false }

    /// The hash of the committed configuration only: a pending one must not stop votes (§4).
    var configurationHash: UInt64 {
        if Mutants.active(.pendingInHash), let pending = stored.pending { return pending.set.hash }
        return stored.committed.map(hash) ?? 0
    }

    /// A set's hash together with the timers that safety rests on: nodes of different profiles never elect each other.
    package func hash(of set: VoterSet) -> UInt64 {
        var hash = set.hash
        for word in [timing.promise.nanoseconds, timing.hard.nanoseconds, timing.driftPerMille] {
            hash = (hash ^ UInt64(bitPattern: word)) &* 0x0000_0100_0000_01b3
        }
        return hash
    }

    /// Whether the nodes for which `counts` holds are a majority of every set that counts.
    func isMajority(_ counts: (NodeID) -> Bool) -> Bool {
        let sets = votingSets
        guard !sets.isEmpty else { return false }
        if Mutants.active(.oneAckIsEnough) { return voters.contains { $0 != own.node && counts($0) } }
        return sets.allSatisfy { set in set.voters.filter(counts).count >= set.quorum }
    }
}
