import Synchronization

/// The key file as it is now, for those who open connections: a change of key needs no restart of theirs.
///
/// Reading is a few hundred bytes of a cached file; a file that cannot be read any more leaves the last keys in use.
package final class KeySource: Sendable {
    private let path: String?
    private let last: Mutex<KeyRing>

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

    package var current: KeyRing {
        guard let path, let keys = try? KeyRing.load(path) else { return last.withLock { $0 } }
        last.withLock { $0 = keys }
        return keys
    }
}
