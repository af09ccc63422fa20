/// A value with one form in bytes: decoding an encoding gives an equal value, and no bytes make decoding trap.
package protocol WireValue: Sendable {
    func encode(to writer: inout ByteWriter)
    init(from reader: inout ByteReader) throws(WireError)
}

extension WireValue {
    /// Bytes of this value's encoding.
    package var encodedSize: Int {
        var writer = ByteWriter()
        encode(to: &writer)
        return writer.count
    }
}

extension NodeID: WireValue {
    package func encode(to writer: inout ByteWriter) { writer.varint(UInt64(value)) }
    package init(from reader: inout ByteReader) throws(WireError) { self.init(try reader.varint32()) }
}

extension Boot: WireValue {
    package func encode(to writer: inout ByteWriter) { writer.varint(value) }
    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(try reader.varint(upTo: Limits.boot))
    }
}

extension NodeBoot: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(node)
        writer.value(boot)
    }
    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(node: try reader.value(), boot: try reader.value())
    }
}

extension Incarnation: WireValue {
    package func encode(to writer: inout ByteWriter) { writer.varint(value) }
    package init(from reader: inout ByteReader) throws(WireError) { self.init(try reader.varint()) }
}

extension Epoch: WireValue {
    package func encode(to writer: inout ByteWriter) { writer.varint(value) }
    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(try reader.varint(upTo: Limits.epoch))
    }
}

extension Round: WireValue {
    package func encode(to writer: inout ByteWriter) { writer.varint(UInt64(value)) }
    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(UInt32(truncatingIfNeeded: try reader.varint(upTo: UInt64(Limits.round))))
    }
}

extension Tenure: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(epoch)
        writer.value(round)
    }
    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(epoch: try reader.value(), round: try reader.value())
    }
}

extension Bits128: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.fixed(low)
        writer.fixed(high)
    }
    package init(from reader: inout ByteReader) throws(WireError) {
        let low = try reader.fixed(UInt64.self)
        self.init(high: try reader.fixed(UInt64.self), low: low)
    }
}

extension Address: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.byte(isIPv4 ? 4 : 6)
        if isIPv4 { writer.fixed(UInt32(truncatingIfNeeded: bits.low)) } else { writer.value(bits) }
        writer.fixed(port)
    }
    package init(from reader: inout ByteReader) throws(WireError) {
        switch try reader.byte() {
        case 4:
            let bits = Bits128(high: 0, low: UInt64(try reader.fixed(UInt32.self)))
            self.init(bits: bits, port: try reader.fixed(UInt16.self), isIPv4: true)
        case 6:
            let bits = try reader.value(Bits128.self)
            self.init(bits: bits, port: try reader.fixed(UInt16.self), isIPv4: false)
        default: throw .malformed
        }
    }
}

extension Instant: WireValue {
    package func encode(to writer: inout ByteWriter) { writer.signed(nanoseconds) }
    package init(from reader: inout ByteReader) throws(WireError) { self.init(nanoseconds: try reader.signed()) }
}

/// Saturates at `Limits.interval` on the way out, is refused beyond it on the way in.
extension Interval: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.signed(min(max(nanoseconds, -Limits.interval), Limits.interval))
    }
    package init(from reader: inout ByteReader) throws(WireError) {
        let nanoseconds = try reader.signed()
        guard (-Limits.interval...Limits.interval).contains(nanoseconds) else { throw .malformed }
        self.init(nanoseconds: nanoseconds)
    }
}
