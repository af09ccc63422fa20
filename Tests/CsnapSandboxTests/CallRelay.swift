import CsnapRuntime
import Foundation
import Synchronization
import Testing

/// Stands before an agent's socket, hands everything on, and cuts a connection at a call that it was told.
final class CallRelay: Sendable {
    private struct Cut {
        var call: String
        /// The agent has carried it out; what it says is lost.
        var isAnswered: Bool
    }

    let path: String
    private let agent: String
    private let descriptor: Int32
    private let cut = Mutex<Cut?>(nil)

    init(_ path: String, to agent: String) throws {
        self.path = path
        self.agent = agent
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        try #require(Self.with(path) { bind(descriptor, $0, $1) } == 0 && listen(descriptor, 16) == 0)
        Thread.detachNewThread { [descriptor, weak self] in
            while true {
                let peer = accept(descriptor, nil, nil)
                guard peer >= 0 else { return }
                guard let relay = self else {
                    close(peer)
                    return
                }
                Thread.detachNewThread { relay.carry(peer) }
            }
        }
    }

    deinit {
        // Ends the accept.
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(descriptor)
    }

    /// From the next such call on.
    func cut(before call: String) { cut.withLock { $0 = Cut(call: call, isAnswered: false) } }
    func cut(afterAnswering call: String) { cut.withLock { $0 = Cut(call: call, isAnswered: true) } }

    private func carry(_ peer: Int32) {
        let server = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer {
            close(peer)
            close(server)
        }
        guard Self.with(agent, { connect(server, $0, $1) }) == 0 else { return }
        var isLost = false
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            var entries = [peer, server].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&entries, 2, 60_000) > 0 else { return }
            for (entry, to) in zip(entries, [server, peer]) where entry.revents != 0 {
                let count = recv(entry.fd, &buffer, buffer.count, 0)
                guard count > 0 else { return }
                if entry.fd == server, isLost { return }
                // A call is short, and comes in one piece.
                let text = String(decoding: buffer[..<count], as: UTF8.self)
                if entry.fd == peer, let cut = cut.withLock({ $0 }), text.contains("io.csnap.Agent.\(cut.call)") {
                    guard cut.isAnswered else { return }
                    isLost = true
                }
                guard send(to, buffer, count, Int32(MSG_NOSIGNAL)) == count else { return }
            }
        }
    }

    private static func with(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        guard var address = sockaddr_un(path: path) else { return -1 }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
