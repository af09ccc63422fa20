import CShims
import CsnapStore
import Glibc

/// Places before and after each durable step of a server and of an agent's state file, at which tests let a process
/// fail (docs/testing.md §12). In every build without CSNAP_MUTANTS they are nothing at all.
///
/// The file `failpoint` in the runtime directory arms one: its step, its side, what happens. Whoever gets there removes
/// the file, so that it happens once.
package enum Failpoints {
    package enum Side: String, CaseIterable, Sendable { case before, after }

    /// Making what a server has written durable.
    static let flush = "flush"
    /// The agent's state file.
    package static let state = "state"

    @inline(__always)
    static func watch(_ runtimeDirectory: String) {
        #if CSNAP_MUTANTS
            path = runtimeDirectory + "/" + file
        #endif
    }

    /// 0, or the errno that the step is to fail with.
    @inline(__always)
    static func reach(_ step: @autoclosure () -> String, _ side: Side) -> Int32 {
        #if CSNAP_MUTANTS
            fail(step(), side)
        #else
            0
        #endif
    }

    /// The step itself: 0 or an errno.
    @inline(__always)
    static func around(_ step: @autoclosure () -> String, _ body: () -> Int32) -> Int32 {
        let before = reach(step(), .before)
        if before != 0 { return before }
        let result = body()
        return result != 0 ? result : reach(step(), .after)
    }
}

#if CSNAP_MUTANTS
    extension Failpoints {
        package enum Action: String, CaseIterable, Sendable { case kill, stall, eio, enospc }

        package static let file = "failpoint"
        /// What is written once in a blue moon has no name of its own.
        package static let steps = StoreStep.allCases.filter { $0 != .other }.map(\.rawValue) + [flush, state]
        /// Reached when a tenure begins, and at no other time.
        package static let ofTaking = [StoreStep.claim.rawValue, StoreStep.taking.rawValue]
        /// Milliseconds; far more than a lease in the profile `fast`.
        private static let stall: Int32 = 1000

        // Set once, before any thread runs; then only read.
        nonisolated(unsafe) private static var path: String?

        private static func fail(_ step: String, _ side: Side) -> Int32 {
            guard let path, let text = try? Files.read(path, limit: 128) else { return 0 }
            let words = String(decoding: text, as: UTF8.self).split(separator: " ").map(String.init)
            guard words.count == 3, words[0] == step, words[1] == side.rawValue else { return 0 }
            guard let action = Action(rawValue: words[2]), unlink(path) == 0 else { return 0 }
            switch action {
            case .kill: kill(getpid(), SIGKILL)
            case .stall: csnap_pause(stall)
            case .eio: return EIO
            case .enospc: return ENOSPC
            }
            return 0
        }
    }
#endif
