/// What a run is counted for; the names go into the last line of `csnap-sim data`.
package enum DataCount: Int, CaseIterable, Sendable {
    case snapshots, reads, writes, grants, grantsUnderSnapshot, probes, takeovers, secondFailures
    case refusedSnapshots, lateClients, refusedStores, fullStores, lateWrites, sweeps, welcomes, strikes, fences
    case drops, proofs, farewells
    case branches, branchWrites, branchReads, keptBases, fullBranches, withdrawnWrites, settlements
    case clientDeaths, nodeDeaths, goodbyes, brokenConnections, powerCuts, failedWrites, failedReads, commands, events

    /// The least number in 100 seeds; below it a batch has not tried what it claims to. 0: no floor.
    package var floor: Int {
        switch self {
        case .snapshots: 300
        case .reads: 20_000
        case .writes: 50_000
        case .grants, .grantsUnderSnapshot: 7_000
        case .probes: 4_000
        case .takeovers, .sweeps: 250
        case .secondFailures: 15
        case .refusedSnapshots: 800
        case .lateClients: 200
        case .lateWrites, .brokenConnections: 80
        case .welcomes: 600
        case .strikes, .nodeDeaths: 150
        case .fences: 80
        case .clientDeaths, .goodbyes, .powerCuts: 30
        case .failedReads: 100
        case .failedWrites, .fullStores: 3
        case .commands: 2_000
        case .proofs: 150
        case .farewells: 20
        case .refusedStores, .settlements, .events: 0
        case .drops: 5
        case .branches: 100
        case .branchWrites, .branchReads: 7_000
        case .keptBases: 80
        case .fullBranches, .withdrawnWrites: 150
        }
    }
}

package struct DataStatistics: Sendable {
    private var counts = [Int](repeating: 0, count: DataCount.allCases.count)

    package init() {}

    package subscript(count: DataCount) -> Int {
        get { counts[count.rawValue] }
        set { counts[count.rawValue] = newValue }
    }

    package mutating func add(_ other: DataStatistics) {
        for index in counts.indices { counts[index] += other.counts[index] }
    }

    /// Seeds below which chance alone may miss a floor.
    package static let fewestSeeds = 50

    /// What was met too seldom in that many seeds, in words.
    package func shortfalls(seeds: Int) -> [String] {
        guard seeds >= Self.fewestSeeds else { return [] }
        return DataCount.allCases.filter { self[$0] < $0.floor * seeds / 100 }.map {
            "\($0): \(self[$0]) of at least \($0.floor * seeds / 100)"
        }
    }
}
