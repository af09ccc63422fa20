/// What a server writes to its store, told from the bytes of the write alone: tests that fail or hold back one kind of
/// write find it by this (docs/testing.md §12).
package enum StoreStep: String, CaseIterable, Sendable {
    /// The superblock of a tenure.
    case claim
    /// The first anchor of a tenure.
    case taking
    /// The anchor of a checkpoint.
    case checkpoint
    /// A node of the tree.
    case node
    /// A page of the catalog or of the space map.
    case page
    /// Saved chunks.
    case data
    /// A group of the journal that begins with a saved chunk's entry,
    case copied
    /// with a snapshot,
    case created
    /// with the deletion of one,
    case deleted
    /// with what the sweep after it removed,
    case swept
    /// with a window,
    case opened
    /// or with something else.
    case other

    /// `write` begins where a write to the store begins.
    package init(_ write: UnsafeRawBufferPointer) {
        guard write.count > JournalGroup.headerSize + StoreAnchor.sequenceOffset else {
            self = .data
            return
        }
        switch (write.little64(0), write.little32(0), write.little32(4)) {
        case (Superblock.magic, _, _): self = .claim
        case (StoreAnchor.magic, _, _):
            self = write.little64(StoreAnchor.sequenceOffset) == 1 ? .taking : .checkpoint
        case (_, TreeNode.magic, _): self = .node
        case (_, MetaPage.magic, _): self = .page
        case (_, _, JournalGroup.magic): self.init(firstRecord: write[JournalGroup.headerSize])
        default: self = .data
        }
    }

    private init(firstRecord kind: UInt8) {
        switch kind {
        case 1: self = .copied
        case 2, 13, 14: self = .swept
        case 3: self = .created
        case 4: self = .deleted
        case 10: self = .opened
        default: self = .other
        }
    }
}
