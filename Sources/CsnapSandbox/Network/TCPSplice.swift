import Glibc

/// One TCP connection through the relay: `client` came to us, `server` is ours to the node's real port.
///
/// While a direction is cut it is neither read nor written, and an end of the other side is not passed on: silence,
/// as from a machine that is gone.
struct TCPSplice {
    /// 0 for a stranger, whose packets no fault touches.
    let from: Int
    let to: Int
    var client: Int32
    var server: Int32?
    var connected = false
    var forward = Direction()
    var backward = Direction()

    struct Direction {
        var bytes: [UInt8] = []
        var heldUntil: Int64 = 0
        var ended = false
        /// The end was passed on.
        var closed = false

        var isFinished: Bool { ended && bytes.isEmpty }
    }

    static let chunk = 65_536

    init(from: Int, to: Int, client: Int32) {
        self.from = from
        self.to = to
        self.client = client
    }

    /// Reads what there is into the direction; false when the connection broke.
    static func read(_ descriptor: Int32, into direction: inout Direction, buffer: inout [UInt8]) -> Bool {
        guard direction.bytes.isEmpty, !direction.ended else { return true }
        let count = recv(descriptor, &buffer, chunk, 0)
        if count == 0 {
            direction.ended = true
            return true
        }
        guard count > 0 else { return errno == EAGAIN || errno == EINTR }
        direction.bytes = Array(buffer[0..<count])
        return true
    }

    /// Writes what is held; passes an end on when all is written; false when the connection broke.
    static func write(_ direction: inout Direction, to descriptor: Int32) -> Bool {
        if !direction.bytes.isEmpty {
            let count = send(descriptor, direction.bytes, direction.bytes.count, Int32(MSG_NOSIGNAL))
            guard count >= 0 else { return errno == EAGAIN || errno == EINTR }
            direction.bytes.removeFirst(count)
        }
        if direction.isFinished, !direction.closed {
            direction.closed = true
            shutdown(descriptor, Int32(SHUT_WR))
        }
        return true
    }

    /// A broken connection is broken on both sides.
    mutating func reset() {
        Socket.reset(client)
        if let server { Socket.reset(server) }
    }

    func finish() {
        close(client)
        if let server { close(server) }
    }
}
