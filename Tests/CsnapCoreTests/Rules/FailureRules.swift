import CsnapCore
import Testing

/// What fails again and again: servers and their stores, and the disk of the state (docs/protocol.md §5.8).
@Suite struct FailureRules {
    private func founder(starts: Bool = true) -> DrivenAgent { ServiceRules().founder(starts: starts) }

    @Test("While it leaves out, the first failure of each volume is another try in place; the next one is counted")
    func withheldInPlace() {
        var node = founder(starts: false)
        for _ in 1...2 {
            node.startServer()
            node.endServer(.storeIO)
            node.pass(.milliseconds(100))
        }
        #expect(node.status.waits.contains { $0.kind == .store })
        let before = node.starts.count
        for _ in 0..<2000 where node.starts.count == before { node.pass(.milliseconds(10)) }
        let epoch = node.starts.last?.tenure.epoch
        #expect(node.agent.leavesOut == nil && node.starts.count == before + 1, "it serves, leaving out")
        for (count, volume) in ["data", "logs"].enumerated() {
            node.startServer()
            node.step(.server(.failed(.storeIO, volume: volume, epochSeen: .none)))
            node.endServer()
            node.pass(.milliseconds(100))
            #expect(node.starts.count == before + 2 + count && node.starts.last?.tenure.epoch == epoch, "in place")
            #expect(node.status.members.first?.record.eligible == true)
        }
        node.startServer()
        node.endServer(.storeIO)
        node.pass(.milliseconds(100))
        #expect(node.status.members.first?.record.eligible == false)
        #expect(node.status.waits.contains { $0.kind == .store })
    }

    @Test("A failure that names no volume takes the name of the one before it not back")
    func failureWithoutName() {
        var node = founder(starts: false)
        for _ in 1...2 { node.endServer(.storeIO) }
        node.step(.server(.failed(.storeUnreachable, volume: "", epochSeen: .none)))
        #expect(node.status.failedVolume == "data")
    }

    @Test func whoHasVolumesAndMayNotServeIsNamed() {
        var group = AgentGroup(nodes: [1, 2, 3])
        for node in group.nodes { group.start(node) }
        group.command(.found(cluster: DrivenAgent.cluster), at: 1)
        let ready = group.run(.seconds(30)) { $0.status(3)?.committed?.voters.count == 3 && $0.activeServers == [1] }
        #expect(ready)
        for node in group.nodes { group.command(.disable, at: node) }
        let all = group.nodes.map { NodeID($0) }
        let isNamed = group.run(.seconds(30)) { group in
            group.status(1)?.waits.contains { $0.kind == .noEligible && $0.nodes == all } == true
        }
        #expect(isNamed)
    }

    @Test("A disk that goes on failing is reported when it begins, and then each 30 s") func failingDiskIsTold() {
        var node = founder()
        func told(_ node: DrivenAgent) -> Int { node.reports.count { $0 == .stateWriteFailed } }
        node.diskIsQuick = false
        node.step(.command(id: Bits128(high: 0, low: 5), .disable))
        node.failWrites()
        node.pass(.seconds(65)) { $0.failWrites() }
        #expect(told(node) == 3)
        node.diskIsQuick = true
        node.pass(.seconds(2))
        node.diskIsQuick = false
        node.step(.command(id: Bits128(high: 0, low: 6), .enable))
        node.failWrites()
        #expect(told(node) == 4)
    }

    @Test("A write that waits for a disk is the next one's; nothing happens before that is durable")
    func waitingWritesAreOne() {
        var node = founder()
        node.diskIsQuick = false
        for id: UInt64 in 1...10 {
            node.step(.command(id: Bits128(high: 1, low: id), id % 2 == 1 ? .disable : .enable))
        }
        let tokens = node.actions.compactMap { if case .persist(_, let token) = $0 { token } else { nil } }.suffix(10)
        let replies = node.replies.count
        for token in tokens.dropLast() { node.step(.persisted(token: token)) }
        #expect(node.replies.count == replies + 1, "of the one that was under way")
        if let last = tokens.last { node.step(.persisted(token: last)) }
        #expect(node.replies.count == replies + 10)
    }

    @Test("A server that fails at each load is not told of each time") func failingLoadsAreTold() {
        var node = DrivenAgent(node: 1, voters: [1, 2, 3])
        for _ in 1...200 {
            node.step(.server(.failed(.storeUnreachable, volume: "data", epochSeen: .none)))
            node.step(.serverGone)
            node.pass(.milliseconds(100))
        }
        let told = node.reports.count { $0 == .serverFailed(.storeUnreachable, volume: "data") }
        #expect((2...6).contains(told))
        node.step(.server(.failed(.storeUnreachable, volume: "logs", epochSeen: .none)))
        #expect(node.reports.contains(.serverFailed(.storeUnreachable, volume: "logs")), "that is news")
    }
}
