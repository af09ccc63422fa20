/// Appends integers in network byte order.
extension [UInt8] {
    mutating func append(big value: some FixedWidthInteger & UnsignedInteger) {
        var shift = value.bitWidth
        while shift > 0 {
            shift -= 8
            append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }
}

/// Takes integers in network byte order off the front of some bytes; nil when they are too few.
struct ByteReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var remaining: Int { bytes.count - position }

    mutating func integer<Value: FixedWidthInteger & UnsignedInteger>(_: Value.Type) -> Value? {
        let size = Value.bitWidth / 8
        guard remaining >= size else { return nil }
        var value: Value = 0
        for offset in 0..<size { value = value << 8 | Value(bytes[position + offset]) }
        position += size
        return value
    }

    /// A string that its length goes before; invalid UTF-8 becomes a name that no export has.
    mutating func string() -> String? {
        guard let length = integer(UInt32.self), length <= remaining else { return nil }
        let end = position + Int(length)
        defer { position = end }
        return String(decoding: bytes[position..<end], as: UTF8.self)
    }
}
