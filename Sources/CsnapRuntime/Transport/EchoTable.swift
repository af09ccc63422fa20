import CsnapCore

/// The start bits to echo to an address: of the process last heard there, or that says it is reached there.
struct EchoTable: Sendable {
    /// Two addresses of each member.
    static let limit = 2 * Limits.members

    private var bits: [Address: Bits128] = [:]

    subscript(address: Address) -> Bits128 {
        get { bits[address] ?? .zero }
        set {
            if bits[address] == nil, bits.count >= Self.limit, let any = bits.keys.first { bits[any] = nil }
            bits[address] = newValue
        }
    }
}
