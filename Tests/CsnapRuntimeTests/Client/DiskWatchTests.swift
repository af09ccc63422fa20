import CsnapCore
import CsnapRuntime
import Testing

/// What counts as a disk that hangs.
@Suite struct DiskWatchTests {
    private let start = Instant(nanoseconds: 1_000_000_000_000)

    private func second(_ number: Int64) -> Instant { start + .seconds(number) }

    @Test func onlyWhatStaysForTheBoundHangs() throws {
        let watch = try DiskWatch()
        watch.begin(3)
        watch.begin(200)
        #expect(watch.look(start) == DiskWatch.Hanging())
        for number in Int64(1)...4 { #expect(watch.look(second(number)) == DiskWatch.Hanging(), "\(number) s") }
        #expect(watch.look(second(5)) == DiskWatch.Hanging(requests: 2, since: start))
        watch.end(3)
        #expect(watch.look(second(6)) == DiskWatch.Hanging(requests: 1, since: start))
        watch.end(200)
        #expect(watch.look(second(7)) == DiskWatch.Hanging())
    }

    /// A place is used again and again: only the same request in it grows old.
    @Test func manyShortRequestsAreNoneThatHangs() throws {
        let watch = try DiskWatch()
        for number in Int64(0)...20 {
            watch.begin(7)
            #expect(watch.look(second(number)) == DiskWatch.Hanging(), "\(number) s")
            watch.end(7)
        }
    }

    /// The process was stopped, or the machine slept: the disk is not to blame.
    @Test func timeInWhichNobodyLookedDoesNotCount() throws {
        let watch = try DiskWatch()
        watch.begin(DiskWatch.flush)
        for number in Int64(0)...2 { _ = watch.look(second(number)) }
        #expect(watch.look(second(60)) == DiskWatch.Hanging())
        for number in Int64(61)...64 { #expect(watch.look(second(number)) == DiskWatch.Hanging(), "\(number) s") }
        #expect(watch.look(second(65)) == DiskWatch.Hanging(requests: 1, since: second(60)))
    }
}
