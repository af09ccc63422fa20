import Glibc

/// The three steps by which a group changes its key without a restart; each is done on all nodes before the next.
package enum KeyRotation: String, CaseIterable, Sendable {
    /// A second key is added: all can open it, nobody seals with it yet.
    case begin
    /// The second becomes the first: it seals; both open.
    case `switch`
    /// The old one is taken away.
    case finish

    /// Nil if the ring is not where this step begins: the newer key is known by its id, one more than the older's.
    package func next(_ ring: KeyRing) -> KeyRing? {
        switch self {
        case .begin:
            ring.other == nil ? KeyRing(ring.sealing, other: .generate(id: ring.sealing.id &+ 1)) : nil
        case .switch: ring.other.flatMap { ring.sealsWithOlder ? KeyRing($0, other: ring.sealing) : nil }
        case .finish: ring.other == nil || ring.sealsWithOlder ? nil : KeyRing(ring.sealing)
        }
    }

    /// Rewrites a key file in one step, with its owner and mode.
    package func apply(to path: String) throws {
        // The key file itself is replaced, so a lock on it would be on the old one.
        let directory = ConfigurationReader.parentDirectory(path)
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError("cannot open", directory) }
        defer { close(descriptor) }
        guard flock(descriptor, LOCK_EX) == 0 else { throw SystemError("cannot lock", directory) }
        let ring = try KeyRing.load(path)
        guard let next = next(ring) else { throw KeyRotationError(path, ring, self) }
        var status = stat()
        guard stat(path, &status) == 0 else { throw SystemError("cannot look at", path) }
        try DurableFile.replace(
            path, with: Array(next.text.utf8), mode: status.st_mode & 0o777, owner: (status.st_uid, status.st_gid))
    }
}

extension KeyRing {
    /// Its second key is the one that `begin` made.
    fileprivate var sealsWithOlder: Bool { other?.id == sealing.id &+ 1 }
}

package struct KeyRotationError: Error, Equatable, Sendable, CustomStringConvertible {
    private let path: String
    private let step: KeyRotation
    private let sealing: UInt8
    private let other: UInt8?

    fileprivate init(_ path: String, _ ring: KeyRing, _ step: KeyRotation) {
        self.path = path
        self.step = step
        sealing = ring.sealing.id
        other = ring.other?.id
    }

    package var description: String {
        guard let other else { return "\(path) holds one key: start with `begin`" }
        return switch step {
        case .begin: "\(path) holds two keys already: go on with `switch` or `finish`"
        case .switch:
            "\(path): key \(sealing) seals, and key \(other) is not the one that follows it: if this file was "
                + "switched already, go on with `finish`"
        case .finish: "\(path): key \(sealing), the older one, still seals: `switch` first, on every node"
        }
    }
}
