import CsnapCore
import Testing

/// Which node may be asked to serve (docs/protocol.md §1, §5.8).
@Suite struct EligibleRules {
    private func isEligible(_ node: DrivenAgent) -> Bool { node.status.members.first?.record.eligible == true }

    private func wait(_ node: DrivenAgent) -> Wait? { node.status.waits.first { $0.kind == .serverLoad } }

    @Test("A node whose server is not loaded in time may not serve, and says so until it is") func serverDoesNotLoad() {
        var node = DrivenAgent(node: 1, voters: [1, 2, 3])
        let start = node.now
        node.pass(node.timing.reconnect - .milliseconds(1))
        #expect(isEligible(node) && wait(node) == nil)
        node.pass(.milliseconds(2))
        #expect(!isEligible(node), "another is named as successor, or claims first")
        #expect(wait(node) == Wait(kind: .serverLoad, since: start, nodes: [NodeID(1)]))
        #expect(node.busyWakes == 0)
        node.step(.server(.inert))
        #expect(isEligible(node) && wait(node) == nil)
        node.pass(node.timing.reconnect)
        #expect(isEligible(node))
        // One that ends is loaded anew, and has its time again.
        node.step(.serverGone)
        node.pass(node.timing.reconnect / 2)
        #expect(isEligible(node))
        node.pass(node.timing.reconnect)
        #expect(!isEligible(node))
    }

    @Test("A node that never serves waits for no server") func witness() {
        var node = DrivenAgent(node: 1, voters: [1, 2, 3], serves: false)
        node.pass(node.timing.reconnect * 2)
        #expect(wait(node) == nil)
        #expect(node.busyWakes == 0)
    }

    @Test("Nobody is elected, and every node names its reason, where no server loads") func nowhere() {
        var group = AgentGroup(nodes: [1, 2, 3])
        for node in group.nodes { group.start(node) }
        group.command(.found(cluster: Bits128(high: 42, low: 42)), at: 1)
        #expect(group.run(.seconds(30)) { $0.status(3)?.committed?.voters.count == 3 })
        group.hangingLoads = group.nodes
        for node: UInt32 in [2, 3] { group.deliver(.serverGone, to: node) }
        group.crash(1)
        group.start(1)
        _ = group.run(group.timing.reconnect + group.timing.promise * 4)
        for node in group.nodes {
            let kinds = group.status(node)?.waits.map(\.kind) ?? []
            #expect(kinds.contains(.serverLoad) && kinds.contains(.noEligible), "node \(node): \(kinds)")
        }
        group.hangingLoads = []
        group.deliver(.server(.inert), to: 2)
        #expect(group.run(.seconds(5)) { $0.activeServers == [2] })
    }
}
