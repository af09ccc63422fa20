import ArgumentParser
import CsnapDataSimulation
import CsnapSimulation
import Glibc

/// The snapshot path in a simulated world: clients, sessions, server and store.
struct DataCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data",
        abstract: "Snapshots, writes and reads through every fault; the last line is one JSON object.")

    @Option(help: "Seeds, as FIRST..LAST, or one.") var seeds: String = "1..100"
    @Option(help: "Simulated seconds with faults.") var seconds: Int64 = 10
    @Option(help: "Threads.") var jobs = 1
    @Option(help: "Stop after that many failures.") var failures = 20
    @Flag(help: "Print what happens under each seed.") var trace = false
    @Option(help: "Print only the last N lines of it.") var last: Int?
    @Flag(help: "Remove each rule in turn; something must notice. Needs CSNAP_MUTANTS=1.") var mutants = false
    @Option(help: "Only this mutant.") var only: String?
    @Flag(help: "Remove nothing: every mutant's plan must then pass, or a catch means nothing.") var control = false
    @Flag(help: .hidden) var child = false

    func validate() throws {
        if seedRange(seeds) == nil { throw ValidationError("--seeds takes FIRST..LAST, for example 1..3000") }
        if jobs < 1 || jobs > 64 { throw ValidationError("--jobs takes 1 to 64") }
    }

    func run() async throws {
        guard let range = seedRange(seeds) else { return }
        if mutants { return try child ? runChild(range) : runMutants() }
        let start = ContinuousClock.now
        let all = await withTaskGroup(of: DataBatch.self) { group in
            for job in 0..<UInt64(jobs) {
                group.addTask { batch(range, from: job) }
            }
            var all = DataBatch()
            for await batch in group { all.add(batch) }
            return all
        }
        for result in all.failed.sorted(by: { $0.seed < $1.seed }) { tell(result) }
        let missed = seconds >= 10 ? all.statistics.shortfalls(seeds: all.seeds) : []
        for text in missed { print("too seldom: \(text)") }
        let counts = DataCount.allCases.map { "\"\($0)\": \(all.statistics[$0])" }.joined(separator: ", ")
        let time = start.duration(to: .now).components.seconds
        print(
            """
            {"seeds": \(all.seeds), "failed": \(all.failed.count), "shortfalls": \(missed.count), \(counts), \
            "wallSeconds": \(time), "hash": "\(String(all.hash, radix: 16))"}
            """)
        if !all.failed.isEmpty || !missed.isEmpty { throw ExitCode(1) }
    }

    private func batch(_ range: ClosedRange<UInt64>, from job: UInt64) -> DataBatch {
        var batch = DataBatch()
        var seed = range.lowerBound + job
        while seed <= range.upperBound, batch.failed.count < failures {
            batch.add(DataRun(seed: seed, seconds: seconds, recording: trace))
            seed += UInt64(jobs)
        }
        return batch
    }

    private func tell(_ result: DataResult) {
        for line in last.map({ Array(result.lines.suffix($0)) }) ?? result.lines { print(line) }
        guard let violation = result.violation else { return }
        print("seed \(result.seed): \(violation.rule) at\(format(violation.time)): \(violation.text)")
        print("    faults: \(result.faults)")
        print("    csnap-sim data --seeds \(result.seed) --seconds \(seconds) --trace --last 200")
    }

    // MARK: - Mutants

    private func runMutants() throws {
        let names = DataMutantPlan.all.map { $0.name }.filter { only == nil || $0 == only }
        guard !names.isEmpty else { throw ValidationError("no mutant is named \(only ?? "")") }
        let tally = try MutantChildren.run(names.map { Self.mutant($0, seeds, control) }, jobs: jobs)
        print(tally.line)
        if control ? tally.caught > 0 : tally.hasMisses { throw ExitCode(1) }
    }

    static func mutant(_ name: String, _ seeds: String, _ control: Bool) -> MutantChildren.Child {
        MutantChildren.Child(
            name: name,
            words: ["data", "--mutants", "--child", "--only", name, "--seeds", seeds] + (control ? ["--control"] : []))
    }

    private func runChild(_ range: ClosedRange<UInt64>) throws {
        guard let plan = DataMutantPlan.all.first(where: { $0.name == only }) else { return }
        guard control || plan.remove() else {
            throw ValidationError("this build has no mutants; build with CSNAP_MUTANTS=1")
        }
        for seed in range {
            let result = plan.run(seed: seed, recording: trace)
            guard let violation = result.violation else { continue }
            for line in last.map({ Array(result.lines.suffix($0)) }) ?? result.lines { print(line) }
            print("  seed \(seed): \(violation.rule) at\(format(violation.time)): \(violation.text)")
            throw ExitCode(1)
        }
    }
}

/// FIRST..LAST or one number; nil: neither.
func seedRange(_ text: String) -> ClosedRange<UInt64>? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: true)
    guard let first = parts.first.flatMap({ UInt64($0) }), let last = parts.last.flatMap({ UInt64($0) }),
        parts.count <= 2, first <= last
    else { return nil }
    return first...last
}

/// The results of some seeds.
private struct DataBatch: Sendable {
    var seeds = 0
    var failed: [DataResult] = []
    var statistics = DataStatistics()
    var hash: UInt64 = 0

    mutating func add(_ run: DataRun) {
        var result = run.run()
        if run.seed % 100 == 0, run.run().hash != result.hash {
            result.violation = DataViolation(rule: "0", time: 0, text: "the same seed gave another trace")
        }
        seeds += 1
        hash ^= result.hash
        statistics.add(result.statistics)
        if result.violation != nil || run.isRecording { failed.append(result) }
    }

    mutating func add(_ other: DataBatch) {
        seeds += other.seeds
        failed += other.failed
        hash ^= other.hash
        statistics.add(other.statistics)
    }
}
