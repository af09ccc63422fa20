import CsnapCore
import CsnapSession

/// The client's end of a session's TCP connection: sealed frames.
final class SessionLink {
    enum Event {
        /// The seal stands: HELLO may be sent.
        case ready
        case frames([ServerFrame])
        case nothing
        /// To be closed; the reason, if there is more to say than that the connection broke.
        case broken(String?)
    }

    let socket: StreamSocket
    private(set) var isConnecting = true
    private var seal: SessionSeal
    private var reader = FrameReader<ServerFrame>()
    private var hasOpened = false

    init(socket: StreamSocket, keys: KeyRing) {
        self.socket = socket
        seal = SessionSeal(side: .client, keys: keys)
    }

    /// The peer said hello and nothing that our keys open.
    var lacksKey: Bool { seal.isReady && !hasOpened }

    func send(_ frame: ClientFrame) -> Bool {
        guard seal.isReady else { return false }
        return socket.send(seal.seal(frame.bytes))
    }

    /// The socket is writable.
    func write() -> Bool {
        guard isConnecting else { return socket.flush() }
        guard socket.isEstablished else { return false }
        isConnecting = false
        return socket.send(seal.preamble)
    }

    /// The socket is readable.
    func receive() -> Event {
        switch socket.receive() {
        case .closed: return .broken(nil)
        case .nothing: return .nothing
        case .bytes(let bytes):
            let wasReady = seal.isReady
            do {
                reader.feed(try seal.open(bytes))
                if !wasReady && seal.isReady { return .ready }
                var frames: [ServerFrame] = []
                while let frame = try reader.next() { frames.append(frame) }
                if !frames.isEmpty { hasOpened = true }
                return .frames(frames)
            } catch {
                return .broken("\(error)")
            }
        }
    }
}
