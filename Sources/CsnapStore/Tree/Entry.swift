/// What an entry of the tree is found by. Chunks of the origin are of branch 0.
struct EntryKey: Comparable, Equatable, Sendable {
    var branch: UInt32
    var chunk: UInt64
    /// The newest snapshot that the entry holds for; it holds for those above the chunk's previous entry.
    var end: UInt64

    static func < (left: EntryKey, right: EntryKey) -> Bool {
        if left.branch != right.branch { return left.branch < right.branch }
        return left.chunk == right.chunk ? left.end < right.end : left.chunk < right.chunk
    }

    static let first = EntryKey(branch: 0, chunk: 0, end: 0)

    /// The next possible key; ends are below 2^64 - 1.
    var successor: EntryKey { EntryKey(branch: branch, chunk: chunk, end: end + 1) }

    /// The last possible key of the same chunk.
    var lastOfChunk: EntryKey { EntryKey(branch: branch, chunk: chunk, end: .max) }

    func isSameChunk(as other: EntryKey) -> Bool { branch == other.branch && chunk == other.chunk }
}

/// Where a chunk's saved data lies; or, in an inner node, where the child is that begins with this key.
struct Entry: Equatable, Sendable {
    var key: EntryKey
    var offset: UInt64
    var checksum: UInt32

    var pointer: NodePointer { NodePointer(offset: offset, checksum: checksum) }
}
