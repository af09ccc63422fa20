import CsnapCore

/// The client's end of the agent's data socket: frames of a u32 little-endian length and a LocalCodec body.
final class AgentLink {
    private static let maximumFrame = 1 << 20

    let socket: StreamSocket
    private var incoming: [UInt8] = []

    init(socket: StreamSocket) { self.socket = socket }

    func send(_ message: ClientToAgent) -> Bool {
        let body = LocalCodec.encode(message)
        let length = (0..<4).map { UInt8(truncatingIfNeeded: body.count >> (8 * $0)) }
        return socket.send(length + body)
    }

    /// The messages that are complete; nil: the link is broken, or the agent does not speak our version.
    func receive() -> [AgentToClient]? {
        switch socket.receive() {
        case .closed: return nil
        case .nothing: return []
        case .bytes(let bytes): incoming += bytes
        }
        var messages: [AgentToClient] = []
        var start = 0
        while incoming.count - start >= 4 {
            let length = (0..<4).reduce(0) { $0 | Int(incoming[start + $1]) << (8 * $1) }
            guard length <= Self.maximumFrame else { return nil }
            guard incoming.count - start - 4 >= length else { break }
            let body = Array(incoming[start + 4..<start + 4 + length])
            guard let message = try? LocalCodec.agentToClient(from: body) else { return nil }
            messages.append(message)
            start += 4 + length
        }
        incoming.removeFirst(start)
        return messages
    }
}
