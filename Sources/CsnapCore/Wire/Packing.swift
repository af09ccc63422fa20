/// Divides messages for one peer among datagrams.
package enum Packing {
    package struct Result: Equatable, Sendable {
        /// Items of each datagram, at most `Limits.payload` bytes, in the order of the messages.
        package var payloads: [[UInt8]]
        /// Messages that no datagram can hold and nothing can divide; they were left out, and are to be reported.
        package var oversized: [MessageKind]
    }

    package static func pack(_ messages: [Message]) -> Result {
        var result = Result(payloads: [], oversized: [])
        var current: [UInt8] = []
        for message in messages.flatMap(divided) {
            let item = MessageCodec.encode([message])
            guard item.count <= Limits.payload else {
                result.oversized.append(message.kind)
                continue
            }
            if current.count + item.count > Limits.payload {
                result.payloads.append(current)
                current = []
            }
            current += item
        }
        if !current.isEmpty { result.payloads.append(current) }
        return result
    }

    /// The message itself, or, where its lists are too long for one datagram and their order and company mean
    /// nothing, several that say the same. A JoinAck is shortened: anti-entropy brings the rest.
    static func divided(_ message: Message) -> [Message] {
        guard MessageCodec.encodedSize(message) > Limits.payload else { return [message] }
        switch message {
        case .ping(var ping):
            let news = ping.gossip
            ping.gossip = []
            return [.ping(ping)] + halves(news)
        case .ack(var ack):
            let news = ack.gossip
            ack.gossip = []
            return [.ack(ack)] + halves(news)
        case .news(let items): return halves(items)
        case .syncPage(let page): return halves(page)
        case .joinAck(var ack):
            guard !ack.records.isEmpty else { return [message] }
            while MessageCodec.encodedSize(.joinAck(ack)) > Limits.payload, !ack.records.isEmpty {
                ack.records.removeLast()
            }
            return [.joinAck(ack)]
        default: return [message]
        }
    }

    private static func halves(_ items: [GossipItem]) -> [Message] {
        guard items.count > 1, MessageCodec.encodedSize(.news(items)) > Limits.payload else { return [.news(items)] }
        let middle = items.count / 2
        return halves(Array(items[..<middle])) + halves(Array(items[middle...]))
    }

    private static func halves(_ page: SyncPage) -> [Message] {
        let tooLarge = MessageCodec.encodedSize(.syncPage(page)) > Limits.payload
        guard page.records.count > 1, tooLarge else { return [.syncPage(page)] }
        let middle = page.records.count / 2
        var first = page
        first.records = Array(page.records[..<middle])
        let second = SyncPage(
            records: Array(page.records[middle...]), claim: nil, configuration: nil, wantsAnswer: false)
        return halves(first) + halves(second)
    }
}
