import CShims
import Glibc

/// Why a lock was not obtained.
package enum FileLockError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A living process holds it; `note` is what that process wrote into the file.
    case held(path: String, note: String)
    case system(SystemError)

    package var description: String {
        switch self {
        case .held(let path, let note):
            "\(path) is locked by a living process\(note.isEmpty ? "" : " (\(note))"); stop it first, "
                + "or give this one directories of its own"
        case .system(let error): error.description
        }
    }
}

/// An exclusive lock on a file, held until `release`, the last reference or the process ends, whatever ends it.
///
/// It is an open-file-description lock: of this process alone (close-on-exec), and conflicting even inside it.
package final class FileLock: Sendable {
    package let path: String
    package let descriptor: Int32

    private init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Takes the lock without waiting; then, unless `note` is nil, replaces the file's content by it.
    ///
    /// The file is made if missing, and never removed: a removed lock file could be held twice.
    package static func acquire(_ path: String, note: String?) throws(FileLockError) -> FileLock {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard descriptor >= 0 else { throw .system(SystemError("cannot open the lock", path)) }
        let result = csnap_lock_exclusive(descriptor)
        guard result == 0 else {
            let content = (try? Files.read(descriptor: descriptor, path: path, limit: 4096)) ?? []
            close(descriptor)
            if result == -EAGAIN || result == -EACCES { throw .held(path: path, note: trimmed(content)) }
            throw .system(SystemError("cannot lock", path, code: -result))
        }
        let lock = FileLock(path: path, descriptor: descriptor)
        if let note { try lock.write(note) }
        return lock
    }

    /// Replaces the content; a reader that does not hold the lock may see it in part.
    package func write(_ note: String) throws(FileLockError) {
        guard ftruncate(descriptor, 0) == 0, lseek(descriptor, 0, SEEK_SET) == 0 else {
            throw .system(SystemError("cannot empty", path))
        }
        do {
            try Files.writeAll(Array(note.utf8), descriptor: descriptor, path: path)
        } catch {
            throw .system(error)
        }
    }

    /// What the file holds now, without white space around it.
    package func content() throws(FileLockError) -> String {
        guard lseek(descriptor, 0, SEEK_SET) == 0 else { throw .system(SystemError("cannot read", path)) }
        do {
            return Self.trimmed(try Files.read(descriptor: descriptor, path: path, limit: 4096))
        } catch {
            throw .system(error)
        }
    }

    /// Whether a living process (or another lock of this one) holds the lock; false if there is no such file.
    package static func isHeld(_ path: String) throws(SystemError) -> Bool {
        let descriptor = open(path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return false }
            throw SystemError("cannot open the lock", path)
        }
        defer { close(descriptor) }
        let result = csnap_lock_is_held_elsewhere(descriptor)
        guard result >= 0 else { throw SystemError("cannot examine the lock", path, code: -result) }
        return result == 1
    }

    private static func trimmed(_ bytes: [UInt8]) -> String {
        var text = Substring(String(decoding: bytes, as: UTF8.self))
        while let last = text.last, last.isWhitespace { text.removeLast() }
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        return String(text)
    }
}
