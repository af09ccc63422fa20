import ArgumentParser
import Glibc

/// Mutants in a child process each: an assertion of the production code may end it, and that is a catch, too.
struct MutantChildren {
    struct Child {
        var name: String
        /// Arguments of this program. The child ends with 0 if nothing noticed, with 1 if something did.
        var words: [String]
    }

    /// What was tried and what was noticed.
    struct Tally {
        var mutants = 0
        var caught = 0

        /// The last line of a command.
        var line: String { "{\"mutants\": \(mutants), \"caught\": \(caught)}" }

        var hasMisses: Bool { caught < mutants }
    }

    /// Runs them, `jobs` at a time, and says of each whether it was caught.
    static func run(_ children: [Child], jobs: Int) throws -> Tally {
        var waiting = Array(children.reversed())
        var running: [pid_t: Child] = [:]
        var tally = Tally()
        while !waiting.isEmpty || !running.isEmpty {
            if running.count < jobs, let child = waiting.popLast() {
                running[try spawn(child.words)] = child
                continue
            }
            var status: Int32 = 0
            let ended = waitpid(-1, &status, 0)
            if ended < 0, errno == EINTR { continue }
            guard ended > 0, let child = running.removeValue(forKey: ended) else { throw ExitCode(2) }
            let code = status & 0x7f == 0 ? (status >> 8) & 0xff : 128
            // Any other: the child did not understand.
            guard code == 0 || code == 1 || code == 128 else { throw ExitCode(code) }
            tally.mutants += 1
            if code != 0 { tally.caught += 1 }
            print("\(child.name): \(code == 0 ? "NOT CAUGHT" : code == 1 ? "caught" : "caught by an assertion")")
        }
        return tally
    }

    private static func spawn(_ words: [String]) throws -> pid_t {
        fflush(nil)
        var arguments: [UnsafeMutablePointer<CChar>?] = (["/proc/self/exe"] + words).map { strdup($0) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        // Who ends by an assertion is expected to: nobody wants to read where.
        setenv("SWIFT_BACKTRACE", "enable=no", 1)
        var child: pid_t = 0
        guard posix_spawn(&child, "/proc/self/exe", nil, nil, arguments, environ) == 0 else { throw ExitCode(2) }
        return child
    }
}
