import Glibc

/// The terminal, or what stands in for it.
package enum Terminal {
    package static func say(_ text: String) { put(text + "\n", to: 1) }
    package static func complain(_ text: String) { put(text + "\n", to: 2) }

    /// Colour only on a terminal, and not with NO_COLOR set (no-color.org).
    package static var hasColour: Bool {
        isatty(1) == 1 && (getenv("NO_COLOR").map { $0.pointee == 0 } ?? true)
    }

    package enum Style: String {
        case bold = "1"
        case red = "31"
        case green = "32"
        case yellow = "33"
    }

    package static func styled(_ text: String, _ style: Style) -> String {
        hasColour ? "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m" : text
    }

    /// For `--watch`: the cursor goes home and the rest of the screen is cleared.
    package static func clear() {
        if isatty(1) == 1 { put("\u{1b}[H\u{1b}[J", to: 1) }
    }

    /// `#` for what is done, as many of `rest` as are missing to `width`.
    static func bar(_ share: Double, width: Int = 30, rest: Character) -> String {
        let done = Int(share * Double(width))
        return String(repeating: "#", count: done) + String(repeating: rest, count: width - done)
    }

    static func put(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                write(descriptor, buffer.baseAddress.map { $0 + sent }, bytes.count - sent)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            sent += count
        }
    }
}
