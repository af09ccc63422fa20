import ArgumentParser
import CsnapCore
import CsnapSimulation
import Glibc

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run many seeds; the last line is one JSON object.")

    @Option(help: "Seeds, as FIRST..LAST.") var seeds: String = "1..100"
    @Option(help: "Threads.") var jobs = 1
    @Option(help: "Stop after that many failures.") var failures = 20
    @OptionGroup var world: WorldArguments

    func validate() throws {
        if range == nil { throw ValidationError("--seeds takes FIRST..LAST, for example 1..3000") }
        if jobs < 1 || jobs > 64 { throw ValidationError("--jobs takes 1 to 64") }
        if let nodes = world.nodes, nodes < 1 || nodes > 64 { throw ValidationError("--nodes takes 1 to 64") }
    }

    private var range: ClosedRange<UInt64>? {
        let parts = seeds.split(separator: ".", omittingEmptySubsequences: true)
        guard let first = parts.first.flatMap({ UInt64($0) }), let last = parts.last.flatMap({ UInt64($0) }),
            parts.count <= 2, first <= last
        else { return nil }
        return first...last
    }

    func run() async throws {
        guard let range else { return }
        let settings = world.settings
        let limit = failures
        let floors = world.nodes == nil && world.seconds >= 30
        let start = ContinuousClock.now
        let stride = UInt64(jobs)
        let batches = await withTaskGroup(of: Batch.self) { group in
            for job in 0..<stride {
                group.addTask {
                    var batch = Batch()
                    var seed = range.lowerBound + job
                    while seed <= range.upperBound, batch.failed.count < limit {
                        batch.run(seed, settings)
                        seed += stride
                    }
                    return batch
                }
            }
            var all = Batch(hasFloor: floors)
            for await batch in group { all.add(batch) }
            return all
        }
        batches.print(elapsed: start.duration(to: .now), settings, profile: world.profile)
        if !batches.failed.isEmpty || !batches.shortfalls.isEmpty { throw ExitCode(1) }
    }
}

/// Processor time of all threads so far: what a core does in a second, however many others want it too.
private func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// The results of some seeds.
struct Batch: Sendable {
    var seeds = 0
    var failed: [SeedResult] = []
    var statistics = Statistics()
    var simulated: TrueTime = 0
    /// Of all traces, whatever their order: two builds that agree in it behaved alike.
    var hash: UInt64 = 0
    var hasFloor = false

    mutating func run(_ seed: UInt64, _ settings: RunSettings) {
        var result = SeedRun(seed: seed, settings: settings).run()
        if seed % 100 == 0 {
            let again = SeedRun(seed: seed, settings: settings).run()
            if again.hash != result.hash {
                result.violation = Violation(rule: 0, time: 0, text: "the same seed gave another trace")
            }
        }
        seeds += 1
        simulated += result.simulated
        hash ^= result.hash
        statistics.add(result.statistics)
        if result.violation != nil { failed.append(result) }
    }

    mutating func add(_ other: Batch) {
        seeds += other.seeds
        failed = (failed + other.failed).sorted { $0.seed < $1.seed }
        statistics.add(other.statistics)
        simulated += other.simulated
        hash ^= other.hash
    }

    /// What was tried too seldom for that many seeds; other lengths and sizes than the usual ones have no floor.
    var shortfalls: [String] { hasFloor ? statistics.shortfalls(seeds: seeds) : [] }

    func print(elapsed: Duration, _ settings: RunSettings, profile: ProfileName) {
        for (index, result) in failed.enumerated() {
            guard let violation = result.violation else { continue }
            Swift.print("seed \(result.seed): \(violation.name) at\(format(violation.time)): \(violation.text)")
            Swift.print("    \(result.nodes) nodes, faults: \(result.faults)")
            // Shrinking takes as long as some thirty seeds; the first few failures are enough to begin with.
            let small = index < 3 ? settings.shrunk(seed: result.seed, violation: violation) : settings
            Swift.print("    csnap-sim trace --seed \(result.seed) --profile \(profile.rawValue) \(small.options)")
        }
        let missed = shortfalls
        for text in missed { Swift.print("too seldom: \(text)") }
        let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
        let rate = Double(simulated) / 1e9 / max(seconds, 1e-9)
        let perCore = Double(simulated) / 1e9 / max(processorSeconds(), 1e-9)
        let counts = Count.allCases.map { "\"\($0)\": \(statistics[$0])" }.joined(separator: ", ")
        Swift.print(
            """
            {"seeds": \(seeds), "failed": \(failed.count), "shortfalls": \(missed.count), \(counts), \
            "clusterSecondsPerSecond": \(Int(rate)), "perCoreSecond": \(Int(perCore)), \
            "hash": "\(String(hash, radix: 16))"}
            """)
    }
}
