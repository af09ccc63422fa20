import CsnapCore

/// Sizes in bytes.
package struct StoreGeometry: Equatable, Sendable {
    /// At the making of the store; see `VolumeFacts.originSize` for the present one.
    package var originSize: UInt64
    package var storeSize: UInt64
    package var chunkSize: UInt32
    /// Space is given to tenures window by window.
    package var windowSize: UInt32
    /// A node of the tree or a page of the catalog.
    package var nodeSize: UInt32

    /// Without a window size: a 512th of the store, 1 to 256 MiB.
    package init(
        originSize: UInt64, storeSize: UInt64, chunkSize: UInt32 = StoreLayout.defaultChunkSize,
        windowSize: UInt32? = nil, nodeSize: UInt32 = StoreLayout.defaultNodeSize
    ) {
        self.originSize = originSize
        self.storeSize = storeSize
        self.chunkSize = chunkSize
        self.windowSize = windowSize ?? Self.windowSize(of: storeSize)
        self.nodeSize = nodeSize
    }

    private static func windowSize(of storeSize: UInt64) -> UInt32 {
        var size: UInt64 = 1 << 20
        while size < 256 << 20, size * 2 <= storeSize / 512 { size *= 2 }
        return UInt32(size)
    }

    var hasPossibleChunkSize: Bool {
        chunkSize.nonzeroBitCount == 1 && StoreLayout.chunkSizes.contains(chunkSize)
    }

    var hasPossibleOriginSize: Bool { (1...StoreLayout.maximumOriginSize).contains(originSize) }

    var hasPossibleWindows: Bool {
        windowSize.nonzeroBitCount == 1 && StoreLayout.windowSizes.contains(windowSize) && windowSize >= chunkSize
            && nodeSize.nonzeroBitCount == 1 && StoreLayout.nodeSizes.contains(nodeSize)
    }

    func encode(to writer: inout ByteWriter) {
        writer.fixed(originSize)
        writer.fixed(storeSize)
        writer.fixed(chunkSize)
        writer.fixed(windowSize)
        writer.fixed(nodeSize)
        writer.fixed(UInt32(0))
    }

    init(from reader: inout ByteReader) throws(WireError) {
        originSize = try reader.fixed(UInt64.self)
        storeSize = try reader.fixed(UInt64.self)
        chunkSize = try reader.fixed(UInt32.self)
        windowSize = try reader.fixed(UInt32.self)
        nodeSize = try reader.fixed(UInt32.self)
        _ = try reader.fixed(UInt32.self)
        guard hasPossibleChunkSize, hasPossibleOriginSize, hasPossibleWindows else { throw .malformed }
    }
}

extension StoreGeometry {
    var windowCount: Int {
        storeSize < StoreLayout.dataOffset ? 0 : Int((storeSize - StoreLayout.dataOffset) / UInt64(windowSize))
    }

    func offset(ofWindow window: UInt32) -> UInt64 { StoreLayout.dataOffset + UInt64(window) * UInt64(windowSize) }

    var unitsPerWindow: Int { Int(windowSize / chunkSize) }

    var nodesPerWindow: Int { Int(windowSize / nodeSize) }

    /// The place of a chunk's data is a *unit*; units are counted through the whole store.
    func offset(ofUnit unit: UInt64) -> UInt64 { StoreLayout.dataOffset + unit * UInt64(chunkSize) }

    /// Nil: no chunk's data can lie at this offset.
    func unit(at offset: UInt64) -> UInt64? {
        guard offset >= StoreLayout.dataOffset, (offset - StoreLayout.dataOffset) % UInt64(chunkSize) == 0 else {
            return nil
        }
        let unit = (offset - StoreLayout.dataOffset) / UInt64(chunkSize)
        return unit < UInt64(windowCount) * UInt64(unitsPerWindow) ? unit : nil
    }

    func window(ofUnit unit: UInt64) -> Int { Int(unit / UInt64(unitsPerWindow)) }

    /// The window and the number in it of a node; nil: no node can lie at this offset.
    func node(at offset: UInt64) -> (window: UInt32, index: Int)? {
        guard offset >= StoreLayout.dataOffset, (offset - StoreLayout.dataOffset) % UInt64(nodeSize) == 0 else {
            return nil
        }
        let window = (offset - StoreLayout.dataOffset) / UInt64(windowSize)
        guard window < UInt64(windowCount) else { return nil }
        return (UInt32(window), Int((offset - StoreLayout.dataOffset) % UInt64(windowSize) / UInt64(nodeSize)))
    }

    func chunkCount(_ size: UInt64) -> UInt64 { (size + UInt64(chunkSize) - 1) / UInt64(chunkSize) }
}
