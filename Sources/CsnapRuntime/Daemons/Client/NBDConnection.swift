import CShims
import CsnapCore
import Glibc
import NBDProtocol

/// One NBD connection, served by a thread of its own: the handshake here, then a shell carries its requests.
///
/// What a peer can make us keep is bounded: 128 requests, 8 MiB of their data (or one longer request), the bytes of one
/// receive. Then nothing more is read from it. Replies are sent after the gate is left, so a peer that stops reading
/// holds up nobody.
struct NBDConnection {
    /// A handshake takes no longer, whatever the peer sends.
    private static let handshakeTime = Interval.seconds(30)

    let socket: Int32
    /// The connection's number among the living ones.
    let number: Int
    let context: ConnectionContext

    /// Returns when the peer is gone, said good-bye or spoke no NBD, and nothing of it is at the disk.
    func run() throws(SystemError) {
        let exports = context.exports.current
        guard let transmission = handshake(exports.map(\.export)) else { return }
        let mailbox = try Mailbox()
        context.monitor.register(number, wakeup: mailbox.wakeup)
        defer { context.monitor.unregister(number) }
        let backend = exports.first { $0.export.name == transmission.export.name }?.backend
        backend?.opened()
        defer { backend?.closed() }
        let flow = RequestFlow(
            connection: number, monitor: context.monitor, watch: context.watch, transmission: transmission,
            backend: backend, mailbox: mailbox, memory: try ConnectionMemory())
        carry(flow)
    }

    private func carry(_ flow: RequestFlow) {
        let (device, pool) = (context.device, context.pool)
        switch context.engine {
        case .ring:
            if let shell = RingShell(socket: socket, device: device, pool: pool, flow: flow) { return shell.run() }
            // No ring for this one, perhaps for want of memory.
            PollShell(socket: socket, device: device, pool: pool, isInline: false, flow: flow).run()
        case .inline: PollShell(socket: socket, device: device, pool: pool, isInline: true, flow: flow).run()
        case .pool: PollShell(socket: socket, device: device, pool: pool, isInline: false, flow: flow).run()
        }
    }

    // MARK: - Handshake

    private func handshake(_ exports: [NBDExport]) -> NBDTransmission? {
        let deadline = BootClock.now() + Self.handshakeTime
        var machine = NBDHandshake(exports: exports)
        guard send(machine.greeting, until: deadline) else { return nil }
        while machine.wanted > 0 {
            guard let bytes = receive(machine.wanted, until: deadline) else { return nil }
            switch machine.receive(bytes) {
            case .reply(let bytes):
                guard send(bytes, until: deadline) else { return nil }
            case .transmit(let bytes, let transmission):
                return send(bytes, until: deadline) ? transmission : nil
            case .close(let bytes):
                _ = send(bytes, until: deadline)
                return nil
            }
        }
        return nil
    }

    /// A list of thousands of exports does not fit a socket at once. A peer that does not read is given up in the end.
    private func send(_ bytes: [UInt8], until deadline: Instant) -> Bool {
        var done = 0
        while done < bytes.count {
            let sent = bytes[done...].withUnsafeBytes { part in
                Glibc.send(socket, part.baseAddress, part.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            }
            if sent < 0 && errno == EINTR { continue }
            if sent < 0 && errno == EAGAIN {
                var entry = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
                let left = (deadline - BootClock.now()).nanoseconds / 1_000_000
                guard left > 0 else { return false }
                _ = poll(&entry, 1, Int32(left))
                continue
            }
            guard sent > 0 else { return false }
            done += sent
        }
        return true
    }

    private func receive(_ count: Int, until deadline: Instant) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let left = (deadline - BootClock.now()).nanoseconds / 1_000_000
            var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard left > 0 else { return nil }
            guard poll(&entry, 1, Int32(left)) > 0 else { continue }
            let received = bytes[done...].withUnsafeMutableBytes { part in
                recv(socket, part.baseAddress, part.count, Int32(MSG_DONTWAIT))
            }
            if received < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            guard received > 0 else { return nil }
            done += received
        }
        return bytes
    }
}

/// What all connections share.
struct ConnectionContext: Sendable {
    var monitor: ClientMonitor
    var watch: DiskWatch
    var device: OriginDevice
    var pool: WorkerPool
    var exports: ExportTable
    var engine: DiskEngine
}

/// How connections do their disk I/O (docs/decisions/0025-three-shells.md).
package enum DiskEngine: String, CaseIterable, Sendable {
    /// An io_uring for each connection.
    case ring
    /// The connection's own thread: for files in memory.
    case inline
    /// A pool of threads: where io_uring may not be had, or the file would make it wait.
    case pool
}
