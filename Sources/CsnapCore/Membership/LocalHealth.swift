/// Lifeguard's local health: how much this agent distrusts its own timing, 0 (healthy) to 8 (docs/protocol.md §2).
struct LocalHealth: Equatable, Sendable {
    static let worst = 8

    private(set) var value = 0

    mutating func worsen(by amount: Int = 1) { value = min(Self.worst, value + amount) }
    mutating func improve() { value = max(0, value - 1) }

    /// Periods and time-outs grow with it.
    func stretch(_ interval: Interval) -> Interval { interval * Int64(1 + value) }
}
