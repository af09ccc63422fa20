package import CsnapCore
import Synchronization

/// The last events of this agent, numbered, for subscribers that read at their own pace (docs/operations.md).
///
/// Nobody is waited for: who reads too slowly finds `missed`. Safe from any thread.
package final class EventLog: Sendable {
    /// Some hours of an uneasy group; about 1 MiB at worst.
    package static let capacity = 4096
    /// More watchers than control connections are allowed.
    private static let watcherLimit = 1024

    private struct State {
        var items: [EventItem] = []
        /// Index of the oldest item once the ring is full.
        var start = 0
        var next: UInt64
        var watchers: [Int: @Sendable () -> Void] = [:]
        var nextToken = 1
    }

    private let node: NodeID
    private let first: UInt64
    private let state: Mutex<State>

    /// Cursors hold the boot in the high 32 bits, so that they rise over restarts.
    package init(process: NodeBoot) {
        node = process.node
        first = process.boot.value << 32 | 1
        state = Mutex(State(next: process.boot.value << 32 | 1))
    }

    package func append(_ report: Report, at now: Instant) {
        let watchers = state.withLock { state in
            let item = EventItem(report, cursor: state.next, at: now, node: node)
            state.next += 1
            if state.items.count < Self.capacity {
                state.items.append(item)
            } else {
                state.items[state.start] = item
                state.start = (state.start + 1) % Self.capacity
            }
            return Array(state.watchers.values)
        }
        for notify in watchers { notify() }
    }

    /// The events after `cursor`, oldest first; a cursor of an earlier boot means all that are kept, with `missed`.
    package func events(after cursor: UInt64?, limit: Int) -> EventPage {
        state.withLock { state in
            let count = state.items.count
            let oldest = state.next - UInt64(count)
            let wanted = cursor.map { $0 &+ 1 } ?? oldest
            let from = min(max(wanted, oldest), state.next)
            let skip = Int(from - oldest)
            let end = min(count, skip + max(0, limit))
            let items = (skip..<end).map { offset in state.items[(state.start + offset) % max(1, count)] }
            return EventPage(
                events: items, missed: cursor != nil && wanted < oldest && wanted != first, hasMore: end < count)
        }
    }

    /// Calls `notify` after each new event, until the token is given back; 0 if there are too many watchers.
    package func watch(_ notify: @escaping @Sendable () -> Void) -> Int {
        state.withLock { state in
            guard state.watchers.count < Self.watcherLimit else { return 0 }
            let token = state.nextToken
            state.nextToken += 1
            state.watchers[token] = notify
            return token
        }
    }

    package func stopWatching(_ token: Int) {
        state.withLock { state in state.watchers[token] = nil }
    }
}
