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
}
