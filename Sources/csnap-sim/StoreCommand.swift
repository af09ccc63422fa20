import ArgumentParser
import CsnapStore
import CsnapStoreSimulation
import Glibc

/// The snapshot store on simulated disks: power failures, late writes of dead servers, destroyed bytes.
struct StoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store", abstract: "The snapshot store's crash images, late writes and flipped bytes.")

    @Option(help: "Operations of each sequence of crash images.") var length = 2
    @Option(help: "Only every n-th sequence.") var stride = 1
    @Flag(help: "Remove each rule in turn; something must notice. Needs CSNAP_MUTANTS=1.") var mutants = false
    @Option(help: .hidden) var child: String?

    func run() throws {
        if mutants { return try runMutants() }
        if let child { try remove(child) }
        var images = try CrashImages()
        images.enumerate(length: length, stride: stride, StoreOperation.alphabet)
        try tell("crash images", images.report)
        var late = try LateWrites()
        late.enumerate()
        try tell("late writes", late.report)
        var flips = try BitFlips()
        flips.enumerate(stride: 7)
        try tell("flipped bytes", flips.report)
        if let problem = try StoreRules.problem() {
            print("rules: \(problem)")
            throw ExitCode(1)
        }
    }

    private func tell(_ what: String, _ report: ImageReport) throws {
        print("\(what): \(report.sequences) sequences, \(report.images) images, \(report.problems.count) problems")
        guard let first = report.problems.first else { return }
        print("  \(first)")
        throw ExitCode(1)
    }

    private func remove(_ name: String) throws {
        #if CSNAP_MUTANTS
            StoreMutants.removed = StoreMutant(rawValue: name)
        #else
            throw ValidationError("this build has no mutants; build with CSNAP_MUTANTS=1")
        #endif
    }

    /// Each in a child process: an assertion of the store may end it, and that is a catch, too.
    private func runMutants() throws {
        var caught = 0
        for mutant in StoreMutant.allCases {
            let words = ["/proc/self/exe", "store", "--length", "1", "--child", mutant.rawValue]
            fflush(nil)
            var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
            arguments.append(nil)
            defer { for argument in arguments { free(argument) } }
            var child: pid_t = 0
            guard posix_spawn(&child, "/proc/self/exe", nil, nil, arguments, environ) == 0 else { throw ExitCode(2) }
            var status: Int32 = 0
            while waitpid(child, &status, 0) < 0, errno == EINTR {}
            if status != 0 { caught += 1 }
            print("\(mutant.rawValue): \(status == 0 ? "NOT CAUGHT" : "caught")")
        }
        print("{\"mutants\": \(StoreMutant.allCases.count), \"caught\": \(caught)}")
        if caught < StoreMutant.allCases.count { throw ExitCode(1) }
    }
}
