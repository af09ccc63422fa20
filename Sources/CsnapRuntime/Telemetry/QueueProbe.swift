import Glibc

/// Whether whoever reads a datagram socket still keeps up: if not, its next sender waits. sd_journal_sendv(3) has no
/// way to say that it must not.
package final class QueueProbe: Sendable {
    private let descriptor: Int32

    /// Nil: nobody has that socket.
    package init?(path: String) {
        guard let address = UnixAddress(path) else { return nil }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        guard address.with({ connect(descriptor, $0, $1) }) == 0 else {
            close(descriptor)
            return nil
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    package var hasRoom: Bool { Self.hasRoom(descriptor) }

    /// Of a pipe or terminal as well.
    package static func hasRoom(_ descriptor: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&entry, 1, 0) > 0
    }
}
