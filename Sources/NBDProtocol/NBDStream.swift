/// The transmission phase as a stream: bytes in any portions, requests and payload out. No buffer, no socket.
///
/// The shell calls `next` with what it has received and not used up, drops what was consumed, and obeys the step. It
/// calls only while it can keep one more request. No bytes trap; nothing is allocated.
package struct NBDStream: Equatable, Sendable {
    package enum Step: Equatable, Sendable {
        /// Receive more; fewer bytes than a header are left over.
        case more
        /// The payload of a WRITE follows in `payload` steps.
        case perform(NBDCommand)
        /// The bytes consumed are the next of the last WRITE's payload, which ends with them if `isLast`.
        case payload(isLast: Bool)
        /// To be answered with this error; its payload has been skipped.
        case refuse(cookie: UInt64, NBDError, isRead: Bool)
        /// The client said good-bye: answer what is in flight, close.
        case disconnect
        /// This is not NBD: close at once.
        case close
    }

    private enum State: Equatable {
        case header
        case payload(remaining: Int)
        case skipping(remaining: Int, cookie: UInt64, NBDError)
        case disconnected
        case closed
    }

    package let transmission: NBDTransmission
    private var state = State.header

    package init(_ transmission: NBDTransmission) { self.transmission = transmission }

    /// Bytes of the last WRITE's payload that are still to come: they may be received straight into their place and
    /// told by `tookPayload`.
    package var payloadToCome: Int {
        guard case .payload(let remaining) = state else { return 0 }
        return remaining
    }

    /// Whether the next step may be a new request.
    package var isBetweenRequests: Bool { state == .header }

    package mutating func next(_ bytes: UnsafeRawBufferPointer) -> (step: Step, consumed: Int) {
        switch state {
        case .header: return header(bytes)
        case .payload(let remaining):
            let count = min(remaining, bytes.count)
            if count == 0 { return (.more, 0) }
            return (.payload(isLast: tookPayload(count)), count)
        case .skipping(let remaining, let cookie, let error):
            let count = min(remaining, bytes.count)
            guard count == remaining else {
                state = .skipping(remaining: remaining - count, cookie: cookie, error)
                return (.more, count)
            }
            state = .header
            return (.refuse(cookie: cookie, error, isRead: false), count)
        case .disconnected: return (.disconnect, 0)
        case .closed: return (.close, 0)
        }
    }

    /// `count` bytes of `payloadToCome` have come past `next`; true if the payload is complete.
    package mutating func tookPayload(_ count: Int) -> Bool {
        let remaining = payloadToCome - count
        precondition(remaining >= 0, "more payload than the request has")
        state = remaining == 0 ? .header : .payload(remaining: remaining)
        return remaining == 0
    }

    private mutating func header(_ bytes: UnsafeRawBufferPointer) -> (step: Step, consumed: Int) {
        let length = NBD.requestLength
        guard bytes.count >= length else { return (.more, 0) }
        switch transmission.decode(UnsafeRawBufferPointer(rebasing: bytes[..<length])) {
        case .perform(let command):
            if case .write = command.action { state = .payload(remaining: Int(command.length)) }
            return (.perform(command), length)
        case .refuse(let cookie, let error, let payload, let isRead):
            guard payload > 0 else { return (.refuse(cookie: cookie, error, isRead: isRead), length) }
            state = .skipping(remaining: Int(payload), cookie: cookie, error)
            let (step, consumed) = next(UnsafeRawBufferPointer(rebasing: bytes[length...]))
            return (step, length + consumed)
        case .disconnect:
            state = .disconnected
            return (.disconnect, length)
        case .close:
            state = .closed
            return (.close, length)
        }
    }
}
