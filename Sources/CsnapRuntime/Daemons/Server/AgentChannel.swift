import CsnapCore
import Glibc

/// Descriptor 3: frames of u32 little-endian length and body, from and to the agent.
struct AgentChannel {
    private static let readSize = 16 << 10

    let descriptor: Int32
    private var incoming: [UInt8] = []
    private var outgoing: [UInt8] = []

    enum Reading: Equatable {
        case messages([AgentToServer])
        /// The agent is gone, or does not speak our language; the server must end.
        case ended(String)
    }

    init(descriptor: Int32) {
        self.descriptor = descriptor
        let flags = fcntl(descriptor, F_GETFL)
        _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }

    var hasOutgoing: Bool { !outgoing.isEmpty }

    /// What has come; never waits.
    mutating func read() -> Reading {
        let (bytes, code) = Files.readSome(descriptor, atMost: Self.readSize)
        if code == EAGAIN { return .messages([]) }
        guard !bytes.isEmpty else { return .ended(code == 0 ? "the agent is gone" : "the agent's socket broke") }
        incoming += bytes
        do {
            return .messages(try takeMessages())
        } catch {
            return .ended("the agent's message is not understood: \(error)")
        }
    }

    /// Queues it; false if the agent has not read for so long that it must be taken for dead.
    mutating func send(_ message: ServerToAgent) -> Bool {
        let body = LocalCodec.encode(message)
        outgoing += (0..<4).map { UInt8(truncatingIfNeeded: body.count >> ($0 * 8)) } + body
        return flush() && outgoing.count <= Limits.localFrame
    }

    /// Sends what the socket takes; false if it broke.
    mutating func flush() -> Bool {
        while !outgoing.isEmpty {
            let sent = Glibc.send(descriptor, outgoing, outgoing.count, Int32(MSG_NOSIGNAL))
            if sent < 0 { return errno == EAGAIN || errno == EINTR }
            outgoing.removeFirst(sent)
        }
        return true
    }

    private mutating func takeMessages() throws(WireError) -> [AgentToServer] {
        var messages: [AgentToServer] = []
        var start = 0
        while incoming.count - start >= 4 {
            let length = (0..<4).reduce(0) { $0 | Int(incoming[start + $1]) << ($1 * 8) }
            guard length <= Limits.localFrame else { throw .tooLarge }
            guard incoming.count - start >= 4 + length else { break }
            messages.append(try LocalCodec.agentToServer(from: Array(incoming[start + 4..<start + 4 + length])))
            start += 4 + length
        }
        incoming.removeFirst(start)
        return messages
    }
}
