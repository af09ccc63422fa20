import CsnapCore

/// A reference to a node or page, with the checksum of what must be there.
struct NodePointer: Equatable, Sendable {
    var offset: UInt64
    var checksum: UInt32
}

/// A stretch of one tenure's journal that counts.
struct JournalPiece: Equatable, Sendable {
    var tenure: Tenure
    /// In the order in which they were filled; it begins in the first.
    var windows: [UInt32]
    /// In the first window, bytes.
    var offset: UInt32
    /// Of the first group.
    var number: UInt64
    /// Checksum of the group before.
    var predecessor: UInt32
    /// The last group that counts; none: as far as it goes.
    var cut: UInt64?
}

/// What a dead tenure may still be writing to.
struct Quarantine: Equatable, Sendable {
    var tenure: Tenure
    var owner: StoreOwner
    var windows: [UInt32]
}

/// Open windows of a tenure: the only places that it writes to, besides its slot and its anchor.
struct OpenWindows: Equatable, Sendable {
    var data: UInt32?
    var nodes: UInt32?
    /// The one that is being filled, and the next.
    var journal: [UInt32] = []

    var all: [UInt32] { [data, nodes].compactMap { $0 } + journal }

    func contains(_ window: UInt32) -> Bool { data == window || nodes == window || journal.contains(window) }
}

/// Where everything of a tenure begins: the last checkpoint, the journal since, and what is kept away.
///
/// Each (slot, parity of the round) has a place of its own, two copies, so that a restart in place does not
/// overwrite what it reads. The first anchor of a tenure is the moment from which it counts.
struct StoreAnchor: Equatable, Sendable {
    var store: Bits128
    var tenure: Tenure
    var owner: StoreOwner
    /// Counts the anchors of one tenure, from 1.
    var sequence: UInt64
    /// None: the tree is empty.
    var root: NodePointer?
    var rootLevel: UInt8
    /// None: nothing was ever checkpointed.
    var catalog: NodePointer?
    var catalogLength: UInt32
    var openWindows: OpenWindows
    /// Oldest first; the last one is this tenure's own.
    var pieces: [JournalPiece]
    var quarantine: [Quarantine]

    /// So many servers in a row may die before one has made a checkpoint.
    static let pieceLimit = 16
    /// From so many on one is begun, and made in the taking itself.
    static let piecesForCheckpoint = 5
    static let piecesForCheckpointInTaking = 7
    /// A node is read and one written in each.
    static let checkpointStepsInTaking = 256
    /// Windows of one piece; a live journal has at most 4 MiB, a window at least a quarter of its cap.
    static let pieceWindowLimit = 16
    static let quarantineWindowLimit = 8

    /// Two parities of two copies.
    static let slotByteCount = 4 * StoreLayout.blockSize
}

extension StoreFormat {
    func anchorOffset(of tenure: Tenure, copy: Int) -> UInt64 {
        let place = slot(of: tenure.epoch) * 4 + Int(tenure.round.value % 2) * 2 + copy
        return StoreLayout.anchorsOffset + UInt64(place * StoreLayout.blockSize)
    }

    func anchorsOffset(ofSlot slot: Int) -> UInt64 {
        StoreLayout.anchorsOffset + UInt64(slot * StoreAnchor.slotByteCount)
    }

    func isSamePlace(_ left: Tenure, _ right: Tenure) -> Bool {
        slot(of: left.epoch) == slot(of: right.epoch) && left.round.value % 2 == right.round.value % 2
    }
}
