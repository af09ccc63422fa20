/// What one node's load did: written by its thread, read when it has ended or under its lock.
package struct LoadRecord: Sendable {
    /// The newest acknowledged block of each offset.
    package var acknowledged: [UInt64: UInt64] = [:]
    /// Offsets whose last write got no answer: old or new is right.
    package var uncertain: Set<UInt64> = []
    package var requests: [Request] = []
    /// What the device answered with an error, or broke with.
    package var errors: [String] = []

    /// One paced request; instants of CLOCK_BOOTTIME in nanoseconds. `completed` is nil while it waits.
    package struct Request: Equatable, Sendable {
        package var issued: Int64
        package var completed: Int64?

        package init(issued: Int64, completed: Int64?) {
            self.issued = issued
            self.completed = completed
        }
    }

    package init() {}

    /// The first completion at or after that instant.
    package func firstCompletion(after instant: Int64) -> Int64? {
        requests.lazy.compactMap(\.completed).first { $0 >= instant }
    }

    /// The longest wait of requests completed after `instant`, or waiting at `now`; nanoseconds.
    package func longestWait(after instant: Int64, now: Int64) -> Int64 {
        requests.lazy.map { request in
            guard (request.completed ?? now) >= instant else { return 0 }
            return (request.completed ?? now) - request.issued
        }.max() ?? 0
    }
}
