import CsnapCore

/// Who reads a snapshot: a client process, whatever connection it has just now.
struct ReadOwner: Equatable, Comparable, Sendable {
    var process: NodeBoot
    var client: Bits128

    static func < (left: ReadOwner, right: ReadOwner) -> Bool {
        left.client == right.client ? left.process < right.process : left.client < right.client
    }
}

/// The snapshot reads of one volume that have not ended, and the origin chunks that no write may touch until then.
///
/// A broken connection ends none: the client may be in the middle of its disk read. END_READ does, BYE, the next HELLO
/// of its node for that volume, STRIKE, and the server's end (docs/data-plane.md, "Server").
struct ReadHolds: Equatable, Sendable {
    private struct Read: Equatable, Sendable {
        var snapshot: UInt64
        /// Of the query; orders reads against what is freed.
        var ticket: UInt64
        var held: [ChunkRange]
    }

    private struct Key: Equatable, Comparable, Sendable {
        var owner: ReadOwner
        var request: UInt64

        static func < (left: Key, right: Key) -> Bool {
            left.owner == right.owner ? left.request < right.request : left.owner < right.owner
        }
    }

    private var reads = SortedTable<Key, Read>()

    var isEmpty: Bool { reads.isEmpty }

    /// The lowest ticket of a read that runs; nil: none does.
    var oldestTicket: UInt64? {
        var oldest: UInt64?
        for read in reads.values where read.ticket < oldest ?? .max { oldest = read.ticket }
        return oldest
    }

    func contains(_ owner: ReadOwner, _ request: UInt64) -> Bool {
        reads[Key(owner: owner, request: request)] != nil
    }

    func count(of owner: ReadOwner) -> Int {
        reads.keys.reduce(0) { $0 + ($1.owner == owner ? 1 : 0) }
    }

    mutating func begin(
        _ owner: ReadOwner, _ request: UInt64, of snapshot: UInt64, ticket: UInt64, held: [ChunkRange]
    ) {
        reads[Key(owner: owner, request: request)] = Read(snapshot: snapshot, ticket: ticket, held: held)
    }

    /// Whether a hold went; false too for a read that this client does not have.
    mutating func end(_ owner: ReadOwner, _ request: UInt64) -> Bool {
        if SessionMutants.active(.anybodyEndsRead) { remove { $0.request == request } }
        let key = Key(owner: owner, request: request)
        let had = reads[key].map { !$0.held.isEmpty } ?? false
        reads[key] = nil
        return had
    }

    /// The node's newest client said HELLO or BYE. It has thrown away what it was reading; and it holds its volume's
    /// lock, so nobody before it reads there any more.
    mutating func drop(clientOf node: NodeID) { drop { $0.process.node == node } }

    func count(of process: NodeBoot) -> Int {
        reads.keys.reduce(0) { $0 + (Self.belongs($1.owner, to: process) ? 1 : 0) }
    }

    /// STRIKE: all of this boot and of lower ones of its node.
    mutating func drop(_ process: NodeBoot) {
        drop { Self.belongs($0, to: process) }
    }

    private static func belongs(_ owner: ReadOwner, to process: NodeBoot) -> Bool {
        owner.process.node == process.node && owner.process.boot <= process.boot
    }

    mutating func drop(_ isGone: (ReadOwner) -> Bool) { remove { isGone($0.owner) } }

    private mutating func remove(_ isGone: (Key) -> Bool) {
        for key in reads.keys where isGone(key) { reads[key] = nil }
    }

    /// Whether a read holds one of these chunks.
    func hold(_ ranges: [ChunkRange]) -> Bool {
        for read in reads.values {
            for held in read.held {
                for range in ranges where held.overlaps(range) { return true }
            }
        }
        return false
    }

    /// Snapshots that are being read, and by which nodes.
    var readers: SortedTable<UInt64, [NodeID]> {
        var readers = SortedTable<UInt64, [NodeID]>()
        for (key, read) in reads { Self.note(key.owner, of: read.snapshot, in: &readers) }
        return readers
    }

    static func note(_ user: ReadOwner, of snapshot: UInt64, in users: inout SortedTable<UInt64, [NodeID]>) {
        let known = users[snapshot] ?? []
        if !known.contains(user.process.node) { users[snapshot] = known + [user.process.node] }
    }

    /// Per node, for people.
    var report: [HoldReport] {
        var byNode = SortedTable<NodeID, HoldReport>()
        for (key, read) in reads {
            let node = key.owner.process.node
            var entry = byNode[node] ?? HoldReport(node: node, reads: 0, chunks: 0)
            entry.reads += 1
            for range in read.held { entry.chunks += UInt64(range.count) }
            byNode[node] = entry
        }
        return byNode.values
    }
}

extension ChunkRange {
    package var end: UInt64 { first + UInt64(count) }

    func overlaps(_ other: ChunkRange) -> Bool { first < other.end && other.first < end }

    /// The ranges of `chunks` that `pieces` put on the origin; nil if the pieces do not cover the chunks exactly.
    static func onOrigin(_ chunks: [ChunkRange], _ pieces: [MapPiece]) -> [ChunkRange]? {
        var held: [ChunkRange] = []
        var index = 0
        var left: UInt32 = 0
        for range in chunks {
            var position = range.first
            while position < range.end {
                if left == 0 {
                    guard index < pieces.count else { return nil }
                    left = pieces[index].count
                    index += 1
                }
                let count = UInt32(min(UInt64(left), range.end - position))
                if pieces[index - 1].place == .origin { held.append(ChunkRange(first: position, count: count)) }
                left -= count
                position += UInt64(count)
            }
        }
        return left == 0 && index == pieces.count ? held : nil
    }
}
