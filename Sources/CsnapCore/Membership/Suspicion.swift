/// An accusation that runs: who accuses, and until when the accused may refute it.
///
/// The more members confirm independently, the shorter it runs (Lifeguard, "LHA-Suspicion"); with two members
/// nobody can confirm, and local health alone sets its length (docs/protocol.md §2).
struct Suspicion: Equatable, Sendable {
    /// More confirmations than these shorten nothing.
    static let mostConfirmations = 3

    let startedAt: Instant
    /// K = min(3, N−2), as it was when the suspicion began.
    let needed: Int
    private let shortest: Interval
    private let longest: Interval
    /// In order of node id; the first accuser and at most K more.
    private(set) var accusers: [NodeID] = []
    /// A grace beyond the computed deadline: we hear the accused ourselves, or we were deaf.
    private var extendedUntil = Instant.distantPast

    /// `members`: all that are not unreachable or left, this agent and the accused included.
    init(at now: Instant, members: Int, health: LocalHealth, timing: Timing) {
        startedAt = now
        needed = max(0, min(Self.mostConfirmations, members - 2))
        let scale = Self.scalePerMille(members: members)
        let minimum = timing.suspicionMinimum * scale / 1000
        let maximum = timing.suspicionMaximum * scale / 1000
        shortest = minimum
        longest =
            needed > 0
            ? maximum : minimum + (maximum - minimum) * Int64(health.value) / Int64(LocalHealth.worst)
    }

    /// max(1, log₁₀ N) in thousandths: news takes longer to reach everybody in a larger group.
    private static func scalePerMille(members: Int) -> Int64 {
        max(1000, 301 * Int64(logarithm2(members)))
    }

    /// Adds an accuser; false when it is known or no more are needed.
    mutating func accuse(by accuser: NodeID) -> Bool {
        let index = accusers.firstIndex { $0 >= accuser } ?? accusers.count
        if index < accusers.count, accusers[index] == accuser { return false }
        guard accusers.count <= needed else { return false }
        accusers.insert(accuser, at: index)
        return true
    }

    /// When the accused becomes unreachable: max − (max − min) · log(C+1) / log(K+1).
    var deadline: Instant {
        let confirmations = min(max(0, accusers.count - 1), needed)
        let shortening = (longest - shortest) * Self.logarithmRatio(confirmations, of: needed) / 1000
        return max(startedAt + longest - shortening, extendedUntil)
    }

    mutating func extend(until instant: Instant) { extendedUntil = max(extendedUntil, instant) }

    /// log(C+1)/log(K+1) in thousandths, for K ≤ 3.
    private static func logarithmRatio(_ confirmations: Int, of needed: Int) -> Int64 {
        if confirmations == 0 { return 0 }
        if confirmations >= needed { return 1000 }
        switch (confirmations, needed) {
        case (1, 2): return 631
        case (1, 3): return 500
        default: return 792
        }
    }
}

/// The smallest n with 2ⁿ ≥ value; 0 for values below 2.
func logarithm2(_ value: Int) -> Int {
    value < 2 ? 0 : Int.bitWidth - (value - 1).leadingZeroBitCount
}
