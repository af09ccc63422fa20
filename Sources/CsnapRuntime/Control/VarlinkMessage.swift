/// One call, as its bytes between two NULs say (varlink.org, "Wire format").
package struct VarlinkCall: Codable, Equatable, Sendable {
    package var method: String
    package var parameters: JSONValue?
    /// The caller takes more than one reply.
    package var more: Bool?
    /// The caller takes no reply.
    package var oneway: Bool?

    package init(method: String, parameters: JSONValue? = nil, more: Bool? = nil, oneway: Bool? = nil) {
        self.method = method
        self.parameters = parameters
        self.more = more
        self.oneway = oneway
    }
}

package struct VarlinkReply: Codable, Equatable, Sendable {
    package var parameters: JSONValue?
    package var error: String?
    /// More replies to the same call follow.
    package var continues: Bool?

    package init(parameters: JSONValue? = nil, error: String? = nil, continues: Bool? = nil) {
        self.parameters = parameters
        self.error = error
        self.continues = continues
    }

    package init(_ error: ControlError) {
        self.init(parameters: error.parameters, error: error.name)
    }
}

/// Cuts a stream into messages at NUL; bounded, and ends at the first message that is too long.
package struct VarlinkFramer: Sendable {
    private var pending: [UInt8] = []
    private let limit: Int

    /// `limit`: bytes of one message.
    package init(limit: Int) { self.limit = limit }

    /// Returns the messages completed by these bytes.
    package mutating func feed(_ bytes: some Sequence<UInt8>) throws(ControlError) -> [[UInt8]] {
        var messages: [[UInt8]] = []
        for byte in bytes {
            if byte == 0 {
                messages.append(pending)
                pending.removeAll(keepingCapacity: true)
            } else {
                guard pending.count < limit else { throw .malformed("longer than \(limit) bytes") }
                pending.append(byte)
            }
        }
        return messages
    }
}

/// Limits of the control socket; all of them far above what a person or a monitoring system needs.
package enum ControlLimits {
    /// Bytes of one call.
    package static let call = 64 * 1024
    /// Bytes of one reply, as the client accepts it.
    package static let reply = 4 * 1024 * 1024
    package static let connections = 64
    /// Events in one reply.
    package static let eventPage = 64
}
