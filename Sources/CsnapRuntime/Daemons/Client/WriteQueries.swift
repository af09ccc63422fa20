import CsnapCore
import CsnapSession

/// The writes that wait for a grant, and the queries that ask for them.
///
/// A connection has at most 128 requests, so both are bounded. Writes that wait together are asked for in one query.
struct WriteQueries: Equatable, Sendable {
    private enum State: Equatable {
        /// `alone`: a query for several writes failed; this one asks for itself, so that an error hits the right one.
        case unasked(alone: Bool)
        case asked(request: UInt64, alone: Bool)
        /// Its query was granted; the write has been woken and looks again.
        case answered(alone: Bool)
        case failed(code: UInt16)
    }

    private struct Waiting: Equatable {
        var range: ChunkRange
        var state: State
    }

    private struct Query: Equatable {
        var ranges: [ChunkRange]
        /// On the present session; after a reconnect it is sent again with the same id.
        var sent: Bool
    }

    private var waiting = SortedTable<UInt32, Waiting>()
    private var queries = SortedTable<UInt64, Query>()
    private var nextRequest: UInt64 = 1
    /// Whether some write may be unasked.
    private(set) var hasUnasked = false

    /// Writes asked for in one query: a frame holds far more ranges (`SessionWire.maximumRanges`).
    private static let maximumTogether = 1024
    /// Bytes of one query, but a chunk at least; and of all that are unanswered. The store carries out one order after
    /// the other: other nodes' writes wait for what was asked before, and so does a snapshot that is being made.
    private static let bytesTogether: UInt64 = 4 << 20
    private static let bytesAsked: UInt64 = 32 << 20
    /// Of a query that may come on top of these, up to as many again.
    private static let bytesSmall: UInt64 = 256 << 10
    /// Unanswered queries: a quarter of what a server lets wait (`SessionLimits.waitingQueries`).
    private static let maximumQueries = 256

    var isEmpty: Bool { waiting.isEmpty }

    /// The write `ticket` lacks these chunks. Returns the server's error if it had one for this write.
    mutating func wait(_ ticket: UInt32, for range: ChunkRange) -> UInt16? {
        if let known = waiting[ticket], known.range == range {
            switch known.state {
            case .failed(let code):
                remove(ticket)
                return code
            case .answered(let alone): unasked(ticket, alone: alone)
            case .unasked, .asked: break
            }
            return nil
        }
        remove(ticket)
        waiting[ticket] = Waiting(range: range, state: .unasked(alone: false))
        hasUnasked = true
        return nil
    }

    private mutating func unasked(_ ticket: UInt32, alone: Bool) {
        waiting[ticket]?.state = .unasked(alone: alone)
        hasUnasked = true
    }

    /// The write went to the disk, or its connection is gone. Queries for nobody are forgotten.
    mutating func remove(_ ticket: UInt32) {
        guard let known = waiting[ticket] else { return }
        waiting[ticket] = nil
        if case .asked(let request, _) = known.state, !isAsked(request) { queries[request] = nil }
    }

    /// The session is gone: each unanswered query is to be sent again.
    mutating func unsend() {
        for request in queries.keys { queries[request]?.sent = false }
    }

    /// The store or its generation changed: nothing asked before counts.
    mutating func askAgain() {
        queries.removeAll()
        for (ticket, entry) in waiting {
            if case .asked(_, let alone) = entry.state { unasked(ticket, alone: alone) }
        }
    }

    /// All queries to send now, in the order of their ids.
    mutating func takeUnsent(chunkSize: UInt32) -> [(request: UInt64, ranges: [ChunkRange])] {
        hasUnasked = false
        for (ticket, entry) in waiting where entry.state == .unasked(alone: true) {
            guard queries.count < Self.maximumQueries, UInt64(entry.range.count) <= budget(chunkSize) else {
                hasUnasked = true
                continue
            }
            let request = ask([entry.range])
            waiting[ticket]?.state = .asked(request: request, alone: true)
        }
        var together = waiting.filter { $0.1.state == .unasked(alone: false) }
        // Small ones first: of these some are asked for whatever waits.
        together.sort { $0.1.range.count < $1.1.range.count }
        while !together.isEmpty {
            let limit = budget(chunkSize)
            var chunks: UInt64 = 0
            let count = together.prefix(Self.maximumTogether).prefix { entry in
                chunks += UInt64(entry.1.range.count)
                return chunks <= limit
            }.count
            guard queries.count < Self.maximumQueries, count > 0 else {
                hasUnasked = true
                break
            }
            let rest = Array(together.dropFirst(count))
            together.removeLast(rest.count)
            let request = ask(Self.merge(together.map(\.1.range)))
            for (ticket, _) in together { waiting[ticket]?.state = .asked(request: request, alone: false) }
            together = rest
        }
        var unsent: [(request: UInt64, ranges: [ChunkRange])] = []
        for (request, query) in queries where !query.sent {
            unsent.append((request, query.ranges))
            queries[request]?.sent = true
        }
        return unsent
    }

    /// Chunks of one write that are asked for at once; the rest when these are granted.
    static func maximumAtOnce(_ chunkSize: UInt32) -> UInt32 { UInt32(max(1, bytesTogether / UInt64(chunkSize))) }

    /// Chunks of the next query. When much is asked for, only what is small is asked for besides: what waits may wait
    /// for room, and a small one needs none, perhaps.
    private func budget(_ chunkSize: UInt32) -> UInt64 {
        let asked = queries.values.reduce(UInt64(0)) { $0 + $1.ranges.chunkCount } * UInt64(chunkSize)
        if asked < Self.bytesAsked { return UInt64(Self.maximumAtOnce(chunkSize)) }
        return asked < 2 * Self.bytesAsked ? max(1, Self.bytesSmall / UInt64(chunkSize)) : 0
    }

    /// The ranges of a granted query, once; nil for an unknown or answered one.
    mutating func granted(_ request: UInt64) -> [ChunkRange]? {
        guard let query = queries[request] else { return nil }
        queries[request] = nil
        for (ticket, entry) in waiting {
            guard case .asked(request, let alone) = entry.state else { continue }
            waiting[ticket]?.state = .answered(alone: alone)
        }
        return query.ranges
    }

    /// The server refused a query by an error of its own, such as a bad sector. If several writes were in it, each
    /// asks for itself.
    mutating func failed(_ request: UInt64, code: UInt16) {
        guard queries[request] != nil else { return }
        queries[request] = nil
        let asking = waiting.filter { isAsking($0.1, request) }
        for (ticket, _) in asking {
            if asking.count == 1 {
                waiting[ticket]?.state = .failed(code: code)
            } else {
                unasked(ticket, alone: true)
            }
        }
    }

    private func isAsking(_ entry: Waiting, _ request: UInt64) -> Bool {
        if case .asked(request, _) = entry.state { return true }
        return false
    }

    private func isAsked(_ request: UInt64) -> Bool {
        waiting.values.contains { isAsking($0, request) }
    }

    private mutating func ask(_ ranges: [ChunkRange]) -> UInt64 {
        let request = nextRequest
        nextRequest += 1
        queries[request] = Query(ranges: ranges, sent: false)
        return request
    }

    /// Sorted, with overlapping and adjacent ranges made one.
    private static func merge(_ ranges: [ChunkRange]) -> [ChunkRange] {
        var merged: [ChunkRange] = []
        for range in ranges.sorted(by: { $0.first < $1.first }) {
            guard let last = merged.last, range.first <= last.first + UInt64(last.count) else {
                merged.append(range)
                continue
            }
            let end = max(last.first + UInt64(last.count), range.first + UInt64(range.count))
            merged[merged.count - 1].count = UInt32(truncatingIfNeeded: end - last.first)
        }
        return merged
    }
}
