import ArgumentParser
import CsnapStore
import CsnapStoreSimulation
import Glibc

/// The snapshot store on simulated disks: power failures, late writes of dead servers, destroyed bytes.
struct StoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store",
        abstract: "The snapshot store's crash images, late writes and flipped bytes; the last line is one JSON object.")

    /// Crash images that the usual run must have met.
    private static let floor = 100_000

    @Option(help: "Operations of each sequence of crash images.") var length = 2
    @Option(help: "Only every n-th sequence.") var stride = 1
    @Option(help: "Longer random sequences, besides.") var random: UInt64 = 100
    @Option(help: "Chains of killed servers whose writes land late.") var chains: UInt64 = 1000
    @Option(help: "Of the changes of bytes, three of each, only every n-th.") var flips = 53
    @Option(help: "A repair after every n-th byte that is changed.") var repairs = 997
    @Option(help: "Number of the first random sequence and the first chain.") var seed: UInt64 = 1
    @Option(help: "Only this part: \(StoreSuite.Part.allCases.map { $0.rawValue }.joined(separator: ", ")).")
    var only: String?
    @Option(help: "Threads.") var jobs = 1
    @Flag(help: "Remove each rule in turn; something must notice. Needs CSNAP_MUTANTS=1.") var mutants = false
    @Option(help: .hidden) var child: String?

    func validate() throws {
        if jobs < 1 || jobs > 64 { throw ValidationError("--jobs takes 1 to 64") }
        if length < 0 || length > 4 { throw ValidationError("--length takes 0 to 4") }
        if stride < 1 || flips < 1 || repairs < 1 {
            throw ValidationError("--stride, --flips and --repairs take 1 and more")
        }
        if let only, StoreSuite.Part(rawValue: only) == nil { throw ValidationError("--only knows no part \(only)") }
        if seed > 1 << 48 || random > 1 << 32 || chains > 1 << 32 {
            throw ValidationError("numbers beyond all measure")
        }
    }

    func run() async throws {
        if mutants { return try runMutants() }
        if let child { return try runWithout(child) }
        var suite = StoreSuite()
        (suite.length, suite.stride) = (length, stride)
        (suite.flipStride, suite.repairStride) = (flips, repairs)
        suite.random = seed..<seed + random
        suite.chains = seed..<seed + chains
        var problems = 0
        var images = 0
        var figures: [String] = []
        for part in StoreSuite.Part.allCases where only.map({ $0 == part.rawValue }) ?? true {
            let report = await report(of: part, suite)
            for problem in report.problems { print("\(part.rawValue): \(problem)") }
            problems += report.problems.count
            if [.crashImages, .randomImages, .killedImages].contains(part) { images += report.images }
            figures.append("\"\(part.rawValue)\": \(max(report.images, part == .rules ? report.sequences : 0))")
            if part == .crashImages { figures.append("\"sequences\": \(report.sequences)") }
            if part == .flippedBytes { figures.append("\"flipsNoticed\": \(report.sequences)") }
            if part == .repairedBytes { figures.append("\"repairs\": \(report.sequences)") }
        }
        if only == nil, length >= 2, stride == 1, images < Self.floor {
            print("too few crash images: \(images)")
            problems += 1
        }
        print("{\(figures.joined(separator: ", ")), \"problems\": \(problems)}")
        if problems > 0 { throw ExitCode(1) }
    }

    private func report(of part: StoreSuite.Part, _ suite: StoreSuite) async -> ImageReport {
        let jobs = jobs
        return await withTaskGroup(of: ImageReport.self) { group in
            for job in 0..<jobs { group.addTask { suite.run(part, job: job, of: jobs) } }
            var all = ImageReport()
            for await report in group { all.add(report) }
            return all
        }
    }

    // MARK: Mutants

    /// A child's whole life: ends at the first thing that notices.
    private func runWithout(_ name: String) throws {
        if name != Self.nothing { try remove(name) }
        for part in StoreSuite.Part.allCases {
            guard let problem = StoreSuite.small.run(part).problems.first else { continue }
            print("\(name): \(part.rawValue): \(problem)")
            throw ExitCode(1)
        }
    }

    private static let nothing = "nothing"

    private func remove(_ name: String) throws {
        #if CSNAP_MUTANTS
            guard let mutant = StoreMutant(rawValue: name) else { throw ValidationError("no mutant is named \(name)") }
            StoreMutants.removed = mutant
        #else
            throw ValidationError("this build has no mutants; build with CSNAP_MUTANTS=1")
        #endif
    }

    /// The first child removes nothing, and must pass, or a catch means nothing.
    private func runMutants() throws {
        guard try MutantChildren.run([Self.mutant(Self.nothing)], jobs: 1).caught == 0 else {
            throw ValidationError("without a mutant the same checks fail")
        }
        let tally = try MutantChildren.run(Self.allMutants, jobs: jobs)
        print(tally.line)
        if tally.hasMisses { throw ExitCode(1) }
    }

    static var allMutants: [MutantChildren.Child] { StoreMutant.allCases.map { mutant($0.rawValue) } }

    private static func mutant(_ name: String) -> MutantChildren.Child {
        MutantChildren.Child(name: name, words: ["store", "--child", name])
    }
}
