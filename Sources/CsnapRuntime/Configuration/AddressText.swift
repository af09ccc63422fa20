package import CsnapCore
import Glibc

extension Address {
    /// From "192.0.2.11:7411" or "[2001:db8::1]:7411"; numbers only, port 1 to 65535. Nil for anything else.
    package init?(text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        guard digits.allSatisfy({ $0.isASCII && $0.isNumber }), let port = UInt16(digits), port > 0 else { return nil }
        let host = text[..<colon]
        if host.hasPrefix("[") && host.hasSuffix("]") {
            guard let bits = Self.ipv6(String(host.dropFirst().dropLast())) else { return nil }
            self.init(bits: bits, port: port, isIPv4: false)
        } else {
            var address = in_addr()
            guard inet_pton(AF_INET, String(host), &address) == 1 else { return nil }
            let low = UInt64(UInt32(bigEndian: address.s_addr))
            self.init(bits: Bits128(high: 0, low: low), port: port, isIPv4: true)
        }
    }

    /// The host alone, as inet_ntop writes it.
    package var hostText: String {
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        if isIPv4 {
            var address = in_addr(s_addr: UInt32(truncatingIfNeeded: bits.low).bigEndian)
            inet_ntop(AF_INET, &address, &buffer, socklen_t(buffer.count))
        } else {
            var address = (bits.high.bigEndian, bits.low.bigEndian)
            inet_ntop(AF_INET6, &address, &buffer, socklen_t(buffer.count))
        }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// What `init(text:)` reads.
    package var text: String { isIPv4 ? "\(hostText):\(port)" : "[\(hostText)]:\(port)" }

    private static func ipv6(_ text: String) -> Bits128? {
        var words: (UInt64, UInt64) = (0, 0)
        guard inet_pton(AF_INET6, text, &words) == 1 else { return nil }
        return Bits128(high: UInt64(bigEndian: words.0), low: UInt64(bigEndian: words.1))
    }
}
