import CsnapCore
import Testing

/// Who may vote, and whose vote counts (docs/protocol.md §1, §5.4, §5a).
@Suite struct VoteRules {
    private func set(_ version: UInt64, _ voters: UInt32...) -> VoterSet {
        VoterSet(version: version, voters: voters.map { NodeID($0) })
    }

    @Test("JoinAck: a node without a file that only a pending set names has lost its vote")
    func pendingNamesLostVoter() {
        var node = DrivenAgent(node: 3, boot: 1)
        node.joinAnswered(
            by: 1, configuration: set(1, 1), pending: PendingVoterSet(epoch: Epoch(1), set: set(2, 1, 2, 3)))
        #expect(!node.status.mayVote)
        #expect(node.disk?.mayVote == false, "durably")
        node.renew(1, of: 1)
        #expect(!node.acknowledgedRenew)
    }

    @Test("JoinAck: an answer without a configuration gives no vote")
    func joinAckWithoutConfiguration() {
        var node = DrivenAgent(node: 3, boot: 1)
        node.joinAnswered(by: 1, configuration: nil)
        node.meet(1)
        node.renew(1, of: 1)
        #expect(!node.acknowledgedRenew)
        node.joinAnswered(by: 1, configuration: set(1, 1))
        node.renew(1, of: 1)
        #expect(node.acknowledgedRenew)
    }

    @Test("A node without promises answers nobody before a majority of the voters answered its Join")
    func majorityOfVotersAnswersFirst() {
        var node = DrivenAgent(node: 4, boot: 1)
        node.joinAnswered(by: 5, configuration: set(2, 1, 2, 3))
        node.meet(1)
        node.renew(1, of: 1)
        #expect(!node.acknowledgedRenew, "node 5 is no voter")
        node.joinAnswered(by: 1, configuration: set(2, 1, 2, 3))
        node.renew(1, of: 1)
        #expect(!node.acknowledgedRenew, "one of three")
        node.joinAnswered(by: 2, configuration: set(2, 1, 2, 3))
        node.renew(1, of: 1)
        #expect(node.acknowledgedRenew)
    }

    @Test("A committed set that names a node without a proposal costs it its vote")
    func namedWithoutProposal() {
        var node = DrivenAgent(node: 4, voters: [1, 2, 3])
        node.meet(1)
        node.hear(.news([.configuration(set(3, 1, 2, 4))]), from: 1)
        #expect(!node.status.mayVote)
    }

    @Test("A file rolled back by one boot loses its vote, though the boots are equal")
    func rolledBackFile() throws {
        var node = DrivenAgent(node: 3, boot: 7, voters: [1, 2, 3])
        let join = try #require(node.sent.last { if case .join = $0.message { true } else { false } })
        guard case .join(let asked) = join.message else { return }
        node.hear(.bootTooOld(BootTooOld(nonce: asked.nonce, highest: Boot(7))), from: 1)
        #expect(node.disk?.mayVote == false)
        #expect(node.exits == [.newBoot])
    }

    @Test("A Grant after the end of the try elects nobody")
    func lateGrant() throws {
        var node = DrivenAgent(node: 1, voters: [1, 2, 3])
        for other: UInt32 in [2, 3] { node.meet(other) }
        node.step(.server(.inert))
        let request = try #require(askForVotes(&node))
        node.sleep(node.timing.promise)
        node.hear(.grant(grant(request, node)), from: 2)
        #expect(node.starts.isEmpty)
        #expect(node.status.role != .holder(.recovering))
    }

    @Test("A Grant in time elects")
    func timelyGrant() throws {
        var node = DrivenAgent(node: 1, voters: [1, 2, 3])
        for other: UInt32 in [2, 3] { node.meet(other) }
        node.step(.server(.inert))
        let request = try #require(askForVotes(&node))
        node.hear(.grant(grant(request, node)), from: 2)
        #expect(node.status.role == .holder(.recovering))
    }

    private func grant(_ request: VoteRequest, _ node: DrivenAgent) -> Grant {
        Grant(
            epoch: request.epoch, nonce: request.nonce, promiseWas: .none, sinceRelease: .zero, admissions: [],
            committed: node.status.committed ?? set(0), pending: nil)
    }

    /// Drives the node to its VoteRequest; node 2 pre-grants.
    private func askForVotes(_ node: inout DrivenAgent) -> VoteRequest? {
        for _ in 0..<1000 {
            node.pass(.milliseconds(2))
            for case .voteRequest(let ask) in node.messages(to: 2) { return ask }
            for case .preClaim(let ask) in node.messages(to: 2) {
                node.hear(.preGrant(PreGrant(epoch: ask.epoch, nonce: ask.nonce)), from: 2)
            }
        }
        return nil
    }

    @Test("Another node's vote request is refused by a node that has no vote")
    func lostVoteRefuses() {
        var node = DrivenAgent(node: 3, voters: [1, 2, 3]) { $0.mayVote = false }
        node.meet(1)
        node.hear(
            .voteRequest(
                VoteRequest(
                    epoch: Epoch(5), nonce: 1, configurationHash: node.status.committed.map(node.agent.hash) ?? 0)),
            from: 1)
        #expect(node.disk?.promise == nil)
    }
}

/// The way back to a vote (docs/protocol.md §5a).
@Suite struct VoteRecoveryRules {
    private func lost() -> DrivenAgent {
        var node = DrivenAgent(node: 3, voters: [1, 2, 3]) { $0.mayVote = false }
        for other: UInt32 in [1, 2, 4] { node.meet(other) }
        node.joinAnswered(by: 1, configuration: node.status.committed)
        return node
    }

    private func question(_ node: DrivenAgent, to other: UInt32) -> UInt64? {
        node.messages(to: other).compactMap { if case .voteRecover(let ask) = $0 { ask.nonce } else { nil } }.last
    }

    private func answer(_ nonce: UInt64, epoch: UInt64, holder: UInt32) -> Message {
        .voteRecoverAck(
            VoteRecoverAck(
                nonce: nonce, highestEpoch: Epoch(epoch),
                promise: Promise(
                    epoch: Epoch(epoch), holder: NodeBoot(node: NodeID(holder), boot: Boot(1)), released: false),
                floor: .none, admissions: [], committed: VoterSet(version: 2, voters: [1, 2, 3].map { NodeID($0) }),
                pending: nil))
    }

    @Test("Nobody is asked before one promise has passed") func waits() {
        var node = lost()
        node.pass(node.timing.promise - .milliseconds(20))
        #expect(question(node, to: 1) == nil)
        node.pass(.milliseconds(100))
        #expect(question(node, to: 1) != nil)
        #expect(question(node, to: 2) != nil)
    }

    @Test("Every other voter, and every holder they name, has to answer") func everybody() throws {
        var node = lost()
        node.pass(node.timing.promise * 2)
        let nonce = try #require(question(node, to: 1))
        node.hear(answer(nonce, epoch: 8, holder: 4), from: 1)
        #expect(!node.status.mayVote)
        #expect(node.status.waits.first { $0.kind == .noVote }?.nodes == [NodeID(2), NodeID(4)])
        node.hear(answer(nonce &+ 1, epoch: 9, holder: 4), from: 2)
        #expect(!node.status.mayVote, "another question's answer")
        node.hear(answer(nonce, epoch: 9, holder: 4), from: 2)
        #expect(!node.status.mayVote, "the holder counts acknowledgements that only it knows of")
        node.hear(answer(nonce, epoch: 8, holder: 4), from: 4)
        #expect(node.status.mayVote)
        #expect(node.reports.contains(.voteRestored))
    }

    /// Node 1 held epoch 8 and is gone for good; node 5 slept through the election of node 2 and the new voters.
    @Test("A holder that nobody names any more is not waited for") func holderThatIsGone() throws {
        var node = DrivenAgent(node: 3, voters: [2, 3, 4, 5, 6]) { $0.mayVote = false }
        for other: UInt32 in [2, 4, 5, 6] { node.meet(other) }
        node.joinAnswered(by: 2, configuration: node.status.committed)
        node.pass(node.timing.promise + node.timing.renew)
        let nonce = try #require(question(node, to: 5))
        for other: UInt32 in [2, 4, 6] { node.hear(answer(nonce, epoch: 9, holder: 2), from: other) }
        node.hear(answer(nonce, epoch: 8, holder: 1), from: 5)
        #expect(node.status.waits.first { $0.kind == .noVote }?.nodes == [NodeID(1)])
        node.forgetSent()
        node.pass(node.timing.promise)
        #expect(question(node, to: 5) == nonce, "whoever answered is asked again")
        node.hear(answer(nonce, epoch: 9, holder: 2), from: 5)
        #expect(node.status.mayVote)
        #expect(node.disk?.floor == Epoch(9))
    }

    @Test("Nothing at or below the highest promise is granted again; its elected holder is acknowledged")
    func floor() throws {
        var node = lost()
        node.pass(node.timing.promise * 2)
        let nonce = try #require(question(node, to: 1))
        node.hear(answer(nonce, epoch: 8, holder: 1), from: 1)
        node.hear(answer(nonce, epoch: 6, holder: 1), from: 2)
        #expect(node.busyWakes == 0)
        #expect(node.disk?.floor == Epoch(8))
        #expect(node.disk?.mayVote == true)
        let hash = node.status.committed.map(node.agent.hash) ?? 0
        node.hear(.voteRequest(VoteRequest(epoch: Epoch(8), nonce: 2, configurationHash: hash)), from: 2)
        #expect(node.disk?.promise == nil, "never again that epoch")
        node.renew(7, of: 2)
        #expect(!node.acknowledgedRenew, "a holder that was surpassed")
        node.renew(8, of: 1)
        #expect(node.acknowledgedRenew)
        node.pass(node.timing.promise + .milliseconds(10))
        node.hear(.voteRequest(VoteRequest(epoch: Epoch(9), nonce: 3, configurationHash: hash)), from: 2)
        #expect(
            node.disk?.promise
                == Promise(epoch: Epoch(9), holder: NodeBoot(node: NodeID(2), boot: Boot(1)), released: false))
    }

    @Test("The only voter has nobody to ask") func alone() {
        var node = DrivenAgent(node: 1, voters: [1]) { $0.mayVote = false }
        node.meet(2)
        node.joinAnswered(by: 2, configuration: node.status.committed)
        node.pass(.seconds(2))
        #expect(question(node, to: 2) == nil)
        #expect(node.status.waits.first { $0.kind == .noVote }?.nodes == [NodeID(1)])
    }

    @Test("Who has no vote, or has not joined, answers nobody") func onlyIntactVotersAnswer() {
        for mayVote in [true, false] {
            var node = DrivenAgent(node: 1, voters: [1, 2, 3]) { $0.mayVote = mayVote }
            node.meet(3)
            node.hear(.voteRecover(VoteRecover(nonce: 7)), from: 3)
            let answered = node.messages(to: 3).contains { if case .voteRecoverAck = $0 { true } else { false } }
            #expect(answered == mayVote)
        }
    }
}
