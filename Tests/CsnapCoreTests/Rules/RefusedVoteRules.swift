import CsnapCore
import Testing

/// Voters that are there and cannot vote; `why` names them on every node (docs/troubleshooting.md, "Waits").
@Suite struct RefusedVoteRules {
    enum Trouble: CaseIterable {
        case oneDownOneWithoutFile
        case twoWithoutFile
        case holderDownOneDiskFails
        case majorityDown
        case nobodyMayServe

        func happen(to group: inout AgentGroup) {
            switch self {
            case .oneDownOneWithoutFile:
                group.crash(2)
                loseFile(of: 3, &group)
            case .twoWithoutFile: for node: UInt32 in [2, 3] { loseFile(of: node, &group) }
            case .holderDownOneDiskFails:
                group.failingDisks = [3]
                group.crash(1)
            case .majorityDown: for node: UInt32 in [2, 3] { group.crash(node) }
            case .nobodyMayServe: for node: UInt32 in [1, 2, 3] { group.command(.disable, at: node) }
            }
        }

        private func loseFile(of node: UInt32, _ group: inout AgentGroup) {
            group.crash(node)
            group.loseStateFile(node)
            group.start(node)
            // It may be told that its number was in use, and ends.
            if group.run(.seconds(1), until: { $0.status(node) == nil }) { group.start(node) }
        }
    }

    private func group(_ trouble: Trouble) -> AgentGroup {
        var group = AgentGroup(nodes: [1, 2, 3])
        for node in group.nodes { group.start(node) }
        group.command(.found(cluster: Bits128(high: 42, low: 42)), at: 1)
        #expect(group.run(.seconds(30)) { $0.status(3)?.committed?.voters.count == 3 })
        trouble.happen(to: &group)
        _ = group.run(group.timing.promise * 4)
        _ = group.run(.seconds(3))
        return group
    }

    private func wait(_ kind: Wait.Kind, at node: UInt32, _ group: AgentGroup) -> Wait? {
        group.status(node)?.waits.first { $0.kind == kind }
    }

    @Test("Where nobody serves for three promises, every node names a reason", arguments: Trouble.allCases)
    func always(trouble: Trouble) {
        var group = group(trouble)
        for _ in 1...50 {
            _ = group.run(.milliseconds(37))
            #expect(group.activeServers.isEmpty)
            for node in group.nodes where group.status(node) != nil {
                let kinds = group.status(node)?.waits.map(\.kind) ?? []
                let reasons = kinds.filter { ![.suspended, .noVote, .disabled, .voterDown].contains($0) }
                #expect(!reasons.isEmpty, "\(trouble), node \(node): \(kinds)")
            }
        }
    }

    @Test("A voter without its file is named beside the one that is down") func withoutFile() {
        let group = group(.oneDownOneWithoutFile)
        #expect(wait(.votersRefuse, at: 1, group)?.nodes == [NodeID(2), NodeID(3)])
        #expect(wait(.votersRefuse, at: 3, group)?.nodes == [NodeID(2), NodeID(3)])
    }

    @Test("Two voters without their files are named on all nodes") func twoWithoutFile() {
        let group = group(.twoWithoutFile)
        for node in group.nodes {
            #expect(wait(.votersRefuse, at: node, group)?.nodes == [NodeID(2), NodeID(3)], "node \(node)")
        }
    }

    @Test("A voter whose disk fails costs no candidate its epochs, and votes when the disk is mended")
    func failingDisk() {
        var group = group(.holderDownOneDiskFails)
        #expect(wait(.votersRefuse, at: 2, group)?.nodes == [NodeID(1), NodeID(3)])
        func claims() -> Int {
            group.reports[2]?.filter { if case .claiming = $0 { true } else { false } }.count ?? 0
        }
        let before = claims()
        _ = group.run(.seconds(60))
        #expect(claims() == before)
        group.failingDisks = []
        #expect(group.run(.seconds(20)) { $0.activeServers == [2] })
    }
}
