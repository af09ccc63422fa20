import CsnapCore
import CsnapSession

/// The snapshot reads that the server does for a client which does not see the store.
struct RemoteReads: Equatable, Sendable {
    struct Read: Equatable {
        var snapshot: UInt64
        /// Bytes.
        var offset: UInt64
        var length: UInt32
        fileprivate var isAsked = false
    }

    /// Asked for at once: what they bring is half of what a client may leave unread.
    private static let atOnce = 2

    private var reads = SortedTable<UInt64, Read>()

    mutating func begin(_ id: UInt64, snapshot: UInt64, offset: UInt64, length: UInt32) {
        reads[id] = Read(snapshot: snapshot, offset: offset, length: length)
    }

    /// Those whose turn it is, oldest first.
    mutating func takeUnasked() -> [(id: UInt64, read: Read)] {
        var free = Self.atOnce - reads.values.reduce(0) { $0 + ($1.isAsked ? 1 : 0) }
        var taken: [(id: UInt64, read: Read)] = []
        for (id, read) in reads where !read.isAsked {
            if free <= 0 { break }
            free -= 1
            reads[id]?.isAsked = true
            taken.append((id, read))
        }
        return taken
    }

    /// Its answer has come: how many bytes it must have; nil: nobody waits for it.
    mutating func answered(_ id: UInt64) -> UInt32? {
        guard let read = reads[id], read.isAsked else { return nil }
        reads[id] = nil
        return read.length
    }

    /// Nobody waits for it any more; false: it is unknown.
    mutating func withdraw(_ id: UInt64) -> Bool {
        defer { reads[id] = nil }
        return reads[id] != nil
    }

    mutating func takeAll() -> [UInt64] {
        defer { reads.removeAll() }
        return reads.keys
    }

    mutating func sessionEnded() {
        for id in reads.keys { reads[id]?.isAsked = false }
    }
}
