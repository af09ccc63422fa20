/// A checkpoint that found no room. The next would find none either, and each writes to the journal which windows it
/// opens: so it waits for more places, for the next window of the journal, or for the end of a sweep. One in whose way
/// damage lies waits until that can be read.
struct VainCheckpoint: Equatable, Sendable {
    /// Free places for nodes.
    var places: Int
    /// The journal's window.
    var window: UInt32
    var error: StoreError
    /// What it could not read; nil: it found no room.
    var damage: DamagedNode?
}

/// A node that could not be read.
struct DamagedNode: Equatable, Sendable {
    let pointer: NodePointer
    let level: UInt8
}

/// What lies in a node that cannot be read, from a given key on.
enum DamagedRange: Equatable, Sendable {
    case none
    /// The key that the next node begins with.
    case upTo(EntryKey)
    case toTheEnd
}

/// A checkpoint under way: what has changed until it began goes into new nodes and pages, leaf by leaf, while newer
/// changes gather above. Nothing of the old tree is touched; the next anchor makes the new one count.
struct Checkpoint: Sendable {
    enum Phase: Equatable, Sendable {
        case begin
        case merging
        /// The new tree is written; the page of the space map that is next.
        case space(Int)
        case anchor
        case done
    }

    /// An inner node that is being replaced.
    struct Frame: Sendable {
        let level: UInt8
        let children: [Entry]
        /// Keys from this one on lie behind this node; none: it is the last.
        let upper: EntryKey?
        var next = 0
        /// Contents of the next new child, not written yet.
        var pending: [Entry] = []
        /// New children.
        var content: [Entry] = []
    }

    /// For lookups: what lay above the tree when this began.
    let overlay: Overlay
    /// The same in order, and how far it was taken.
    let items: [Overlay.Item]
    var taken = 0
    /// Catalog and space map are written as they were then.
    var state: StoreState
    /// The journal after that.
    let piece: JournalPiece
    /// Bytes of the journal before that.
    let bytes: Int
    var phase = Phase.begin
    var frames: [Frame] = []
    var root = TreeRoot()
    /// New nodes and pages; old ones that the new anchor will not reach.
    var allocated: [UInt64] = []
    var freed: [UInt64] = []
    var catalogPages: [UInt64] = []

    init(overlay: Overlay, state: StoreState, piece: JournalPiece, bytes: Int) {
        self.overlay = overlay
        items = overlay.items
        self.state = state
        self.piece = piece
        self.bytes = bytes
    }

    /// Whether the next change lies below this key.
    func hasItem(below upper: EntryKey?) -> Bool {
        guard taken < items.count else { return false }
        return upper.map { items[taken].entry.key < $0 } ?? true
    }

    /// The entries of a leaf with all changes below a key.
    mutating func merged(_ old: [Entry], below upper: EntryKey?) -> [Entry] {
        var result: [Entry] = []
        result.reserveCapacity(old.count + 16)
        var next = 0
        while hasItem(below: upper) {
            let item = items[taken]
            taken += 1
            while next < old.count, old[next].key < item.entry.key {
                result.append(old[next])
                next += 1
            }
            if next < old.count, old[next].key == item.entry.key { next += 1 }
            if !item.isRemoved { result.append(item.entry) }
        }
        result += old[next...]
        return result
    }
}
