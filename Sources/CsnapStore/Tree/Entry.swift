/// What an entry of the tree is found by. Chunks of the origin are of branch 0.
struct EntryKey: Comparable, Equatable, Sendable {
    var branch: UInt32
    var chunk: UInt64
    /// Branch 0: the newest snapshot that the entry holds for; it holds for those above the chunk's previous entry.
    /// Else: which write it was, counted down, so that the chunk's first entry is the one that holds.
    var end: UInt64

    static let lastWrite: UInt64 = 1 << 62

    static func < (left: EntryKey, right: EntryKey) -> Bool {
        if left.branch != right.branch { return left.branch < right.branch }
        return left.chunk == right.chunk ? left.end < right.end : left.chunk < right.chunk
    }

    static let first = EntryKey(branch: 0, chunk: 0, end: 0)
    /// No entry has it; those of branches lie behind.
    static let beforeBranches = EntryKey(branch: 0, chunk: .max, end: .max - 1)

    /// Of the `write`th write to any branch of a store, from 1.
    init(branch: UInt32, chunk: UInt64, write: UInt64) {
        self.init(branch: branch, chunk: chunk, end: Self.lastWrite - write)
    }

    init(branch: UInt32, chunk: UInt64, end: UInt64) {
        self.branch = branch
        self.chunk = chunk
        self.end = end
    }

    /// 0: a chunk of the origin, or no write that there could be.
    var write: UInt64 { branch > 0 && end < Self.lastWrite ? Self.lastWrite - end : 0 }

    /// The next possible key; ends are below 2^64 - 1, but for what only looks like a node.
    var successor: EntryKey {
        if end < .max { return EntryKey(branch: branch, chunk: chunk, end: end + 1) }
        if chunk < .max { return EntryKey(branch: branch, chunk: chunk + 1, end: 0) }
        return EntryKey(branch: branch == .max ? branch : branch + 1, chunk: 0, end: 0)
    }

    /// The last possible key of the same chunk.
    var lastOfChunk: EntryKey { EntryKey(branch: branch, chunk: chunk, end: .max) }

    /// The number of the newest snapshot, or of the branch, that the entry holds for.
    var holder: UInt64 { branch == 0 ? end : SnapshotNumber(branch: branch).value }

    func isSameChunk(as other: EntryKey) -> Bool { branch == other.branch && chunk == other.chunk }
}

/// Where a chunk's saved data lies; or, in an inner node, where the child is that begins with this key.
struct Entry: Equatable, Sendable {
    var key: EntryKey
    var offset: UInt64
    var checksum: UInt32

    var pointer: NodePointer { NodePointer(offset: offset, checksum: checksum) }
}
