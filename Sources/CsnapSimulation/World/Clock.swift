package import CsnapCore

/// True time of the simulated world, in nanoseconds since its beginning. No node can see it.
package typealias TrueTime = Int64

/// Later than any time a run reaches.
let never: TrueTime = .max / 4

/// One node's CLOCK_BOOTTIME: it starts at `offset` at true time `origin` and runs at a rate of 1 + `rate`.
package struct NodeClock: Sendable {
    var offset: Int64
    var origin: TrueTime
    /// Parts per million; ρ = 1 % is 10,000.
    var rate: Int64

    package init(offset: Int64, origin: TrueTime, rate: Int64) {
        self.offset = offset
        self.origin = origin
        self.rate = rate
    }

    /// Never earlier than at an earlier time.
    package func local(at time: TrueTime) -> Instant {
        let elapsed = time - origin
        return Instant(nanoseconds: offset + elapsed + elapsed * rate / 1_000_000)
    }

    /// The first true time at which the clock shows at least `instant`.
    func trueTime(of instant: Instant) -> TrueTime {
        let elapsed = instant.nanoseconds - offset
        guard elapsed < 8_000_000_000_000 else { return never }
        guard elapsed > 0 else { return origin }
        var time = origin + elapsed / 1000 * 1_000_000 / (1_000_000 + rate) * 1000
        while local(at: time) < instant { time += 500 }
        return time
    }
}
