package import CsnapCore
import Glibc

/// How long the promises of this node's earlier boots lasted, on disk beside its state.
///
/// A boot with shorter timers is mute only for its own promise, but what an earlier boot promised, and the leases its
/// clients were told of, last longer (docs/protocol.md §5.1): it must wait for those before it says anything.
package struct PromiseLength: Sendable {
    private let path: String

    package init(stateDirectory: String) { path = stateDirectory + "/promise" }

    /// What is to be waited for before a boot with these timers may begin; zero if earlier ones promised no longer.
    package func excess(over promise: Interval) throws(SystemError) -> Interval {
        guard let earlier = try read(), earlier > promise else { return .zero }
        return earlier
    }

    /// From now on boots promise this long. Durable on return.
    package func record(_ promise: Interval) throws(SystemError) {
        guard try read() != promise else { return }
        try DurableFile.replace(path, with: Array("\(promise.nanoseconds)\n".utf8))
    }

    /// Nil if there is none, or none that can be believed: then no earlier boot wrote one.
    private func read() throws(SystemError) -> Interval? {
        guard let digits = try Files.word(path, limit: 64) else { return nil }
        return Int64(digits).flatMap { (1...Limits.interval).contains($0) ? Interval(nanoseconds: $0) : nil }
    }
}
