import CsnapCore
import CsnapSimulation
import Testing

/// Seed 657255: a slow clock went back by some nanoseconds once a microsecond, and an agent that knows better gave a
/// lease that seemed too long.
@Suite("Clocks")
struct ClockTests {
    @Test(arguments: [-10_000, -1, 0, 1, 10_000] as [Int64])
    func aClockNeverRunsBackwards(rate: Int64) {
        let clock = NodeClock(offset: 1_000_000_000, origin: 123, rate: rate)
        var last = Instant.distantPast
        for time in (38_685_366_000...38_685_376_000) as ClosedRange<TrueTime> {
            let shown = clock.local(at: time)
            #expect(shown >= last)
            last = shown
        }
        #expect(clock.local(at: 123 + 1_000_000_000) == Instant(nanoseconds: 2_000_000_000 + rate * 1000))
    }
}
