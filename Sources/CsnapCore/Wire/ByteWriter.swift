/// Appends values to bytes. Fixed integers are little-endian, varints LEB128 in their shortest form.
package struct ByteWriter: Sendable {
    package private(set) var bytes: [UInt8] = []

    package init(capacity: Int = 0) {
        if capacity > 0 { bytes.reserveCapacity(capacity) }
    }

    package var count: Int { bytes.count }

    package mutating func byte(_ value: UInt8) { bytes.append(value) }

    @_specialize(where Value == UInt64)
    @_specialize(where Value == UInt32)
    @_specialize(where Value == UInt16)
    package mutating func fixed<Value: FixedWidthInteger & UnsignedInteger>(_ value: Value) {
        var rest = value
        for _ in 0..<(Value.bitWidth / 8) {
            bytes.append(UInt8(truncatingIfNeeded: rest))
            rest >>= 8
        }
    }

    package mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    /// A signed number, zigzag: small magnitudes are short.
    package mutating func signed(_ value: Int64) {
        varint(UInt64(bitPattern: (value << 1) ^ (value >> 63)))
    }

    package mutating func flag(_ value: Bool) { byte(value ? 1 : 0) }

    /// The same for an array, which needs no iterator.
    package mutating func raw(_ value: [UInt8]) { bytes += value }

    package mutating func raw(_ value: some Sequence<UInt8>) { bytes.append(contentsOf: value) }

    /// `count` zero bytes; none if it is negative.
    package mutating func zeros(_ count: Int) {
        if count > 0 { bytes.append(contentsOf: repeatElement(0, count: count)) }
    }

    /// A length and that many bytes.
    package mutating func counted(_ value: [UInt8]) {
        varint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }

    package mutating func string(_ value: String) { counted(Array(value.utf8)) }

    package mutating func choice<Choice: RawRepresentable<UInt8>>(_ value: Choice) { byte(value.rawValue) }

    package mutating func value(_ value: some WireValue) { value.encode(to: &self) }

    package mutating func list(_ values: [some WireValue]) {
        varint(UInt64(values.count))
        for value in values { value.encode(to: &self) }
    }

    package mutating func optional(_ value: (some WireValue)?) {
        flag(value != nil)
        if let value { value.encode(to: &self) }
    }
}
