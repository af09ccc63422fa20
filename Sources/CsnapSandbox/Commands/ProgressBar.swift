import Glibc

/// How far a long work is, on one line of a terminal; nothing anywhere else.
package final class ProgressBar {
    private static let interval: Int64 = 100_000_000
    private let title: String
    private let isTerminal = isatty(2) == 1
    private var shown = Int64.min

    package init(_ title: String) { self.title = title }

    /// At most ten times a second.
    package func show(_ done: UInt64, of total: UInt64) {
        let now = boottime()
        guard isTerminal, now - Self.interval > shown else { return }
        shown = now
        let share = total == 0 ? 1 : min(1, Double(done) / Double(total))
        Terminal.put("\r\(title) [\(Terminal.bar(share, rest: "."))] \(Int(share * 100)) %", to: 2)
    }

    /// Leaves no trace on the line.
    package func end() {
        if isTerminal, shown != .min { Terminal.put("\r\u{1b}[K", to: 2) }
    }
}
