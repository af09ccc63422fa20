import CsnapSandbox
import Testing

/// docs/decisions/0057-schedules-count-not-clocks.md
@Suite("Retention rule")
struct RetentionRuleTests {
    typealias Item = RetentionRule.Item

    static let hour: UInt64 = 3600
    static let day = 24 * hour
    /// Monday, 2026-11-30 0:00 UTC.
    static let monday: UInt64 = 1_795_996_800
    static let rule = RetentionRule(hourly: 24, daily: 7, weekly: 4)

    /// Turns at these times: makes what is due, deletes what has expired, as the schedule does.
    static func play(
        _ rule: RetentionRule, _ times: some Sequence<UInt64>, _ items: [Item] = []
    ) -> (items: [Item], made: Int) {
        var items = items
        var number = items.last?.number ?? 0
        var made = 0
        for time in times {
            if rule.isDue(items, at: time) {
                number += 1
                made += 1
                items.append(Item(number: number, created: time))
            }
            let expired = Set(rule.expired(items))
            items.removeAll { expired.contains($0.number) }
        }
        return (items, made)
    }

    @Test("two months of turns every ten minutes: 24 hours, 7 days, 4 weeks, and one an hour made")
    func steady() {
        let turns = stride(from: Self.monday, to: Self.monday + 60 * Self.day, by: 600)
        let (items, made) = Self.play(Self.rule, turns)
        #expect(made == 60 * 24)
        let end = Self.monday + 60 * Self.day
        #expect(items.filter { $0.created >= end - Self.day }.count == 24)
        let days = Set(items.map { $0.created / Self.day })
        #expect(days.filter { $0 >= end / Self.day - 7 }.count == 7)
        // The last snapshot of each of four weeks, the present one among them.
        let weeks = Set(items.map { ($0.created - Self.monday) / (7 * Self.day) })
        #expect(weeks.count == 4)
        #expect(items.count <= 24 + 7 + 4)
    }

    @Test("the last snapshot of a day and of a week stays")
    func lastOfPeriod() {
        let items = (0..<UInt64(48)).map { Item(number: $0 + 1, created: Self.monday + $0 * Self.hour) }
        #expect(
            RetentionRule(hourly: 0, daily: 2, weekly: 0).expired(items) == (1...48).filter { $0 != 24 && $0 != 48 })
        #expect(RetentionRule(hourly: 0, daily: 0, weekly: 1).expired(items) == Array(1...47))
        #expect(RetentionRule(hourly: 1, daily: 0, weekly: 0).expired(items) == Array(1...47))
    }

    @Test("weeks begin on Monday")
    func weeks() {
        let sunday = Item(number: 1, created: Self.monday - 1)
        let items = [sunday, Item(number: 2, created: Self.monday)]
        #expect(RetentionRule(hourly: 0, daily: 0, weekly: 2).expired(items) == [])
        #expect(RetentionRule(hourly: 0, daily: 0, weekly: 1).expired(items) == [1])
    }

    @Test("what is missing is made at the next turn, once; the shortest period that is kept decides")
    func due() {
        #expect(Self.rule.isDue([], at: Self.monday))
        let made = [Item(number: 1, created: Self.monday + 7)]
        #expect(!Self.rule.isDue(made, at: Self.monday + 3599))
        #expect(Self.rule.isDue(made, at: Self.monday + 3600))
        let daily = RetentionRule(hourly: 0, daily: 7, weekly: 4)
        #expect(!daily.isDue(made, at: Self.monday + Self.day - 1))
        #expect(daily.isDue(made, at: Self.monday + Self.day))
        #expect(!RetentionRule(hourly: 0, daily: 0, weekly: 4).isDue(made, at: Self.monday + 6 * Self.day))
    }

    @Test("a clock that jumps ahead deletes nothing but what one more hour, day and week push out")
    func jumpAhead() {
        let before = Self.play(Self.rule, stride(from: Self.monday, to: Self.monday + 30 * Self.day, by: 600)).items
        let year = 365 * Self.day
        let after = Self.play(Self.rule, [Self.monday + 30 * Self.day + year], before).items
        #expect(after.count >= before.count - 2)
        // Back again: the wrong one is a snapshot like others, and goes when it is old by its number.
        let back = stride(from: Self.monday + 30 * Self.day, to: Self.monday + 70 * Self.day, by: 600)
        let end = Self.play(Self.rule, back, after).items
        #expect(end.allSatisfy { $0.created < Self.monday + 70 * Self.day })
        #expect(end.count <= 24 + 7 + 4)
    }

    @Test("a clock that jumps back makes snapshots at once, and goes on")
    func jumpBack() {
        let before = Self.play(Self.rule, stride(from: Self.monday, to: Self.monday + 5 * Self.day, by: 600)).items
        let times = stride(from: Self.monday + 2 * Self.day, to: Self.monday + 2 * Self.day + 5 * Self.hour, by: 600)
        let (after, made) = Self.play(Self.rule, times, before)
        #expect(made == 5)
        #expect(after.suffix(5).map(\.created).allSatisfy { $0 < Self.monday + 3 * Self.day })
    }

    @Test("a clock that flaps between two hours keeps the newest, and never more than the sum")
    func flapping() {
        let times = (0..<UInt64(500)).map { Self.monday + ($0 % 2) * Self.hour + $0 }
        let (items, _) = Self.play(Self.rule, times)
        #expect(items.count <= 24 + 7 + 4)
        #expect(items.last?.created == times.last)
    }

    @Test("daylight saving: 25 and 23 hours of local time are 24 of UTC each, one snapshot an hour")
    func daylightSaving() {
        // In Berlin 2026-10-25 has the hour from 2 to 3 twice, 2026-03-29 has it not at all.
        for midnight in [1_792_879_200, 1_774_738_800] as [UInt64] {
            let turns = stride(from: midnight, to: midnight + 26 * Self.hour, by: 600)
            let (items, made) = Self.play(RetentionRule(hourly: 100, daily: 0, weekly: 0), turns)
            #expect(made == 26 && items.count == 26)
            #expect(Set(items.map { ScheduleTurn.name(at: $0.created) }).count == 26, "and no name twice")
        }
    }

    @Test("a schedule that keeps nothing, or too much, is none")
    func impossible() {
        #expect(!RetentionRule(hourly: 0, daily: 0, weekly: 0).isPossible)
        #expect(!RetentionRule(hourly: -1, daily: 2, weekly: 0).isPossible)
        #expect(!RetentionRule(hourly: 1001, daily: 0, weekly: 0).isPossible)
        #expect(Self.rule.isPossible)
    }
}
