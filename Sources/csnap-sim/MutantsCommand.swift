import ArgumentParser
import CsnapCore
import CsnapDataSimulation
import CsnapSimulation
import Glibc

/// Every rule of the agreement, of the data path and of the store is removed, each in a child process.
struct MutantsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mutants",
        abstract: "Remove each rule in turn; some check must notice. Needs CSNAP_MUTANTS=1.",
        discussion: "Those of the agreement, then of the data path and of the store.")

    @Option(help: "Seeds of the agreement to try for each mutant.") var seeds: UInt64 = 300
    @Option(help: "Only this one.") var only: String?
    @Flag(help: .hidden) var child = false
    @Flag(help: "Remove nothing: every plan of the agreement must then pass, or a catch means nothing.")
    var control = false
    @Flag(help: "Print the trace of the seed that catches it.") var trace = false
    @Option(help: "Timers: lan or fast.") var profile: ProfileName = .fast
    @Option(help: "Children at a time.") var jobs = 1

    func validate() throws { if jobs < 1 || jobs > 64 { throw ValidationError("--jobs takes 1 to 64") } }

    func run() throws {
        if child, let plan = MutantPlan.all.first(where: { $0.name == only }) { return try runChild(plan) }
        var children = MutantPlan.all.map { mutant($0.name) }
        if !control {
            children += DataMutantPlan.all.map { DataCommand.mutant($0.name, "1..400", false) }
            children += StoreCommand.allMutants
        }
        children.removeAll { only != nil && $0.name != only }
        guard !children.isEmpty else { throw ValidationError("no mutant is named \(only ?? "")") }
        let tally = try MutantChildren.run(children, jobs: jobs)
        print(tally.line)
        if control ? tally.caught > 0 : tally.hasMisses { throw ExitCode(1) }
    }

    private func mutant(_ name: String) -> MutantChildren.Child {
        MutantChildren.Child(
            name: name,
            words: ["mutants", "--child", "--only", name, "--seeds", "\(seeds)", "--profile", profile.rawValue]
                + (control ? ["--control"] : []))
    }

    private func runChild(_ plan: MutantPlan) throws {
        guard control || plan.remove() else {
            throw ValidationError("this build has no mutants; build with CSNAP_MUTANTS=1")
        }
        for seed in 1...seeds {
            let result = plan.run(seed: seed, timing: profile.timing, recording: trace)
            guard let violation = result.violation else { continue }
            for line in result.lines { print(line) }
            print("  seed \(seed): \(violation.name) at\(format(violation.time)): \(violation.text)")
            throw ExitCode(1)
        }
        if let text = DirectedRules.violation(of: plan.name, timing: profile.timing) {
            print("  directed: \(text)")
            throw ExitCode(1)
        }
    }
}
