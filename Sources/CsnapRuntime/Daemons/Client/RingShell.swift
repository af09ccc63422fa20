import CShims
import Glibc

/// Carries a connection by an io_uring of its own: socket and disk, many requests at once, one system call a turn.
///
/// Made and used by one thread. Requests of the ring hold the origin's open file description, and so the lock on it,
/// until they return, even past the end of the process.
final class RingShell {
    /// Each request of the connection once, its socket twice, two polls; no more can be queued between two submits.
    private static let entries: UInt32 = 256

    /// What a result belongs to; below: the number of a request.
    private enum Tag {
        static let receive: UInt64 = 1000
        static let send: UInt64 = 1001
        static let wakeup: UInt64 = 1002
        static let hangup: UInt64 = 1003
    }

    private let ring: OpaquePointer
    private let socket: Int32
    private let device: OriginDevice
    private let pool: WorkerPool
    private let flow: RequestFlow
    private let receiving = MessageParts()
    private let sending = MessageParts()
    private var isFixed = false
    /// Which of the four are under way.
    private var receives = false
    private var sends = false
    private var awaitsWakeup = false
    private var awaitsHangup = false

    /// Nil where io_uring is forbidden or too old.
    init?(socket: Int32, device: OriginDevice, pool: WorkerPool, flow: RequestFlow) {
        var error: Int32 = 0
        guard let ring = csnap_ring_open(Self.entries, &error) else { return nil }
        self.ring = ring
        self.socket = socket
        self.device = device
        self.pool = pool
        self.flow = flow
        // On a block device a durable write of a ring is one request with FUA. On a file the kernel finishes each in a
        // work item of its own, with a flush of its own.
        flow.sharesFlushes = device.isDirect && device.isRegular
        isFixed = csnap_ring_fix(ring, flow.memory.fixed, UInt64(ConnectionMemory.fixedSize)) == 0
    }

    deinit { csnap_ring_close(ring) }

    /// Whether a thread may have a ring here.
    static var isPossible: Bool {
        var error: Int32 = 0
        guard let ring = csnap_ring_open(2, &error) else { return false }
        csnap_ring_close(ring)
        return true
    }

    func run() {
        while !flow.isOver {
            queueOperations()
            queueSend()
            queueReceive()
            turn()
        }
        // Everything that is under way uses our memory: it ends when the socket does.
        shutdown(socket, Int32(SHUT_RDWR))
        csnap_wakeup_signal(flow.mailbox.wakeup)
        while receives || sends || awaitsWakeup || awaitsHangup { turn() }
    }

    // MARK: - Queueing

    private func queueOperations() {
        while let operation = flow.nextOperation() {
            let tag = UInt64(operation.request)
            switch operation.kind {
            case .read(let data, let length, let offset):
                csnap_ring_read(ring, device.descriptor, data, length, offset, fixed(data, length), tag)
            case .write(let data, let length, let offset, let durable):
                csnap_ring_write(
                    ring, device.descriptor, data, length, offset, fixed(data, length), durable ? 1 : 0, tag)
            case .flush: csnap_ring_flush(ring, device.descriptor, tag)
            case .blocking: flow.run(operation, on: pool, device)
            }
        }
    }

    private func fixed(_ data: UnsafeMutableRawPointer, _ length: UInt32) -> Int32 {
        let end = flow.memory.fixed + ConnectionMemory.fixedSize
        return isFixed && data + Int(length) <= end ? 1 : 0
    }

    private func queueSend() {
        guard !sends else { return }
        let count = flow.replyParts(sending.parts)
        guard count > 0 else { return }
        csnap_ring_send(ring, socket, sending.message(count), Tag.send)
        sends = true
    }

    private func queueReceive() {
        if !awaitsWakeup {
            csnap_ring_poll(ring, flow.mailbox.wakeup, UInt32(POLLIN), Tag.wakeup)
            awaitsWakeup = true
        }
        guard !receives else { return }
        let count = flow.receiveTargets(receiving.parts)
        if count > 0 {
            csnap_ring_receive(ring, socket, receiving.message(count), Tag.receive)
            receives = true
        } else if !awaitsHangup {
            // Nobody reads: so it must be noticed in another way when the peer is gone.
            csnap_ring_poll(ring, socket, UInt32(POLLHUP), Tag.hangup)
            awaitsHangup = true
        }
    }

    // MARK: - Results

    private func turn() {
        let result = csnap_ring_submit(ring)
        // Short of memory the kernel may refuse for a moment; what was queued stays queued.
        precondition([0, -EINTR, -EAGAIN, -EBUSY, -ENOMEM].contains(result), "io_uring_enter: \(-result)")
        var tag: UInt64 = 0
        var value: Int32 = 0
        while csnap_ring_next(ring, &tag, &value) == 1 { obey(tag, value) }
    }

    private func obey(_ tag: UInt64, _ result: Int32) {
        switch tag {
        case Tag.receive:
            receives = false
            if result > 0 { return flow.take(Int(result)) }
            if result != -EINTR && result != -EAGAIN { flow.abandon() }
        case Tag.send:
            sends = false
            if result > 0 { return flow.replied(Int(result)) }
            if result != -EINTR && result != -EAGAIN { flow.abandon() }
        case Tag.wakeup:
            awaitsWakeup = false
            flow.wake()
        case Tag.hangup:
            awaitsHangup = false
            flow.abandon()
        default: flow.finished(Int(tag), result)
        }
    }
}

/// A message header and its parts, at one address for as long as a request of a ring uses them.
final class MessageParts {
    let parts = UnsafeMutablePointer<iovec>.allocate(capacity: RequestFlow.maximumParts)
    private let header = UnsafeMutablePointer<msghdr>.allocate(capacity: 1)

    init() { header.initialize(to: msghdr()) }

    deinit {
        header.deallocate()
        parts.deallocate()
    }

    func message(_ count: Int) -> UnsafeMutablePointer<msghdr> {
        header.pointee.msg_iov = parts
        header.pointee.msg_iovlen = count
        return header
    }
}
