import CsnapCore
import Testing

/// Numbers that nobody reaches by counting, from whoever has the key (docs/protocol.md §8, invariant 24).
@Suite struct ExtremeRules {
    @Test(
        "A holder goes on from no version of a voter set that cannot be counted on", arguments: [1 << 62, UInt64.max])
    func extremeVersion(version: UInt64) throws {
        var node = ServiceRules().founder()
        for other: UInt32 in [2, 3] { node.meet(other) }
        let set = VoterSet(version: version, voters: [NodeID(1)])
        node.hear(.news([.configuration(set)]), from: 2)
        node.hear(.syncPage(SyncPage(records: [], claim: nil, configuration: set, wantsAnswer: false)), from: 2)
        node.hear(.configCommit(ConfigCommit(epoch: Epoch(1), committed: set)), from: 2)
        var proposed: VoterSet?
        node.pass(node.timing.stable * 2) { node in
            let sent = node.sent
            node.forgetSent()
            for (to, message, _) in sent {
                if case .configPropose(let propose) = message { proposed = propose.proposed }
                guard case .renew(let renew) = message else { continue }
                node.hear(.renewAck(RenewAck(epoch: renew.epoch, nonce: renew.nonce)), from: to)
            }
        }
        #expect(proposed == VoterSet(version: 2, voters: [1, 2, 3].map { NodeID($0) }))
        let disk = try #require(node.disk)
        #expect(try StoredStateCodec.decode(StoredStateCodec.encode(disk)) == disk)
    }

    @Test("No version is read beyond those that can be written and read again") func versionOnTheWire() throws {
        for (version, isRead) in [(Limits.version, true), (Limits.version + 1, false), (.max, false)] {
            var writer = ByteWriter()
            writer.value(VoterSet(version: version, voters: [NodeID(1)]))
            var reader = ByteReader(writer.bytes)
            #expect(((try? reader.value(VoterSet.self)) != nil) == isRead, "\(version)")
        }
    }

    @Test("A candidate goes on from no epoch that cannot be counted on, and its file can be read again")
    func extremeEpoch() throws {
        var node = DrivenAgent(node: 1, voters: [1])
        node.meet(2, highestEpoch: Epoch(Limits.epoch))
        let last = NodeBoot(node: NodeID(2), boot: Boot(1))
        let tenure = Tenure(epoch: Epoch(Limits.epoch), round: Round(1))
        let claim = Claim(
            tenure: tenure, phase: .active, server: last, serviceAddress: DrivenAgent.address(2),
            configurationVersion: 2)
        node.hear(.release(Release(epoch: tenure.epoch, holder: last)), from: 2)
        node.hear(.news([.claim(claim)]), from: 2)
        node.renew(Limits.epoch, of: 2)
        node.step(.server(.inert))
        node.pass(.seconds(2))
        #expect(node.starts.last?.tenure.epoch == Epoch(1))
        let disk = try #require(node.disk)
        #expect(try StoredStateCodec.decode(StoredStateCodec.encode(disk)) == disk)
        #expect(disk.highestEpoch == Epoch(1))
    }

    @Test("No node follows a tenure that nobody reaches by counting, and passes none on")
    func extremeTenure() {
        var node = DrivenAgent(node: 1, voters: [1, 2, 3])
        node.meet(2)
        let tenure = Tenure(epoch: Epoch(Limits.epoch), round: Round(1))
        let other = NodeBoot(node: NodeID(2), boot: Boot(1))
        let claim = Claim(
            tenure: tenure, phase: .active, server: other, serviceAddress: DrivenAgent.address(2),
            configurationVersion: 1)
        node.hear(.news([.claim(claim)]), from: 2)
        node.hear(.recover(Recover(tenure: tenure, setHash: 1)), from: 2)
        #expect(node.status.adopted != tenure)
        node.forgetSent()
        node.pass(.seconds(3))
        let isPassedOn = node.sent.contains { _, message, _ in
            guard case .news(let items) = message else { return false }
            return items.contains { if case .claim(let passed) = $0 { passed.tenure == tenure } else { false } }
        }
        #expect(!isPassedOn)
    }

    private func invented(_ part: UInt32, epoch: UInt64) -> [AdmissionEntry] {
        (0..<UInt32(60)).map { index in
            let process = NodeBoot(node: NodeID(1_000_000 * (part + 1) + index), boot: Boot(1))
            return AdmissionEntry(process: process, epoch: Epoch(epoch), status: .admitted)
        }
    }

    @Test("Invented ids of an epoch that was never promised do not make a voter's Grant too large to leave")
    func inventedAdmissions() throws {
        var node = DrivenAgent(node: 3, voters: [1, 2, 3])
        for other: UInt32 in [1, 2] { node.meet(other) }
        for part in 0..<UInt32(10) {
            node.hear(.table(Table(epoch: Epoch(5), sequence: 1, entries: invented(part, epoch: 5))), from: 1)
        }
        node.renew(6, of: 1)
        let committed = try #require(node.status.committed)
        let proposed = VoterSet(version: 3, voters: committed.voters)
        for part in 10..<UInt32(20) {
            node.hear(
                .configPropose(
                    ConfigPropose(
                        epoch: Epoch(6), committed: committed, proposed: proposed,
                        admissions: invented(part, epoch: 6))), from: 1)
        }
        node.forgetSent()
        node.hear(.voteRecover(VoteRecover(nonce: 7)), from: 2)
        let answer = try #require(node.messages(to: 2).first { if case .voteRecoverAck = $0 { true } else { false } })
        #expect(MessageCodec.encodedSize(answer) <= Limits.payload)
        // What fits is taken all the same.
        let known = try #require(node.disk?.admissions.entries.first)
        let evicted = AdmissionEntry(process: known.process, epoch: Epoch(6), status: .evicted(.left))
        node.hear(.table(Table(epoch: Epoch(6), sequence: 2, entries: [evicted])), from: 1)
        #expect(node.messages(to: 1).contains { if case .tableAck = $0 { true } else { false } })
        #expect(node.disk?.admissions[known.process.node] == evicted)
    }
}
