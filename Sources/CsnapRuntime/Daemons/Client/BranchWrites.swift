import CsnapCore
import CsnapSession

/// What is written to branches, on its way to the server and back.
///
/// Unanswered in one session it is sent again in the next: each write puts its bytes to a new place, so twice is as
/// good as once.
struct BranchWrites: Equatable, Sendable {
    private enum State: Equatable {
        case unasked
        case asked
        /// The store had no room.
        case postponed(Instant)
    }

    private struct Write: Equatable {
        var data: BranchData
        var state = State.unasked
        /// Nobody waits for it; its answer is awaited all the same, since the server counts it.
        var isWithdrawn = false
    }

    /// Asked for at once: half of what a server lets wait (`SessionLimits.branchWrites`).
    private static let atOnce = 4
    private static let pause = Interval.milliseconds(100)

    private var writes = SortedTable<UInt64, Write>()

    mutating func begin(_ id: UInt64, _ data: BranchData) { writes[id] = Write(data: data) }

    /// Those whose turn it is, oldest first.
    mutating func takeUnasked() -> [(id: UInt64, data: BranchData)] {
        var free = Self.atOnce - writes.values.reduce(0) { $0 + ($1.state == .asked ? 1 : 0) }
        var taken: [(id: UInt64, data: BranchData)] = []
        for (id, write) in writes where write.state == .unasked {
            if free <= 0 { break }
            free -= 1
            writes[id]?.state = .asked
            taken.append((id, write.data))
        }
        return taken
    }

    /// Its answer has come; nil: it was not asked for, else whether somebody waits for it.
    mutating func answered(_ id: UInt64) -> Bool? {
        guard let write = writes[id], write.state == .asked else { return nil }
        writes[id] = nil
        return !write.isWithdrawn
    }

    /// The answer is that the store has no room: it is asked for again. False: it was not asked for.
    mutating func foundNoRoom(_ id: UInt64, _ now: Instant) -> Bool {
        guard let write = writes[id], write.state == .asked else { return false }
        writes[id]?.state = .postponed(now + Self.pause)
        if write.isWithdrawn { writes[id] = nil }
        return true
    }

    /// When `resume` has something to do.
    var nextResume: Instant? {
        var next: Instant?
        for case .postponed(let until) in writes.values.map({ $0.state }) { next = min(next ?? until, until) }
        return next
    }

    mutating func resume(_ now: Instant) {
        for (id, write) in writes {
            if case .postponed(let until) = write.state, until <= now { writes[id]?.state = .unasked }
        }
    }

    /// Nobody waits for it any more; false: it is unknown.
    mutating func withdraw(_ id: UInt64) -> Bool {
        guard let write = writes[id] else { return false }
        if write.state == .asked { writes[id]?.isWithdrawn = true } else { writes[id] = nil }
        return true
    }

    /// Those that somebody waits for.
    mutating func takeAll() -> [UInt64] {
        defer { writes.removeAll() }
        return writes.filter { !$0.1.isWithdrawn }.map { $0.0 }
    }

    mutating func sessionEnded() {
        if SessionMutants.active(.branchWriteNotSentAgain) { return }
        for (id, write) in writes {
            writes[id]?.state = .unasked
            if write.isWithdrawn { writes[id] = nil }
        }
    }
}
