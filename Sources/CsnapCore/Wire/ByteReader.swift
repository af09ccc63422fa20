/// Takes values from bytes that anybody may have made.
///
/// No method traps or allocates more than a small multiple of the bytes that are there.
package struct ByteReader: Sendable {
    private let bytes: [UInt8]
    private var position: Int
    private let end: Int

    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
        position = 0
        end = bytes.count
    }

    private init(_ bytes: [UInt8], from start: Int, to end: Int) {
        self.bytes = bytes
        position = start
        self.end = end
    }

    package var remaining: Int { end - position }
    package var isAtEnd: Bool { position == end }

    package mutating func byte() throws(WireError) -> UInt8 {
        guard position < end else { throw .truncated }
        defer { position += 1 }
        return bytes[position]
    }

    @_specialize(where Value == UInt64)
    @_specialize(where Value == UInt32)
    @_specialize(where Value == UInt16)
    package mutating func fixed<Value: FixedWidthInteger & UnsignedInteger>(
        _ type: Value.Type
    ) throws(WireError) -> Value {
        let width = Value.bitWidth / 8
        guard remaining >= width else { throw .truncated }
        var value: Value = 0
        for index in (0..<width).reversed() {
            value = value << 8 | Value(truncatingIfNeeded: bytes[position + index])
        }
        position += width
        return value
    }

    /// Refuses numbers above 64 bits and all but the shortest form.
    package mutating func varint() throws(WireError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            let next = try byte()
            if shift == 63, next > 1 { throw .malformed }
            value |= UInt64(next & 0x7f) << shift
            if next < 0x80 {
                if next == 0, shift > 0 { throw .malformed }
                return value
            }
        }
        throw .malformed
    }

    /// A varint of at most `limit`.
    package mutating func varint(upTo limit: UInt64) throws(WireError) -> UInt64 {
        let value = try varint()
        guard value <= limit else { throw .malformed }
        return value
    }

    package mutating func varint32() throws(WireError) -> UInt32 {
        UInt32(truncatingIfNeeded: try varint(upTo: UInt64(UInt32.max)))
    }

    package mutating func signed() throws(WireError) -> Int64 {
        let value = try varint()
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    package mutating func flag() throws(WireError) -> Bool {
        switch try byte() {
        case 0: false
        case 1: true
        default: throw .malformed
        }
    }

    /// The next `count` bytes.
    package mutating func raw(_ count: Int) throws(WireError) -> [UInt8] {
        guard count >= 0, remaining >= count else { throw .truncated }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    /// A length of at most `limit` that is there.
    private mutating func length(limit: Int) throws(WireError) -> Int {
        let length = try varint()
        guard length <= UInt64(limit) else { throw .tooLarge }
        guard length <= UInt64(remaining) else { throw .truncated }
        return Int(length)
    }

    package mutating func counted(limit: Int) throws(WireError) -> [UInt8] {
        try raw(try length(limit: limit))
    }

    /// A reader of the next length-prefixed part alone.
    package mutating func part(limit: Int) throws(WireError) -> ByteReader {
        let length = try length(limit: limit)
        defer { position += length }
        return ByteReader(bytes, from: position, to: position + length)
    }

    package mutating func string(limit: Int) throws(WireError) -> String {
        guard let string = String(validating: try counted(limit: limit), as: UTF8.self) else { throw .malformed }
        return string
    }

    package mutating func choice<Choice: RawRepresentable<UInt8>>(
        _ type: Choice.Type = Choice.self
    ) throws(WireError) -> Choice {
        guard let choice = Choice(rawValue: try byte()) else { throw .malformed }
        return choice
    }

    package mutating func value<Value: WireValue>(_ type: Value.Type = Value.self) throws(WireError) -> Value {
        try Value(from: &self)
    }

    /// A list of at most `limit` values, each of at least one byte.
    package mutating func list<Value: WireValue>(
        of type: Value.Type = Value.self, limit: Int = Limits.members
    ) throws(WireError) -> [Value] {
        let count = try length(limit: limit)
        var values: [Value] = []
        values.reserveCapacity(count)
        for _ in 0..<count { values.append(try Value(from: &self)) }
        return values
    }

    package mutating func optional<Value: WireValue>(_ type: Value.Type = Value.self) throws(WireError) -> Value? {
        try flag() ? try Value(from: &self) : nil
    }

    /// Refuses bytes that nobody asked for.
    package func finish() throws(WireError) {
        guard isAtEnd else { throw .trailingBytes }
    }
}
