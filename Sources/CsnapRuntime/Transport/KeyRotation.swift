import Glibc

/// The three steps by which a group changes its key without a restart; each is done on all nodes before the next.
package enum KeyRotation: String, CaseIterable, Sendable {
    /// A second key is added: all can open it, nobody seals with it yet.
    case begin
    /// The second becomes the first: it seals; both open.
    case `switch`
    /// The old one is taken away.
    case finish

    /// Nil if the ring is not where this step begins.
    package func next(_ ring: KeyRing) -> KeyRing? {
        switch self {
        case .begin:
            ring.other == nil ? KeyRing(ring.sealing, other: .generate(id: ring.sealing.id &+ 1)) : nil
        case .switch: ring.other.map { KeyRing($0, other: ring.sealing) }
        case .finish: ring.other == nil ? nil : KeyRing(ring.sealing)
        }
    }

    /// Rewrites a key file in one step, with its owner and mode.
    package func apply(to path: String) throws {
        let ring = try KeyRing.load(path)
        guard let next = next(ring) else { throw KeyRotationError(path: path, step: self) }
        var status = stat()
        guard stat(path, &status) == 0 else { throw SystemError("cannot look at", path) }
        try DurableFile.replace(path, with: Array(next.text.utf8), owner: (status.st_uid, status.st_gid))
    }
}

package struct KeyRotationError: Error, Equatable, Sendable, CustomStringConvertible {
    var path: String
    var step: KeyRotation

    package var description: String {
        switch step {
        case .begin: "\(path) holds two keys already: go on with `switch` or `finish`"
        case .switch, .finish: "\(path) holds one key: start with `begin`"
        }
    }
}
