import NBDProtocol

/// The bytes a client sends, and what the server's machine did with them.
enum Client {
    static let origin = NBDExport(
        name: "origin", description: "origin of v", size: 1 << 20, minimumBlock: 512, preferredBlock: 65536)
    static let other = NBDExport(
        name: "other", description: "", size: 1 << 30, minimumBlock: 4096, preferredBlock: 65536)

    static func big(_ value: some FixedWidthInteger & UnsignedInteger) -> [UInt8] {
        stride(from: value.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    static func option(_ code: UInt32, _ data: [UInt8] = []) -> [UInt8] {
        big(UInt64(0x4948_4156_454F_5054)) + big(code) + big(UInt32(data.count)) + data
    }

    static func string(_ text: String) -> [UInt8] { big(UInt32(text.utf8.count)) + Array(text.utf8) }

    static func request(
        _ type: UInt16, flags: UInt16 = 0, cookie: UInt64 = 7, offset: UInt64 = 0, length: UInt32 = 512
    ) -> [UInt8] {
        big(UInt32(0x2560_9513)) + big(flags) + big(type) + big(cookie) + big(offset) + big(length)
    }

    /// Feeds the bytes in the portions the machine wants; returns all replies and the last step.
    static func run(
        _ bytes: [UInt8], exports: [NBDExport] = [origin, other]
    ) -> (replies: [UInt8], last: NBDHandshake.Step) {
        var machine = NBDHandshake(exports: exports)
        var rest = bytes[...]
        var replies: [UInt8] = []
        var last = NBDHandshake.Step.reply([])
        while machine.wanted > 0, machine.wanted <= rest.count {
            let portion = Array(rest.prefix(machine.wanted))
            rest = rest.dropFirst(portion.count)
            last = machine.receive(portion)
            switch last {
            case .reply(let sent), .transmit(let sent, _), .close(let sent): replies += sent
            }
        }
        return (replies, last)
    }

    static func reply(_ option: UInt32, _ type: UInt32, _ data: [UInt8] = []) -> [UInt8] {
        big(UInt64(0x0003_E889_0455_65A9)) + big(option) + big(type) + big(UInt32(data.count)) + data
    }
}

/// SplitMix64: the same inputs at every run.
struct Words: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}
