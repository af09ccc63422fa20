import CsnapCore
import CsnapSimulation
import Testing

@Suite("Seeds")
struct SeedTests {
    private func run(_ seed: UInt64, seconds: Int64 = 10) -> SeedResult {
        SeedRun(seed: seed, settings: RunSettings(timing: .fast, nodes: nil, seconds: seconds)).run()
    }

    @Test("no oracle objects", arguments: UInt64(1)...20) func seeds(seed: UInt64) {
        let result = run(seed)
        #expect(result.violation == nil, "csnap-sim trace --seed \(seed) --seconds 10")
    }

    @Test("the same seed gives the same trace") func deterministic() {
        let (first, second) = (run(7), run(7))
        #expect(first.hash == second.hash)
        #expect(first.statistics[.events] == second.statistics[.events])
        #expect(run(8).hash != first.hash)
    }

    @Test("a batch meets what it is for") func notVacuous() {
        var statistics = Statistics()
        for seed in UInt64(1)...20 { statistics.add(run(seed).statistics) }
        #expect(statistics[.failovers] > 20)
        #expect(statistics[.secondFailures] > 5)
        #expect(statistics[.longPauses] > 5)
        #expect(statistics[.clientIOs] > 1000)
        #expect(statistics[.votersChanged] > 0)
    }
}
