import CsnapCore

/// A node of the tree as it lies on the disk: a header of 32 bytes, then cells of 32 bytes in the order of their keys.
///
///     0      4      6      8         16       24    32
///     | magic | level | count | offset | store | 0 | cells: branch, chunk, end, offset, checksum ...
///
/// Inner nodes have a cell per child: the lowest key that may be in it, its offset, its checksum.
struct TreeNode: Equatable, Sendable {
    static let headerSize = 32
    static let cellSize = 32
    /// "CSTN" in the order of its bytes.
    static let magic: UInt32 = 0x4E54_5343

    let pointer: NodePointer
    let level: UInt8
    let count: Int
    private let bytes: [UInt8]

    static func capacity(_ nodeSize: Int) -> Int { (nodeSize - headerSize) / cellSize }

    /// Nil: not the node that the pointer means. Never traps, whatever the bytes.
    init?(_ bytes: [UInt8], _ pointer: NodePointer, level: UInt8, store: Bits128) {
        guard bytes.count >= Self.headerSize else { return nil }
        let isWhole = Castagnoli.checksum(bytes) == pointer.checksum
        guard isWhole || StoreMutants.active(.nodesNotVerified) else { return nil }
        let count = bytes.withUnsafeBytes { raw -> Int? in
            guard raw.little32(0) == Self.magic, raw[4] == level, raw.little64(8) == pointer.offset,
                raw.little64(16) == store.low
            else { return nil }
            return Int(raw[6]) | Int(raw[7]) << 8
        }
        guard let count, count > 0, count <= Self.capacity(bytes.count) else { return nil }
        self.bytes = bytes
        self.pointer = pointer
        self.level = level
        self.count = count
    }

    static func encode(
        _ entries: ArraySlice<Entry>, level: UInt8, offset: UInt64, store: Bits128, nodeSize: Int
    ) -> [UInt8] {
        precondition(!entries.isEmpty && entries.count <= capacity(nodeSize), "a node has room for its entries")
        var writer = ByteWriter(capacity: nodeSize)
        writer.fixed(magic)
        writer.byte(level)
        writer.byte(0)
        writer.fixed(UInt16(entries.count))
        writer.fixed(offset)
        writer.fixed(store.low)
        writer.fixed(UInt64(0))
        for entry in entries {
            writer.fixed(entry.key.branch)
            writer.fixed(entry.key.chunk)
            writer.fixed(entry.key.end)
            writer.fixed(entry.offset)
            writer.fixed(entry.checksum)
        }
        writer.zeros(nodeSize - writer.count)
        return writer.bytes
    }

    func key(_ index: Int) -> EntryKey {
        let start = Self.headerSize + index * Self.cellSize
        return bytes.withUnsafeBytes { raw in
            EntryKey(branch: raw.little32(start), chunk: raw.little64(start + 4), end: raw.little64(start + 12))
        }
    }

    func entry(_ index: Int) -> Entry {
        let start = Self.headerSize + index * Self.cellSize
        return bytes.withUnsafeBytes { raw in
            Entry(key: key(index), offset: raw.little64(start + 20), checksum: raw.little32(start + 28))
        }
    }

    var entries: [Entry] { (0..<count).map { entry($0) } }

    /// The first cell whose key is not below this one; `count` if there is none.
    func position(of key: EntryKey) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self.key(middle) < key { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The child in which a key lies or would lie.
    func child(of key: EntryKey) -> Int {
        let position = position(of: key)
        return position < count && self.key(position) == key ? position : max(position - 1, 0)
    }
}

extension UnsafeRawBufferPointer {
    func little32(_ offset: Int) -> UInt32 {
        UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    func little64(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}

/// Nodes read or written lately, by their place: at most 1024, so 16 MiB.
struct NodeCache: Sendable {
    private static let count = 1024
    private let nodeSize: UInt64
    private var nodes: [TreeNode?] = []

    init(nodeSize: UInt32) { self.nodeSize = UInt64(nodeSize) }

    subscript(pointer: NodePointer) -> TreeNode? {
        guard !nodes.isEmpty, let node = nodes[index(pointer)], node.pointer == pointer else { return nil }
        return node
    }

    mutating func insert(_ node: TreeNode) {
        if nodes.isEmpty { nodes = [TreeNode?](repeating: nil, count: Self.count) }
        nodes[index(node.pointer)] = node
    }

    /// The next reading is of the disk.
    mutating func remove(_ pointer: NodePointer) {
        if self[pointer] != nil { nodes[index(pointer)] = nil }
    }

    private func index(_ pointer: NodePointer) -> Int { Int(pointer.offset / nodeSize % UInt64(Self.count)) }
}
