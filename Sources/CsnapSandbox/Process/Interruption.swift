import Glibc
import Synchronization

/// Whether a person pressed Ctrl-C, or SIGTERM or SIGHUP came.
package enum Interruption {
    private static let requested = Atomic<Bool>(false)

    package static var isRequested: Bool { requested.load(ordering: .relaxed) }

    /// From now on those signals only set the flag; everything that waits looks at it.
    package static func watch() {
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { _ in Interruption.requested.store(true, ordering: .relaxed) }
        }
        signal(SIGPIPE, SIG_IGN)
    }
}
