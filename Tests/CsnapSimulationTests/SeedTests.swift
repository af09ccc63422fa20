import CsnapCore
import CsnapSimulation
import Testing

@Suite("Seeds")
struct SeedTests {
    private func run(_ seed: UInt64, seconds: Int64 = 10) -> SeedResult {
        SeedRun(seed: seed, settings: RunSettings(timing: .fast, nodes: nil, seconds: seconds)).run()
    }

    @Test("no oracle objects, and a batch meets what it is for") func batch() {
        var statistics = Statistics()
        for seed in UInt64(1)...20 {
            let result = run(seed)
            #expect(result.violation == nil, "csnap-sim trace --seed \(seed) --seconds 10")
            statistics.add(result.statistics)
        }
        #expect(statistics[.failovers] > 20)
        #expect(statistics[.secondFailures] > 5)
        #expect(statistics[.longPauses] > 5)
        #expect(statistics[.clientIOs] > 1000)
        #expect(statistics[.votersChanged] > 0)
    }

    /// Found by long runs: each time the agents were right, and an oracle had forgotten something.
    @Test(
        "seeds that an oracle misjudged",
        arguments: [(UInt64(657_255), Int64(20)), (676_782, 20), (710_621, 20), (16249, 21)])
    func misjudged(seed: UInt64, seconds: Int64) {
        #expect(
            run(seed, seconds: seconds).violation == nil, "csnap-sim trace --seed \(seed) --seconds \(seconds)")
    }

    @Test("the same seed gives the same trace") func deterministic() {
        let (first, second) = (run(7), run(7))
        #expect(first.hash == second.hash)
        #expect(first.statistics[.events] == second.statistics[.events])
        #expect(run(8).hash != first.hash)
    }

    @Test("too few of anything is told, in batches large enough to judge") func shortfalls() {
        let empty = Statistics()
        #expect(empty.shortfalls(seeds: Statistics.fewestSeeds - 1).isEmpty)
        let told = empty.shortfalls(seeds: 3_000)
        #expect(told.contains("failovers: 0 of at least 9000"))
        #expect(told.contains("grant replayed: 0 of at least 100"))
    }

    @Test("a failing seed is shrunk to the faults and the time it needs") func shrunk() {
        let settings = RunSettings(timing: .fast, nodes: 3, seconds: 30)
        let needed = FaultClass.allCases.filter { SeedRun(seed: 7, settings: settings).faults[$0] }[1]
        let violation = Violation(rule: 4, time: 12_000_000_000, text: "")
        let small = settings.shrunk(seed: 7, violation: violation) { settings in
            if settings.without.contains(needed) || settings.seconds < 5 { return nil }
            return Violation(rule: 4, time: 4_000_000_000, text: "")
        }
        #expect(!small.without.contains(needed))
        #expect(
            small.without.count == FaultClass.allCases.filter { SeedRun(seed: 7, settings: settings).faults[$0] }.count
                - 1)
        #expect(small.seconds == 5)
        #expect(small.options.hasPrefix("--seconds 5 --nodes 3 --without "))
    }

    @Test("faults that are left out do not happen") func without() {
        var settings = RunSettings(timing: .fast, nodes: 3, seconds: 5)
        settings.without = FaultClass.allCases
        let statistics = SeedRun(seed: 7, settings: settings).run().statistics
        // One node may be left dead when the faults end.
        #expect(statistics[.crashes] <= 1)
        #expect(statistics[.longPauses] == 0)
        #expect(statistics[.packetsLost] == 0)
        #expect(statistics[.clientIOs] > 0)
    }

    @Test("a run can be drawn: lanes, messages, epochs") func drawn() {
        let run = SeedRun(seed: 7, settings: RunSettings(timing: .fast, nodes: 3, seconds: 5), recording: true)
        let result = run.run()
        let page = run.world.drawing.page(title: "a < b", nodes: 3, end: result.simulated, seconds: 2)
        #expect(page.contains("node 3"))
        #expect(page.contains("a &lt; b"))
        #expect(page.contains("<title>epoch "))
        #expect(page.contains("clientLeaseAck"))
        #expect(!page.contains("<script"))
    }
}
