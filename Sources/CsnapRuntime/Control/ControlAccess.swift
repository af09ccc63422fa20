import Glibc
import NIOConcurrencyHelpers
import NIOCore

/// Who is at the other end of a Unix socket, as the kernel noted when it connected (SO_PEERCRED, SO_PEERGROUPS).
package struct PeerCredentials: Equatable, Sendable {
    package var uid: UInt32
    package var gid: UInt32
    /// Supplementary.
    package var groups: [UInt32]

    package init(uid: UInt32, gid: UInt32, groups: [UInt32] = []) {
        self.uid = uid
        self.gid = gid
        self.groups = groups
    }

    /// Throws if the kernel does not say all of it.
    package init(_ descriptor: Int32) throws(SystemError) {
        // struct ucred: pid, uid, gid.
        var peer: [UInt32] = [0, 0, 0]
        var length = socklen_t(peer.count * MemoryLayout<UInt32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 else {
            throw SystemError("cannot ask who is", "the caller")
        }
        self.init(uid: peer[1], gid: peer[2], groups: try Self.groups(descriptor))
    }

    /// Nobody has more (NGROUPS_MAX).
    private static let mostGroups = 65_536

    private static func groups(_ descriptor: Int32) throws(SystemError) -> [UInt32] {
        var groups = [UInt32](repeating: 0, count: 32)
        while true {
            var length = socklen_t(groups.count * MemoryLayout<UInt32>.size)
            if getsockopt(descriptor, SOL_SOCKET, SO_PEERGROUPS, &groups, &length) == 0 {
                return Array(groups.prefix(Int(length) / MemoryLayout<UInt32>.size))
            }
            // The kernel has said how many there are.
            let count = Int(length) / MemoryLayout<UInt32>.size
            guard errno == ERANGE, count > groups.count, count <= mostGroups else {
                throw SystemError("cannot ask for the groups of", "the caller")
            }
            groups = [UInt32](repeating: 0, count: count)
        }
    }

    /// On the channel's loop. Who cannot be known is nobody.
    static func read(_ channel: any Channel) -> PeerCredentials {
        let known = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
            of: NIOBSDSocket.Handle.self
        ) { try PeerCredentials($0) }
        return known ?? PeerCredentials(uid: .max, gid: .max)
    }
}

/// Who may change things: root, members of group csnap, the agent's own user. Everybody else may read.
package struct ControlAccess: Sendable {
    private let ownUser: UInt32
    private let group: UInt32?

    package init(ownUser: UInt32, group: UInt32?) {
        self.ownUser = ownUser
        self.group = group
    }

    /// The rule of this process and this machine's group file.
    package static func system() -> ControlAccess {
        ControlAccess(ownUser: geteuid(), group: getgrnam(DaemonUser.name)?.pointee.gr_gid)
    }

    package func mayChange(_ peer: PeerCredentials) -> Bool {
        if peer.uid == 0 || peer.uid == ownUser { return true }
        guard let group else { return false }
        return peer.gid == group || peer.groups.contains(group)
    }
}

/// Counts the connections, so that one more than the limit is refused.
final class ConnectionCensus: Sendable {
    private let count = NIOLockedValueBox(0)
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    /// Counts one in, also when it is refused: its close counts it out.
    func enter() -> Bool {
        count.withLockedValue { count in
            guard count < limit else { return false }
            count += 1
            return true
        }
    }

    func leave() {
        count.withLockedValue { $0 -= 1 }
    }
}
