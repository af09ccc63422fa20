import Glibc

/// Carries a connection by plain system calls: disk I/O inline where the file is in memory, or on a pool of threads.
final class PollShell {
    private let socket: Int32
    private let device: OriginDevice
    /// For calls that block.
    private let pool: WorkerPool
    private let isInline: Bool
    private let flow: RequestFlow
    private let message = MessageParts()

    init(socket: Int32, device: OriginDevice, pool: WorkerPool, isInline: Bool, flow: RequestFlow) {
        self.socket = socket
        self.device = device
        self.pool = pool
        self.isInline = isInline
        self.flow = flow
    }

    func run() {
        while true {
            perform()
            let isSent = send()
            // Sending may have made room for requests that had been received before.
            if flow.hasOperations { continue }
            if flow.isOver { return }
            wait(isSent: isSent)
        }
    }

    private func perform() {
        while let operation = flow.nextOperation() {
            switch operation.kind {
            case .read, .write, .flush:
                if isInline {
                    flow.finished(operation.request, device.perform(operation.kind))
                } else {
                    flow.run(operation, on: pool, device)
                }
            case .blocking: flow.run(operation, on: pool, device)
            }
        }
    }

    /// False: the peer must read first.
    private func send() -> Bool {
        while true {
            let count = flow.replyParts(message.parts)
            if count == 0 { return true }
            let sent = sendmsg(socket, message.message(count), Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            if sent > 0 {
                flow.replied(sent)
            } else if errno == EAGAIN {
                return false
            } else if errno != EINTR {
                flow.abandon()
            }
        }
    }

    private func wait(isSent: Bool) {
        let count = flow.receiveTargets(message.parts)
        if count > 0 && flow.awaitsPeer { return receive(count, flags: 0) }
        let events = (count > 0 ? POLLIN : 0) | (isSent ? 0 : POLLOUT)
        var entries = (
            pollfd(fd: flow.mailbox.wakeup, events: Int16(POLLIN), revents: 0),
            // A peer that is given up would be reported without end.
            pollfd(fd: flow.ending == .now ? -1 : socket, events: Int16(events), revents: 0)
        )
        let ready = withUnsafeMutablePointer(to: &entries) { pointer in
            pointer.withMemoryRebound(to: pollfd.self, capacity: 2) { poll($0, 2, -1) }
        }
        guard ready > 0 else { return }
        if entries.0.revents != 0 { flow.wake() }
        if entries.1.revents & Int16(POLLIN) != 0 {
            receive(flow.receiveTargets(message.parts), flags: Int32(MSG_DONTWAIT))
        } else if entries.1.revents & Int16(POLLHUP | POLLERR) != 0 {
            flow.abandon()
        }
    }

    private func receive(_ count: Int, flags: Int32) {
        guard count > 0 else { return }
        let received = recvmsg(socket, message.message(count), flags)
        if received > 0 { return flow.take(received) }
        if received == 0 || errno != EINTR && errno != EAGAIN { flow.abandon() }
    }
}
