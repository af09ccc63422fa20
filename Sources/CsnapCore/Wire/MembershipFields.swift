// Field by field, in the order of the types; docs/protocol.md §4. New fields go to the end of a message: an older
// version skips them there.

extension Ping: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.varint(sequence)
        writer.value(target)
        writer.value(incarnation)
        writer.byte(min(localHealth, Limits.localHealth))
        writer.value(sentAt)
        writer.gossip(gossip)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            sequence: try reader.varint(), target: try reader.value(), incarnation: try reader.value(),
            localHealth: try reader.localHealth(), sentAt: try reader.value(), gossip: try reader.gossip())
    }
}

extension Ack: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.varint(sequence)
        writer.value(target)
        writer.value(incarnation)
        writer.byte(min(localHealth, Limits.localHealth))
        writer.value(echo)
        writer.gossip(gossip)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            sequence: try reader.varint(), target: try reader.value(), incarnation: try reader.value(),
            localHealth: try reader.localHealth(), echo: try reader.value(), gossip: try reader.gossip())
    }
}

extension PingRequest: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.varint(sequence)
        writer.value(target)
        writer.value(address)
        writer.value(budget)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            sequence: try reader.varint(), target: try reader.value(), address: try reader.value(),
            budget: try reader.value())
    }
}

extension SyncDigest.RangeHash: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(firstNode)
        writer.value(lastNode)
        writer.fixed(hash)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(firstNode: try reader.value(), lastNode: try reader.value(), hash: try reader.fixed(UInt64.self))
    }
}

extension SyncDigest: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.list(ranges)
        writer.fixed(configurationHash)
        writer.fixed(claimHash)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            ranges: try reader.list(), configurationHash: try reader.fixed(UInt64.self),
            claimHash: try reader.fixed(UInt64.self))
    }
}

extension SyncPage: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.list(records)
        writer.optional(claim)
        writer.optional(configuration)
        writer.flag(wantsAnswer)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            records: try reader.list(), claim: try reader.optional(), configuration: try reader.optional(),
            wantsAnswer: try reader.flag())
    }
}

extension Join: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(nonce)
        writer.value(record)
        writer.value(machineID)
        writer.value(kernelBootID)
        writer.varint(configurationVersion)
        writer.value(highestEpoch)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            nonce: try reader.fixed(UInt64.self), record: try reader.value(), machineID: try reader.value(),
            kernelBootID: try reader.value(), configurationVersion: try reader.varint(),
            highestEpoch: try reader.value())
    }
}

extension JoinAck: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(nonce)
        writer.value(cluster)
        writer.list(records)
        writer.optional(claim)
        writer.optional(configuration)
        writer.optional(pending)
        writer.value(highestEpoch)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            nonce: try reader.fixed(UInt64.self), cluster: try reader.value(), records: try reader.list(),
            claim: try reader.optional(), configuration: try reader.optional(), pending: try reader.optional(),
            highestEpoch: try reader.value())
    }
}

extension BootTooOld: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(nonce)
        writer.value(highest)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(nonce: try reader.fixed(UInt64.self), highest: try reader.value())
    }
}

extension ForeignGroup: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(nonce)
        writer.value(cluster)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(nonce: try reader.fixed(UInt64.self), cluster: try reader.value())
    }
}

extension IdConflict: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(nonce)
        writer.value(node)
        writer.value(address)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(nonce: try reader.fixed(UInt64.self), node: try reader.value(), address: try reader.value())
    }
}
