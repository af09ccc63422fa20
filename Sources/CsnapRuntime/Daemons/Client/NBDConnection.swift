import CShims
import Glibc
import NBDProtocol
import Synchronization

/// One NBD connection, served by a thread of its own: blocking, one request at a time.
///
/// A request that the gate holds stops the reading of the next: what a peer can make us keep is one request and its
/// socket's buffer. Replies are sent after the gate is left, so a peer that stops reading holds up nobody.
struct NBDConnection {
    /// The first page ends with a reply's header, so that header and data leave by one call.
    private static let dataOffset = 4096
    /// What stays resident between requests.
    private static let residentData = 8 << 20
    private static let handshakeSeconds = 30
    /// Trims and zeroes go through the gate in pieces of this, so that it never waits long for one.
    private static let piece: UInt64 = 32 << 20

    let socket: Int32
    /// The connection's number among the living ones; names its waiting write.
    let ticket: UInt32
    let monitor: ClientMonitor
    let device: OriginDevice
    private let buffer: AlignedBuffer

    init(socket: Int32, ticket: UInt32, monitor: ClientMonitor, device: OriginDevice) throws(SystemError) {
        self.socket = socket
        self.ticket = ticket
        self.monitor = monitor
        self.device = device
        buffer = try AlignedBuffer(size: Self.dataOffset + Int(NBD.maximumPayload))
    }

    /// Returns when the peer is gone, said good-bye or spoke no NBD.
    func run(_ exports: [ServedExport]) {
        guard let transmission = handshake(exports.map(\.export)) else { return }
        let backend = exports.first { $0.export.name == transmission.export.name }?.backend
        while receive(header), serve(transmission, backend) {}
        monitor.with { $0.withdraw(ticket) }
    }

    private var header: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<NBD.requestLength])
    }

    private func data(_ length: UInt32) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[Self.dataOffset..<Self.dataOffset + Int(length)])
    }

    // MARK: - Handshake

    private func handshake(_ exports: [NBDExport]) -> NBDTransmission? {
        setReceiveTimeout(Self.handshakeSeconds)
        var machine = NBDHandshake(exports: exports)
        guard send(machine.greeting) else { return nil }
        while machine.wanted > 0 {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<machine.wanted])
            guard receive(part) else { return nil }
            switch machine.receive(Array(part)) {
            case .reply(let bytes):
                guard send(bytes) else { return nil }
            case .transmit(let bytes, let transmission):
                setReceiveTimeout(0)
                return send(bytes) ? transmission : nil
            case .close(let bytes):
                _ = send(bytes)
                return nil
            }
        }
        return nil
    }

    private func setReceiveTimeout(_ seconds: Int) {
        var timeout = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    }

    // MARK: - Transmission

    /// False: close the connection.
    private func serve(_ transmission: NBDTransmission, _ backend: (any ExportBackend)?) -> Bool {
        switch transmission.decode(UnsafeRawBufferPointer(header)) {
        case .disconnect, .close: return false
        case .refuse(let cookie, let error, let payload, let isRead):
            guard receive(data(payload)) else { return false }
            return reply(transmission.failure(cookie, error, isRead: isRead))
        case .perform(let command):
            defer { if command.length > UInt32(Self.residentData) { trimBuffer() } }
            if let backend { return ask(backend, command, transmission) }
            return perform(command, transmission)
        }
    }

    private func ask(_ backend: any ExportBackend, _ command: NBDCommand, _ transmission: NBDTransmission) -> Bool {
        var length: UInt32 = 0
        switch command.action {
        case .cache: return reply(transmission.done(command.cookie))
        case .blockStatus:
            let extents = [NBDExtent(length: command.length, isHole: false)]
            return send(transmission.status(command.cookie, extents: extents))
        case .read: length = command.length
        case .write:
            length = command.length
            guard receive(data(length)) else { return false }
        case .flush, .trim, .writeZeroes: break
        }
        let answer = BackendAnswer()
        backend.begin(
            ExportRequest(command: command, data: data(length), ticket: ticket) { error in answer.set(error) })
        var isWithdrawn = false
        while answer.value == nil {
            answer.wait()
            if !isWithdrawn && !peerIsThere {
                isWithdrawn = true
                backend.withdraw(ticket)
            }
        }
        let isRead = command.action == .read
        if let error = answer.value, error != 0 {
            return reply(transmission.failure(command.cookie, Self.error(error), isRead: isRead))
        }
        return isRead ? sendData(command, transmission) : reply(transmission.done(command.cookie))
    }

    private func trimBuffer() { buffer.release(from: Self.dataOffset + Self.residentData) }

    private func perform(_ command: NBDCommand, _ transmission: NBDTransmission) -> Bool {
        switch command.action {
        case .read: return read(command, transmission)
        case .write(let fua):
            let payload = data(command.length)
            guard receive(payload) else { return false }
            return change(command, transmission, piece: UInt64(command.length)) { offset, _ in
                device.write(UnsafeRawBufferPointer(payload), offset: offset, fua: fua)
            }
        case .flush: return change(command, transmission) { _, _ in device.flush() }
        case .trim(let fua):
            return change(command, transmission) { device.trim(offset: $0, length: $1, fua: fua) }
        case .writeZeroes(let fua, let mayPunch):
            return change(command, transmission) {
                device.writeZeroes(offset: $0, length: $1, fua: fua, mayPunch: mayPunch)
            }
        case .cache: return reply(transmission.done(command.cookie))
        case .blockStatus(let one):
            guard waitToRead() else { return false }
            let extents = device.extents(offset: command.offset, length: command.length, one: one)
            return send(transmission.status(command.cookie, extents: extents))
        }
    }

    private func read(_ command: NBDCommand, _ transmission: NBDTransmission) -> Bool {
        guard waitToRead() else { return false }
        let error = device.read(data(command.length), offset: command.offset)
        guard error == 0 else {
            return reply(transmission.failure(command.cookie, Self.error(error), isRead: true))
        }
        return sendData(command, transmission)
    }

    private func sendData(_ command: NBDCommand, _ transmission: NBDTransmission) -> Bool {
        let header = transmission.data(command.cookie, offset: command.offset, length: command.length)
        let start = Self.dataOffset - header.count
        header.write(to: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[start..<Self.dataOffset]))
        return send(UnsafeRawBufferPointer(rebasing: buffer.bytes[start..<Self.dataOffset + Int(command.length)]))
    }

    /// A write, piece by piece through the gate. `action` returns 0 or an errno.
    private func change(
        _ command: NBDCommand, _ transmission: NBDTransmission, piece: UInt64 = piece,
        _ action: (_ offset: UInt64, _ length: UInt64) -> Int32
    ) -> Bool {
        var offset = command.offset
        let end = offset + UInt64(command.length)
        repeat {
            let length = min(end - offset, piece)
            var error = EIO
            switch waitToWrite(offset, length) {
            case .go:
                error = action(offset, length)
                monitor.leave()
            case .failed: error = EIO
            case .hold: return false
            }
            guard error == 0 else {
                return reply(transmission.failure(command.cookie, Self.error(error), isRead: false))
            }
            offset += length
        } while offset < end
        return reply(transmission.done(command.cookie))
    }

    /// Never `hold`, except when the peer is gone.
    private func waitToWrite(_ offset: UInt64, _ length: UInt64) -> ClientCore.Admission {
        while true {
            let admission = monitor.enter(ticket, offset: offset, length: length)
            if admission != .hold || !peerIsThere { return admission }
        }
    }

    private func waitToRead() -> Bool {
        while !monitor.mayRead() {
            if !peerIsThere { return false }
        }
        return true
    }

    private var peerIsThere: Bool {
        var entry = pollfd(fd: socket, events: 0, revents: 0)
        return poll(&entry, 1, 0) == 0 || entry.revents & Int16(POLLHUP | POLLERR | POLLNVAL) == 0
    }

    private static func error(_ code: Int32) -> NBDError {
        switch code {
        case ENOSPC, EDQUOT, EFBIG: .noSpace
        case EPERM, EACCES, EROFS: .notPermitted
        case EINVAL: .invalid
        case ENOMEM: .noMemory
        case EOPNOTSUPP: .unsupported
        default: .inputOutput
        }
    }

    // MARK: - Socket

    private func reply(_ header: NBDReplyHeader) -> Bool {
        let space = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<header.count])
        header.write(to: space)
        return send(UnsafeRawBufferPointer(space))
    }

    private func send(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes(send) }

    private func send(_ bytes: UnsafeRawBufferPointer) -> Bool {
        move(bytes.count) { done in
            Glibc.send(socket, bytes.baseAddress?.advanced(by: done), bytes.count - done, Int32(MSG_NOSIGNAL))
        }
    }

    /// Exactly as many bytes as the buffer holds, or false.
    private func receive(_ bytes: UnsafeMutableRawBufferPointer) -> Bool {
        move(bytes.count) { done in
            recv(socket, bytes.baseAddress?.advanced(by: done), bytes.count - done, Int32(MSG_WAITALL))
        }
    }

    private func move(_ count: Int, _ step: (Int) -> Int) -> Bool {
        var done = 0
        while done < count {
            let moved = step(done)
            if moved < 0 && errno == EINTR { continue }
            guard moved > 0 else { return false }
            done += moved
        }
        return true
    }
}

/// What a backend answers, and the waiting for it.
private final class BackendAnswer: Sendable {
    private let error = Mutex<Int32?>(nil)
    private let wakeup = csnap_wakeup_make()

    deinit { close(wakeup) }

    var value: Int32? { error.withLock { $0 } }

    func set(_ value: Int32) {
        error.withLock { $0 = value }
        csnap_wakeup_signal(wakeup)
    }

    func wait() {
        var entry = pollfd(fd: wakeup, events: Int16(POLLIN), revents: 0)
        _ = poll(&entry, 1, 500)
    }
}
