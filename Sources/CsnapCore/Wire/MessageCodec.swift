/// The items of a packet: kind, length, fields (docs/protocol.md §3). Unknown kinds and fields appended by later
/// versions are skipped, which is what lets versions mix during an upgrade.
package enum MessageCodec {
    package static func encode(_ messages: [Message]) -> [UInt8] {
        var writer = ByteWriter(capacity: Limits.payload)
        for message in messages { encode(message, to: &writer) }
        return writer.bytes
    }

    /// Throws when any item is cut short or holds an impossible value; then none of the packet is to be obeyed.
    package static func decode(_ bytes: [UInt8]) throws(WireError) -> [Message] {
        guard bytes.count <= Limits.datagram else { throw .tooLarge }
        var reader = ByteReader(bytes)
        var messages: [Message] = []
        while !reader.isAtEnd {
            let kind = try reader.byte()
            var body = try reader.part(limit: Limits.datagram)
            if let kind = MessageKind(rawValue: kind) {
                messages.append(try Message(kind: kind, from: &body))
            }
        }
        return messages
    }

    /// Bytes of this message in a packet, its kind and length included; at most `Limits.payload` can be sent.
    package static func encodedSize(_ message: Message) -> Int {
        var writer = ByteWriter(capacity: 128)
        encode(message, to: &writer)
        return writer.count
    }

    /// A Join fills its datagram, so that no answer to a stranger is larger than what the stranger sent (§3).
    private static func encode(_ message: Message, to writer: inout ByteWriter) {
        var body = ByteWriter(capacity: 128)
        message.encodeBody(to: &body)
        if case .join = message { body.zeros(Limits.payload - itemOverhead - body.count) }
        writer.byte(message.kind.rawValue)
        writer.counted(body.bytes)
    }

    /// Kind and a length of two bytes.
    private static let itemOverhead = 3
}
