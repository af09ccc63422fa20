import ArgumentParser
import CsnapCore
import CsnapSimulation
import Glibc

/// A rule is removed in a child process each: an assertion of the core may end it, and that is a catch, too.
struct MutantsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mutants", abstract: "Remove each rule in turn; some check must notice. Needs CSNAP_MUTANTS=1.")

    @Option(help: "Seeds to try for each mutant.") var seeds: UInt64 = 300
    @Option(help: "Only this one.") var only: String?
    @Flag(help: .hidden) var child = false
    @Flag(help: "Remove nothing: every plan must then pass, or a catch means nothing.") var control = false
    @Flag(help: "Print the trace of the seed that catches it.") var trace = false
    @Option(help: "Timers: lan or fast.") var profile: ProfileName = .fast

    func run() throws {
        let plans = MutantPlan.all.filter { only == nil || $0.name == only }
        guard !plans.isEmpty else { throw ValidationError("no mutant is named \(only ?? "")") }
        if child { return try runChild(plans[0]) }
        var caught = 0
        for plan in plans {
            let status = spawn(plan.name)
            guard status == 0 || status == 1 || status == 128 else { throw ExitCode(status) }
            if status != 0 { caught += 1 }
            let how = status == 0 ? "NOT CAUGHT" : status == 1 ? "caught" : "caught by an assertion of the core"
            print("\(plan.name): \(how)")
        }
        print("{\"mutants\": \(plans.count), \"caught\": \(caught)}")
        if control ? caught > 0 : caught < plans.count { throw ExitCode(1) }
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

    /// Starts this program again for one mutant and waits; 0 not caught, 1 caught, else ended by a signal.
    private func spawn(_ name: String) -> Int32 {
        let words =
            [
                "/proc/self/exe", "mutants", "--child", "--only", name, "--seeds", "\(seeds)",
                "--profile", profile.rawValue,
            ] + (control ? ["--control"] : [])
        fflush(nil)
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        var pid: pid_t = 0
        guard posix_spawn(&pid, "/proc/self/exe", nil, nil, arguments, environ) == 0 else { return 0 }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128
    }
}
