/// Gossip items: kind, length, fields. An item of an unknown kind is skipped, alone.
extension GossipItem {
    /// Bytes this item adds to a message that carries gossip (its list's count apart).
    package var encodedSize: Int {
        var writer = ByteWriter()
        encode(to: &writer)
        return writer.count
    }

    fileprivate func encode(to writer: inout ByteWriter) {
        var body = ByteWriter(capacity: 48)
        switch self {
        case .member(let record):
            writer.byte(1)
            body.value(record)
        case .accusation(let accuser, let process, let incarnation):
            writer.byte(2)
            body.value(accuser)
            body.value(process)
            body.value(incarnation)
        case .claim(let claim):
            writer.byte(3)
            body.value(claim)
        case .configuration(let set):
            writer.byte(4)
            body.value(set)
        }
        writer.counted(body.bytes)
    }

    fileprivate init?(kind: UInt8, from reader: inout ByteReader) throws(WireError) {
        switch kind {
        case 1: self = .member(try reader.value())
        case 2:
            self = .accusation(
                accuser: try reader.value(), process: try reader.value(), incarnation: try reader.value())
        case 3: self = .claim(try reader.value())
        case 4: self = .configuration(try reader.value())
        default: return nil
        }
    }
}

extension ByteWriter {
    mutating func gossip(_ items: [GossipItem]) {
        varint(UInt64(items.count))
        for item in items { item.encode(to: &self) }
    }
}

extension ByteReader {
    mutating func gossip() throws(WireError) -> [GossipItem] {
        let count = try varint(upTo: UInt64(Limits.datagram))
        var items: [GossipItem] = []
        for _ in 0..<count {
            let kind = try byte()
            var body = try part(limit: Limits.datagram)
            if let item = try GossipItem(kind: kind, from: &body) { items.append(item) }
        }
        return items
    }
}
