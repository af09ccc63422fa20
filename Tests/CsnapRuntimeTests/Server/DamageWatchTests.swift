import CsnapCore
import CsnapRuntime
import CsnapStore
import Testing

/// What of a store's damage is said, how often, and how long the store's own work rests after it.
@Suite struct DamageWatchTests {
    private let first = StoreError.damaged(offset: 4096)
    private let second = StoreError.damagedData(SnapshotNumber(3), chunk: 7)

    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: 0) + .milliseconds(milliseconds) }

    @Test func whatIsMetIsSaidOnce() {
        var watch = DamageWatch()
        #expect(watch.take() == nil)
        watch.met(first, at: at(0))
        #expect(watch.take() == first)
        #expect(watch.take() == nil)
    }

    /// A client that reads the same place again and again.
    @Test func theSameIsSaidOnceAMinute() {
        var watch = DamageWatch()
        var said: [Int64] = []
        for time in stride(from: Int64(0), through: 130_000, by: 10) {
            watch.met(first, at: at(time))
            if watch.take() != nil { said.append(time) }
        }
        #expect(said == [0, 60_000, 120_000])
    }

    /// Clients that read two places in turn: neither makes the other new.
    @Test func eachPlaceIsSaidOnceAMinute() {
        var watch = DamageWatch()
        var said: [(time: Int64, error: StoreError)] = []
        for time in stride(from: Int64(0), through: 61_500, by: 10) {
            watch.met(time % 20 == 0 ? first : second, at: at(time))
            if let error = watch.take() { said.append((time, error)) }
        }
        #expect(said.map(\.time) == [0, 1010, 60_000, 61_010])
        #expect(said.map(\.error) == [first, second, first, second])
    }

    @Test func aPlaceOfTheOriginThatCannotBeReadIsSaid() {
        var watch = DamageWatch()
        let error = StoreError.originRead(chunk: 3, .system(5))
        watch.met(error, at: at(0))
        #expect(watch.take() == error && !watch.isResting(at(0)))
    }

    /// A disk that is destroyed in many places.
    @Test func atMostOneLineASecond() {
        var watch = DamageWatch()
        var said: [Int64] = []
        for time in stride(from: Int64(0), through: 3000, by: 10) {
            watch.met(.damaged(offset: UInt64(time) * 4096), at: at(time))
            if watch.take() != nil { said.append(time) }
        }
        #expect(said == [0, 1000, 2000, 3000])
    }

    /// Nobody asked in between: the newer one stands for both.
    @Test func whatIsNotTakenYetIsReplaced() {
        var watch = DamageWatch()
        watch.met(first, at: at(0))
        watch.met(second, at: at(999))
        watch.met(second, at: at(1000))
        #expect(watch.take() == second)
        #expect(watch.take() == nil)
    }

    /// Its next step would meet the same; a client's request says nothing of the work's own way.
    @Test func onlyTheWorkThatMeetsDamageRests() {
        var watch = DamageWatch()
        watch.met(first, at: at(0))
        #expect(!watch.isResting(at(0)))
        watch.met(first, isWork: true, at: at(10))
        #expect(watch.isResting(at(10)) && watch.isResting(at(1009)))
        #expect(!watch.isResting(at(1010)))
        watch.met(first, isWork: true, at: at(1010))
        #expect(watch.isResting(at(2009)), "said or not, it rests again")
        #expect(watch.take() == first)
    }

    @Test func whatIsNoDamageNeitherRestsNorIsSaid() {
        var watch = DamageWatch()
        for error in [StoreError.noSuchSnapshot(SnapshotNumber(1)), .outOfRange] {
            watch.met(error, isWork: true, at: at(0))
        }
        #expect(watch.take() == nil)
        #expect(!watch.isResting(at(0)))
    }

    @Test func aCheckpointWithoutRoomRestsForAMoment() {
        var watch = DamageWatch()
        watch.met(.full, at: at(0))
        #expect(!watch.isResting(at(0)), "a client's write found none")
        watch.met(.full, isWork: true, at: at(0))
        #expect(watch.isResting(at(99)) && !watch.isResting(at(100)))
        #expect(watch.take() == nil)
    }
}
