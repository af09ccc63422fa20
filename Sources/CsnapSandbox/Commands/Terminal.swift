import Glibc
import Synchronization

/// The terminal, or what stands in for it.
package enum Terminal {
    package static func say(_ text: String) { put(text + "\n", to: 1) }
    package static func complain(_ text: String) { put(text + "\n", to: 2) }

    /// Of the first write to standard output that failed; 0: none has.
    private static let errorNumber = Atomic<Int32>(0)

    /// The errno of that write. From then on nothing is written there: a list may end early, never have a hole.
    static var failure: Int32? {
        let code = errorNumber.load(ordering: .relaxed)
        return code == 0 ? nil : code
    }

    /// False, for good, when a write to standard output failed or its reader has gone.
    static var isHeard: Bool {
        var entry = pollfd(fd: 1, events: 0, revents: 0)
        if failure == nil, poll(&entry, 1, 0) > 0 { errorNumber.store(EPIPE, ordering: .relaxed) }
        return failure == nil
    }

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
        guard descriptor != 1 || failure == nil else { return }
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                write(descriptor, buffer.baseAddress.map { $0 + sent }, bytes.count - sent)
            }
            let code = count < 0 ? errno : EIO
            if count < 0, code == EINTR || code == EAGAIN && waitForRoom(descriptor) { continue }
            guard count > 0 else {
                if descriptor == 1 { errorNumber.store(code, ordering: .relaxed) }
                return
            }
            sent += count
        }
    }

    /// As if the descriptor were a blocking one; false if a person ends the command meanwhile.
    private static func waitForRoom(_ descriptor: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        while poll(&entry, 1, 200) <= 0 {
            if Interruption.isRequested { return false }
        }
        return true
    }
}
