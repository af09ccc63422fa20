package import CsnapCore
import Synchronization

/// The keys of those who open connections: a change of key needs no restart of theirs.
///
/// The file is read again only after a connection whose seal failed, since the fail-over path opens nothing; and at
/// most once a second, since a stranger can make a seal fail. A file that cannot be read any more leaves the last keys
/// in use.
package final class KeySource: Sendable {
    private let path: String?
    private let last: Mutex<KeyRing>
    private let readAt = Mutex(Instant.distantPast)
    private static let pause = Interval.seconds(1)

    /// Throws `KeyFileError` if the first reading fails.
    package init(_ configuration: CsnapConfiguration) throws(KeyFileError) {
        path = configuration.insecure ? nil : configuration.keyFile
        last = Mutex(try path.map { path throws(KeyFileError) in try KeyRing.load(path) } ?? .insecure)
    }

    /// Always the same keys.
    package init(fixed keys: KeyRing) {
        path = nil
        last = Mutex(keys)
    }

    package var current: KeyRing { last.withLock { $0 } }

    /// A seal failed: the file may have other keys by now.
    package func refresh(at now: Instant) {
        let isDue = readAt.withLock { readAt in
            guard now >= readAt + Self.pause else { return false }
            readAt = now
            return true
        }
        guard isDue, let path, let keys = try? KeyRing.load(path) else { return }
        last.withLock { $0 = keys }
    }
}
