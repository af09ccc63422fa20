import CsnapCore
import CsnapRuntime

/// How many server processes were at work at once, by the record each keeps in its node's runtime directory.
package enum ServiceOverlap {
    /// From the first to the last accept, store write or reply of one process.
    package struct Interval: Equatable, Sendable {
        package var first: Int64
        package var last: Int64

        package init(first: Int64, last: Int64) {
            self.first = first
            self.last = last
        }
    }

    /// The services in a node's record; tenures of one process that followed each other stay apart, as they should.
    package static func intervals(in path: String) throws -> [Interval] {
        try ServiceRecord.read(path).compactMap { evidence in
            guard let first = evidence.firstServiceAt, let last = evidence.lastServiceAt else { return nil }
            return Interval(
                first: min(evidence.gateOpenAt, first).nanoseconds, last: max(first, last).nanoseconds)
        }
    }

    /// The most intervals that cover one instant.
    package static func atOnce(_ intervals: [Interval]) -> Int {
        let edges = intervals.flatMap { [($0.first, 1), ($0.last &+ 1, -1)] }.sorted { $0 < $1 }
        var now = 0
        var most = 0
        for (_, change) in edges {
            now += change
            most = max(most, now)
        }
        return most
    }
}
