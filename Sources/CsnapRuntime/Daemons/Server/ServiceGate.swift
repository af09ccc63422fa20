package import CsnapCore
import Glibc
import Synchronization

/// The deadlines of this server's tenure, checked before each accept, store write and reply (docs/protocol.md §5.6,
/// docs/data-plane.md, "Fail-over rules" 7). Before START it is closed.
package final class ServiceGate: Sendable {
    private let soft = Atomic<Int64>(Instant.distantPast.nanoseconds)
    private let hard = Atomic<Int64>(Instant.distantFuture.nanoseconds)

    package init() {}

    /// START or LEASE gave new deadlines.
    package func renew(soft: Instant, hard: Instant) {
        self.soft.store(soft.nanoseconds, ordering: .sequentiallyConsistent)
        self.hard.store(hard.nanoseconds, ordering: .sequentiallyConsistent)
    }

    /// Whether anything may be accepted, written or replied. Past `soft` not, until a lease is renewed.
    package func mayServe(_ now: Instant) -> Bool {
        if Self.isWithoutLeaseCheck { return now.nanoseconds > 0 && softDeadline != .distantPast }
        return now < softDeadline && now < hardDeadline
    }

    /// Whether this process must end at once.
    package func mustExit(_ now: Instant) -> Bool {
        !Self.isWithoutLeaseCheck && now >= hardDeadline
    }

    package var softDeadline: Instant { Instant(nanoseconds: soft.load(ordering: .sequentiallyConsistent)) }
    package var hardDeadline: Instant { Instant(nanoseconds: hard.load(ordering: .sequentiallyConsistent)) }

    /// The canary: a server that serves on without a lease, so that tests prove they would notice.
    private static let isWithoutLeaseCheck: Bool = {
        #if CSNAP_MUTANTS
            return getenv("CSNAP_MUTANT").map { String(cString: $0) } == "no-server-lease-check"
        #else
            return false
        #endif
    }()
}
