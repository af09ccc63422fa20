import CsnapCore
import Testing

@Suite struct AgentTests {
    private static let cluster = Bits128(high: 42, low: 42)

    private func grownGroup() -> AgentGroup {
        var group = AgentGroup(nodes: [1, 2, 3])
        for node in group.nodes { group.start(node) }
        group.command(.found(cluster: Self.cluster), at: 1)
        let grown = group.run(.seconds(20)) { group in
            [1, 2, 3].allSatisfy { group.status($0)?.committed?.voters.count == 3 }
        }
        #expect(grown, "three voters")
        for node in group.nodes { group.attachClient(node) }
        let resumed = group.run(.seconds(5)) { group in
            [1, 2, 3].allSatisfy { group.status($0)?.clientsResumed == true }
        }
        #expect(resumed, "all clients resumed")
        return group
    }

    @Test func founderServesAloneAtOnce() {
        var group = AgentGroup(nodes: [1])
        group.start(1)
        group.command(.found(cluster: Self.cluster), at: 1)
        #expect(group.run(.seconds(1)) { $0.activeServers == [1] })
    }

    @Test func groupGrowsToThreeVoters() {
        let group = grownGroup()
        #expect(group.activeServers == [1])
        #expect(group.status(3)?.committed?.voters == [NodeID(1), NodeID(2), NodeID(3)])
    }

    @Test func lowestSurvivorTakesOver() {
        var group = grownGroup()
        group.crash(1)
        #expect(group.run(.seconds(2)) { $0.activeServers == [2] })
        #expect(
            group.run(.seconds(2)) { group in [2, 3].allSatisfy { group.status($0)?.clientsResumed == true } })
    }

    @Test func lowerIdJoinsAndMovesNothing() {
        var group = AgentGroup(nodes: [1, 2, 3])
        group.start(2)
        group.start(3)
        group.command(.found(cluster: Self.cluster), at: 2)
        #expect(group.run(.seconds(2)) { $0.activeServers == [2] })
        group.start(1)
        _ = group.run(.seconds(10))
        #expect(group.activeServers == [2])
        #expect(group.status(1)?.claim?.server.node == NodeID(2))
    }

    @Test func fiveNodesGrowToFiveVoters() {
        var group = AgentGroup(nodes: [1, 2, 3, 4, 5])
        for node in group.nodes { group.start(node) }
        group.command(.found(cluster: Self.cluster), at: 3)
        #expect(
            group.run(.seconds(60)) { group in
                group.nodes.allSatisfy { group.status($0)?.committed?.voters.count == 5 }
            })
    }
}
