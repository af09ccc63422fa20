/// Which counters of one sending process were seen: a bitmap over the newest 4096 (RFC 6479's ring of words).
struct ReplayWindow: Sendable {
    static let size: UInt64 = 4096
    private static let wordCount = Int(size / 64)

    /// The ring has one word more than the window, so that a word can be cleared before it is used again.
    private var words = [UInt64](repeating: 0, count: wordCount + 1)
    private var highest: UInt64 = 0

    /// Neither seen nor too old to tell. Counters start at 1.
    func isFresh(_ counter: UInt64) -> Bool {
        guard counter > 0 else { return false }
        if counter > highest { return true }
        guard highest - counter < Self.size else { return false }
        return words[slot(counter)] & bit(counter) == 0
    }

    /// To be called for authenticated packets only: an outsider must not move the window.
    mutating func accept(_ counter: UInt64) {
        if counter > highest {
            let steps = min(counter / 64 - highest / 64, UInt64(words.count))
            for step in 0..<steps { words[slot(counter - step * 64)] = 0 }
            highest = counter
        }
        words[slot(counter)] |= bit(counter)
    }

    private func slot(_ counter: UInt64) -> Int { Int(counter / 64 % UInt64(words.count)) }
    private func bit(_ counter: UInt64) -> UInt64 { 1 << (counter % 64) }
}
