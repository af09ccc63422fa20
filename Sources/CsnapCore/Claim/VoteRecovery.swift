/// The way of a node that lost its promises back to a vote (§5a).
///
/// It asks only after one promise-time without a vote. By then no candidate counts a Grant of its earlier life any
/// more, and no lease rests on one of its acknowledgements; so whatever its vote ever counted for is known to another
/// voter, and, for acknowledgements still being counted, to the holder that counts them, which forgets them as it
/// answers.
struct VoteRecovery: Equatable, Sendable {
    /// One for all answers of this try; drawn when the first question leaves.
    var nonce: UInt64?
    var nextSend = Instant.distantPast
    var answers = SortedTable<NodeID, VoteRecoverAck>()
}

extension Agent {
    /// This node must not vote under its name: its promises are on no disk (§1).
    mutating func loseVote() {
        guard stored.mayVote else { return }
        if isHolder { loseLease() } else { abandonVoteForNewConfiguration() }
        stored.mayVote = false
        voter.lostAt = now
        voteRecovery = VoteRecovery()
        report(.voteLost)
        persist()
    }

    /// A node becomes a voter by a proposal on its own disk. Committed without one, it was proposed in a life that it
    /// has forgotten, or missed the proposal; both are cured by asking.
    mutating func noticeLostVote(in set: VoterSet) {
        guard set.voters.contains(own.node), !isVoter, !(stored.pending?.set.voters.contains(own.node) ?? false),
            !Mutants.active(.votesWithoutProposal)
        else { return }
        loseVote()
    }

    private var mayRecoverVoteAt: Instant {
        Mutants.active(.voteRecoveredAtOnce) ? voter.lostAt : voter.lostAt + timing.promise
    }

    /// Who has to answer: every other voter of the sets that count, and every holder that an answer of theirs names. A
    /// voter that has been asked again, or votes no more, names nobody by what it said before.
    private var witnesses: [NodeID] {
        var nodes = voters
        var next = 0
        while next < nodes.count {
            if let promise = voteRecovery.answers[nodes[next]]?.promise, !promise.released,
                !nodes.contains(promise.holder.node)
            {
                nodes.append(promise.holder.node)
            }
            next += 1
        }
        return nodes.filter { $0 != own.node }.sorted()
    }

    /// Whose answer is missing, for `why`; this node itself where nobody else could know.
    var missingWitnesses: [NodeID] {
        stored.committed?.voters == [own.node] ? [own.node] : witnesses.filter { voteRecovery.answers[$0] == nil }
    }

    private var wantsVote: Bool {
        // Where this node was the only voter nobody else can know.
        !stored.mayVote && discovery.joined && discovery.conflict == nil && departure == nil
            && stored.committed?.voters != [own.node]
    }

    var voteRecoveryWake: Instant { wantsVote ? max(mayRecoverVoteAt, voteRecovery.nextSend) : .distantFuture }

    mutating func tickVoteRecovery() {
        guard wantsVote, now >= mayRecoverVoteAt, now >= voteRecovery.nextSend else { return }
        voteRecovery.nextSend = now + timing.renew
        let nonce = voteRecovery.nonce ?? generator.next()
        voteRecovery.nonce = nonce
        // Those that have answered, too: what they promised since may name a holder that lives.
        for node in witnesses { send(.voteRecover(VoteRecover(nonce: nonce)), to: node) }
    }

    /// Only a voter whose own promises are whole, or the holder, can say what was promised.
    mutating func receiveVoteRecover(_ request: VoteRecover, from asker: NodeBoot) {
        guard voter.answers, stored.mayVote, let committed = stored.committed else {
            if !stored.mayVote { note(.noVote, of: asker.node) }
            return
        }
        // Acknowledgements of its earlier life are on no disk any more.
        holder?.table.forget(asker.node)
        holder?.change.forget(asker.node)
        let admissions = holder?.table.table ?? stored.admissions
        send(
            .voteRecoverAck(
                VoteRecoverAck(
                    nonce: request.nonce, highestEpoch: stored.highestEpoch, promise: stored.promise,
                    floor: stored.floor, admissions: admissions.entries, committed: committed,
                    pending: stored.pending)), to: asker.node)
    }

    mutating func receiveVoteRecoverAck(_ ack: VoteRecoverAck, from voter: NodeBoot) {
        guard !stored.mayVote, ack.nonce == voteRecovery.nonce else { return }
        let epochs = [ack.highestEpoch, ack.floor, ack.promise?.epoch ?? .none]
        guard epochs.allSatisfy({ $0.isReachable }) else { return }
        voteRecovery.answers[voter.node] = ack
        learn(committed: ack.committed)
        if let pending = ack.pending { learn(pending: pending) }
        let enough = Mutants.active(.voteRecoveredByOne) ? !witnesses.isEmpty : missingWitnesses.isEmpty
        if enough { restoreVote() }
    }

    /// Nothing at or below the highest promise of all is promised by this node ever again; the tables are merged.
    private mutating func restoreVote() {
        for answer in voteRecovery.answers.values {
            sawEpoch(answer.highestEpoch)
            stored.floor = max(stored.floor, answer.floor, answer.promise?.epoch ?? .none)
            stored.admissions.merge(AdmissionTable(merging: answer.admissions))
        }
        sawEpoch(stored.floor)
        stored.mayVote = true
        voter.answers = true
        voter.lastGrant = nil
        voteRecovery = VoteRecovery()
        persist(then: [.voteRestored])
    }
}
