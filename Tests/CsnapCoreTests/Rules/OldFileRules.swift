import CsnapCore
import Testing

/// A state file that was put back from a backup, as far as its node can be told so (docs/protocol.md §1, §6).
@Suite struct OldFileRules {
    private func oldBoots(_ node: DrivenAgent, to other: UInt32) -> [Boot] {
        node.messages(to: other).compactMap { if case .bootTooOld(let answer) = $0 { answer.highest } else { nil } }
    }

    private func boot(of other: UInt32, _ node: DrivenAgent) -> Boot? {
        node.status.members.first { $0.record.process.node == NodeID(other) }?.record.process.boot
    }

    /// Node 1, holder of epoch 11; nodes 2 and 3 (boot 5) grant, acknowledge its renewals and its tables.
    private func holder() -> DrivenAgent {
        var node = DrivenAgent(node: 1, voters: [1, 2, 3]) { $0.highestEpoch = Epoch(10) }
        for other: UInt32 in [2, 3] { node.meet(other, boot: 5, highestEpoch: Epoch(10)) }
        node.step(.server(.inert))
        answer(&node, for: .milliseconds(200))
        #expect(node.status.role == .holder(.active))
        #expect(node.starts.last?.tenure.epoch == Epoch(11))
        return node
    }

    private func answer(_ node: inout DrivenAgent, for interval: Interval) {
        node.pass(interval) { node in
            let sent = node.sent
            node.forgetSent()
            for (to, message, _) in sent where to == 2 || to == 3 {
                guard let reply = reply(to: message, node) else { continue }
                node.hear(reply, from: to, boot: 5)
            }
            if node.status.role == .holder(.recovering), let start = node.starts.last {
                node.step(.server(.started(start.tenure, port: 7412)))
            }
        }
    }

    private func reply(to message: Message, _ node: DrivenAgent) -> Message? {
        switch message {
        case .preClaim(let ask): .preGrant(PreGrant(epoch: ask.epoch, nonce: ask.nonce))
        case .voteRequest(let ask):
            .grant(
                Grant(
                    epoch: ask.epoch, nonce: ask.nonce, promiseWas: .none, sinceRelease: .zero, admissions: [],
                    committed: node.status.committed ?? VoterSet(version: 0, voters: []), pending: nil))
        case .renew(let renew): .renewAck(RenewAck(epoch: renew.epoch, nonce: renew.nonce))
        case .table(let table): .tableAck(TableAck(epoch: table.epoch, sequence: table.sequence))
        default: nil
        }
    }

    @Test("A voter that starts again is sent the table anew, once") func tableIsRenewed() {
        var node = holder()
        func tables() -> Int { node.messages(to: 2).filter { if case .table = $0 { true } else { false } }.count }
        node.forgetSent()
        node.meet(2, boot: 6, highestEpoch: Epoch(11))
        #expect(tables() == 1)
        #expect(oldBoots(node, to: 2).isEmpty)
        guard case .table(let table) = node.messages(to: 3).last(where: { if case .table = $0 { true } else { false } })
        else { return #expect(Bool(false), "a table with a new number") }
        for other: UInt32 in [2, 3] {
            node.hear(
                .tableAck(TableAck(epoch: table.epoch, sequence: table.sequence)), from: other, boot: other == 2 ? 6 : 5
            )
        }
        node.forgetSent()
        node.meet(2, boot: 6, highestEpoch: Epoch(11))
        #expect(tables() == 0)
    }

    @Test("A holder refuses a boot whose file does not know of the epoch that it acknowledged; the next has no vote")
    func holderRefusesOldFile() {
        var node = holder()
        node.forgetSent()
        node.meet(2, boot: 6, highestEpoch: Epoch(10))
        #expect(oldBoots(node, to: 2) == [Boot(6)])
        #expect(boot(of: 2, node) == Boot(5))
        node.meet(2, boot: 7, highestEpoch: Epoch(10))
        #expect(oldBoots(node, to: 2) == [Boot(6)], "told once")
        #expect(boot(of: 2, node) == Boot(7))
    }

    @Test("A machine that is back before it is missed is no namesake, and is refused on an old file, too")
    func quickReboot() {
        var node = holder()
        node.forgetSent()
        let kernel = Bits128(high: 8, low: 8)
        node.meet(2, boot: 6, kernel: kernel, highestEpoch: Epoch(10))
        #expect(oldBoots(node, to: 2) == [Boot(6)])
        node.meet(2, boot: 7, kernel: kernel)
        #expect(boot(of: 2, node) == Boot(5), "it waits until its old kernel is missed")
        #expect(node.messages(to: 2).contains { if case .idConflict = $0 { true } else { false } })
        #expect(!node.reports.contains { if case .idConflict = $0 { true } else { false } })
    }

    @Test("A delayed Join of the boot that acknowledged says nothing") func delayedJoin() {
        var node = holder()
        node.forgetSent()
        node.meet(2, boot: 5, highestEpoch: Epoch(10))
        #expect(oldBoots(node, to: 2).isEmpty)
    }

    @Test("A voter refuses a holder that does not know of its own epoch") func voterRefusesOldFile() {
        var node = DrivenAgent(node: 3, voters: [1, 2, 3])
        node.meet(1, boot: 5, highestEpoch: Epoch(10))
        node.renew(10, of: 1, boot: 5)
        #expect(node.acknowledgedRenew)
        node.meet(1, boot: 5, highestEpoch: Epoch(9))
        #expect(oldBoots(node, to: 1).isEmpty, "delayed")
        node.meet(1, boot: 6, highestEpoch: Epoch(9))
        #expect(oldBoots(node, to: 1) == [Boot(6)])
        node.meet(1, boot: 7, highestEpoch: .none)
        #expect(oldBoots(node, to: 1) == [Boot(6)])
        #expect(boot(of: 1, node) == Boot(7))
    }

    @Test("A node that lost its file is told of its boot once, though it knows of no epoch") func lostFile() {
        var node = holder()
        node.forgetSent()
        node.meet(2, boot: 1)
        #expect(oldBoots(node, to: 2) == [Boot(5)])
        node.meet(2, boot: 6)
        #expect(oldBoots(node, to: 2) == [Boot(5)])
        #expect(boot(of: 2, node) == Boot(6))
    }
}
