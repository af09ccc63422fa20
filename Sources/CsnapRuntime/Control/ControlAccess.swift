import Glibc
import NIOConcurrencyHelpers
import NIOCore

/// Who is at the other end of a Unix socket, as the kernel says (SO_PEERCRED).
package struct PeerCredentials: Equatable, Sendable {
    package var pid: Int32
    package var uid: UInt32
    package var gid: UInt32

    package init(pid: Int32, uid: UInt32, gid: UInt32) {
        self.pid = pid
        self.uid = uid
        self.gid = gid
    }

    static func read(_ channel: any Channel) -> EventLoopFuture<PeerCredentials> {
        guard let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeSucceededFuture(PeerCredentials(pid: 0, uid: .max, gid: .max))
        }
        return provider.unsafeGetSocketOption(level: .socket, name: .init(rawValue: SO_PEERCRED))
            .map { (credentials: PeerCredentials) in credentials }
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
        return peer.gid == group || ControlAccess.supplementaryGroups(of: peer.pid).contains(group)
    }

    /// Of a living process, from /proc; empty if that cannot be read.
    static func supplementaryGroups(of pid: Int32) -> [UInt32] {
        guard let file = fopen("/proc/\(pid)/status", "re") else { return [] }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 4096)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard text.hasPrefix("Groups:") else { continue }
            return text.dropFirst("Groups:".count).split { " \t\n".contains($0) }.compactMap { UInt32($0) }
        }
        return []
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
