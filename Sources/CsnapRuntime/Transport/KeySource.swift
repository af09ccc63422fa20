package import CsnapCore
import Synchronization

/// The keys of those who open connections: a change of key needs no restart of theirs.
///
/// The file is read again only when a person asks for it and after a connection whose seal failed, since the fail-over
/// path opens nothing; for the latter at most once a second, since a stranger can make a seal fail. A file that cannot
/// be read any more leaves the last keys in use.
package final class KeySource: Sendable {
    private let path: String?
    private let state: Mutex<(last: KeyRing, readAt: Instant)>
    private static let pause = Interval.seconds(1)

    /// Throws `KeyFileError` if the first reading fails.
    package init(_ configuration: CsnapConfiguration) throws(KeyFileError) {
        path = configuration.insecure ? nil : configuration.keyFile
        let keys = try path.map { path throws(KeyFileError) in try KeyRing.load(path) } ?? .insecure
        state = Mutex((keys, .distantPast))
    }

    /// Always the same keys.
    package init(fixed keys: KeyRing) {
        path = nil
        state = Mutex((keys, .distantPast))
    }

    package var current: KeyRing { state.withLock { $0.last } }

    /// A seal failed: the file may have other keys by now.
    package func refresh(at now: Instant) {
        guard let path else { return }
        state.withLock { state in
            guard now >= state.readAt + Self.pause else { return }
            state.readAt = now
            if let keys = try? KeyRing.load(path) { state.last = keys }
        }
    }

    /// A person asks for it.
    package func reload() {
        guard let path else { return }
        state.withLock { state in
            if let keys = try? KeyRing.load(path) { state.last = keys }
        }
    }
}
