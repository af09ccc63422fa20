/// Which snapshots of a schedule stay (docs/decisions/0057-schedules-count-not-clocks.md).
///
/// Time is UTC, so that no hour happens twice or never. Snapshots are ordered by their numbers, not by their dates:
/// a clock that was wrong for a while makes a period or two more, and never lets all be thrown away.
package struct RetentionRule: Equatable, Sendable {
    /// How many of each are kept; together at least one.
    package var hourly: Int
    package var daily: Int
    package var weekly: Int

    package static let most = 1000

    /// A snapshot that the schedule made.
    package struct Item: Equatable, Sendable {
        /// Rises from snapshot to snapshot.
        package var number: UInt64
        /// Seconds since 1970.
        package var created: UInt64

        package init(number: UInt64, created: UInt64) {
            self.number = number
            self.created = created
        }
    }

    package init(hourly: Int, daily: Int, weekly: Int) {
        self.hourly = hourly
        self.daily = daily
        self.weekly = weekly
    }

    package var isPossible: Bool {
        [hourly, daily, weekly].allSatisfy { (0...Self.most).contains($0) } && hourly + daily + weekly > 0
    }

    /// The number of the hour, day or week (from Monday) in which this second lies.
    private enum Period {
        case hour
        case day
        case week

        func index(_ seconds: UInt64) -> UInt64 {
            switch self {
            case .hour: seconds / 3600
            case .day: seconds / 86400
            // 1970 began on a Thursday.
            case .week: (seconds / 86400 + 3) / 7
            }
        }
    }

    private var kept: [(period: Period, count: Int)] {
        [(period: .hour, count: hourly), (period: .day, count: daily), (period: .week, count: weekly)]
            .filter { $0.count > 0 }
    }

    /// Whether the present hour (or day, or week: the shortest that is kept) has no snapshot yet.
    package func isDue(_ items: [Item], at now: UInt64) -> Bool {
        guard let shortest = kept.first?.period else { return false }
        guard let newest = items.max(by: { $0.number < $1.number }) else { return true }
        return shortest.index(newest.created) != shortest.index(now)
    }

    /// Numbers of those that no period keeps, oldest first. Each period keeps the last snapshot of as many of its
    /// newest hours, days or weeks as it says, counting those that have one.
    package func expired(_ items: [Item]) -> [UInt64] {
        let newestFirst = items.sorted { $0.number > $1.number }
        var stays: Set<UInt64> = []
        for (period, count) in kept {
            var found = 0
            var last: UInt64?
            for item in newestFirst where found < count && period.index(item.created) != last {
                last = period.index(item.created)
                found += 1
                stays.insert(item.number)
            }
        }
        return newestFirst.reversed().map(\.number).filter { !stays.contains($0) }
    }
}
