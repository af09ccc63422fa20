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

    private func kill(_ node: inout DrivenAgent, times: Int) {
        for _ in 0..<times {
            let starts = node.starts.count
            node.step(.serverGone)
            node.step(.server(.inert))
            node.pass(.milliseconds(100))
            if let start = node.starts.last, node.starts.count > starts {
                node.step(.server(.started(start.tenure, port: 7412)))
            }
        }
    }

    @Test("A server that ends without a word again and again, each time after it started, makes its node back off")
    func endsAfterItsStart() {
        var node = ServiceRules().founder()
        kill(&node, times: 23)
        #expect(node.starts.last?.tenure == Tenure(epoch: Epoch(1), round: Round(24)), "in place, at once")
        #expect(node.status.role == .holder(.active))
        kill(&node, times: 1)
        #expect(!isEligible(node), "another node serves")
        let wait = node.status.waits.first { $0.kind == .store }
        #expect(wait != nil && node.status.serverFailure == nil)
        #expect(node.status.role != .holder(.recovering))
    }

    @Test("Silent ends are forgotten when a server has served for a while, and with their epoch")
    func silentEndsAreForgotten() {
        var node = ServiceRules().founder()
        kill(&node, times: 20)
        node.pass(node.timing.reconnect + .milliseconds(100))
        kill(&node, times: 20)
        #expect(node.starts.last?.tenure.epoch == Epoch(1))
        #expect(isEligible(node))
        // The service ends here and comes back.
        node.meet(2)
        node.step(.command(id: Bits128(high: 0, low: 9), .transfer(NodeID(2))))
        node.step(.serverGone)
        node.step(.server(.inert))
        node.pass(.seconds(2)) { node in
            if let start = node.starts.last { node.step(.server(.started(start.tenure, port: 7412))) }
        }
        #expect(node.starts.last?.tenure.epoch == Epoch(2))
        kill(&node, times: 20)
        #expect(node.starts.last?.tenure.epoch == Epoch(2))
    }

    @Test("A failure of long ago is not the first of a row") func oldFailures() {
        var node = DrivenAgent(node: 1, voters: [1, 2, 3])
        for pause in [601, 601, 500, 1] as [Int64] {
            #expect(isEligible(node))
            node.step(.server(.failed(.storeIO, volume: "data", epochSeen: .none)))
            node.step(.serverGone)
            node.step(.server(.inert))
            node.sleep(.seconds(pause))
            node.pass(.milliseconds(10))
            #expect(node.busyWakes == 0)
        }
        #expect(!isEligible(node), "two within ten minutes are one")
    }
}
