// Field by field, in the order of the types; docs/protocol.md §4 and §6.

extension AdmissionEntry: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(process)
        writer.value(epoch)
        writer.value(status)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(process: try reader.value(), epoch: try reader.value(), status: try reader.value())
    }
}

extension ClientLease: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(nonce)
        writer.value(tenure)
        writer.varint(UInt64(clients))
        writer.flag(suspended)
        writer.flag(mayWait)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            nonce: try reader.fixed(UInt64.self), tenure: try reader.value(), clients: try reader.varint32(),
            suspended: try reader.flag(), mayWait: try reader.flag())
    }
}

extension ClientLeaseAck: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(nonce)
        writer.value(tenure)
        writer.value(remaining)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(nonce: try reader.fixed(UInt64.self), tenure: try reader.value(), remaining: try reader.value())
    }
}

extension Evicted: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(tenure)
        writer.value(process)
        writer.choice(cause)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(tenure: try reader.value(), process: try reader.value(), cause: try reader.choice())
    }
}

extension Table: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.varint(sequence)
        writer.list(entries)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(epoch: try reader.value(), sequence: try reader.varint(), entries: try reader.list())
    }
}

extension TableAck: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.varint(sequence)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(epoch: try reader.value(), sequence: try reader.varint())
    }
}

extension Recover: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(tenure)
        writer.fixed(setHash)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(tenure: try reader.value(), setHash: try reader.fixed(UInt64.self))
    }
}

extension Ready: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(tenure)
        writer.fixed(setHash)
        writer.varint(UInt64(clients))
        writer.varint(UInt64(writesInFlight))
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            tenure: try reader.value(), setHash: try reader.fixed(UInt64.self), clients: try reader.varint32(),
            writesInFlight: try reader.varint32())
    }
}

extension Started: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(tenure)
        writer.fixed(setHash)
        writer.value(address)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(tenure: try reader.value(), setHash: try reader.fixed(UInt64.self), address: try reader.value())
    }
}

extension Reconnected: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(tenure)
        writer.fixed(setHash)
        writer.varint(UInt64(clients))
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(tenure: try reader.value(), setHash: try reader.fixed(UInt64.self), clients: try reader.varint32())
    }
}

extension Resume: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(tenure)
        writer.fixed(setHash)
        writer.value(address)
        writer.value(process)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            tenure: try reader.value(), setHash: try reader.fixed(UInt64.self), address: try reader.value(),
            process: try reader.value())
    }
}

extension ResumeAck: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(tenure)
        writer.fixed(setHash)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(tenure: try reader.value(), setHash: try reader.fixed(UInt64.self))
    }
}

extension OperatorRequest: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(command)
        writer.value(verb)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(command: try reader.value(), verb: try reader.value())
    }
}

extension OperatorReply: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(command)
        writer.value(outcome)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(command: try reader.value(), outcome: try reader.value())
    }
}
