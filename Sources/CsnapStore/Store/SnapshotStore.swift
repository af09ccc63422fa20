import CsnapCore

/// The snapshot store of one volume, taken for one tenure (docs/data-plane.md, "Snapshot store").
///
/// A value that runs on whichever thread owns its devices; each call returns when what it did is durable. One call at
/// a time. After a fatal error every call throws `ended`: nothing is written any more.
///
/// The caller's duties: read holds (no grant for a chunk that somebody reads from the origin), the gate (in the
/// device's `write`), the barrier around `create`, and `maintain` whenever there is nothing else to do.
package struct SnapshotStore<Device: BlockDevice> {
    package internal(set) var device: Device
    package internal(set) var origin: Device
    let format: StoreFormat
    let owner: StoreOwner
    let tenure: Tenure
    var state: StoreState
    /// The last checkpoint's tree.
    var tree: TreeRoot
    /// Entries since the last checkpoint, or since the beginning of the one that runs.
    var overlay = Overlay()
    var checkpoint: Checkpoint?
    var vain: VainCheckpoint?
    /// The last node that could not be read.
    var damagedNode: DamagedNode?
    /// Where the last look into the tree began.
    var lookedFrom = EntryKey.first
    /// Pages of the space map that could not be read: nothing is saved or freed there before one is.
    var damagedPages: [Int] = []
    /// Where a sweep met what it could not read, the first time.
    var sweepMetDamage: EntryKey?
    var leftUnderPages = LeftUnderPages.nothing
    var journal: JournalWriter
    /// The last anchor of this tenure; while loading: of the base.
    var anchor: StoreAnchor
    /// Free units of the open data window, in the order in which they are filled, last first.
    var freeUnits: [UInt64] = []
    var freeNodes: [UInt64] = []
    /// Where the last checkpoint's catalog lies.
    var catalogPages: [UInt64] = []
    /// What readers may still look at of all that was deleted and overwritten.
    var readers = ReaderMemory()
    /// What the sweep that runs, or the last one, could free of what was overwritten; none: nothing swept yet.
    var sweptUpTo: UInt64?
    /// Entries of branches that it has looked at.
    var sweptEntries: UInt64 = 0
    /// Somebody found no room since it began.
    var isShort = false
    /// The sweep went past something that readers may look at; one that an earlier server began may have.
    var isSweptInPart = true
    var cache: NodeCache
    let buffer: AlignedBuffer
    /// Whoever took this store found no more windows than are kept for takeovers and deletion.
    var isScarce = false
    var isEnded = false
    /// What loading went past; none: it went past nothing, damage is an error. Only while a store is inspected.
    var damage: LoadDamage?

    var geometry: StoreGeometry { format.geometry }
}

/// What sweeps could free, but for a page of the space map that could not be read.
enum LeftUnderPages {
    case nothing
    case unreadable
    /// One of the pages can be read again.
    case readable
}

/// A tree by its root.
struct TreeRoot: Equatable, Sendable {
    /// None: empty.
    var pointer: NodePointer?
    /// 0: the root is a leaf.
    var level: UInt8 = 0

    /// 16 levels of at least seven children: more entries than there are chunks.
    static let levelLimit: UInt8 = 16
}

extension SnapshotStore {
    package var facts: VolumeFacts {
        VolumeFacts(
            store: format.store, tenure: tenure, geometry: geometry, originSize: state.originSize,
            generation: state.generation)
    }

    /// By number, oldest first.
    package var snapshots: [Snapshot] { state.snapshots }

    /// The same of branches.
    package var branches: [Snapshot] { state.branches }

    /// All of both, by number.
    package var images: [Snapshot] { state.snapshots + state.branches }

    /// Snapshots of several volumes whose fate is open; to be committed or abandoned before the first grant.
    package var prepared: [PreparedSnapshot] { state.prepared }

    package var writers: [WriterRecord] { state.writers }

    /// Rises with each deletion of this tenure, and with overwriting in branches: then readers are to be asked.
    package var freeStamp: UInt64 { readers.stamp }

    /// No read runs that was asked for before `freeStamp` became this; 0: none of an earlier server. Until it is said
    /// of the last deletion nothing is swept, so what is free on the disk no reader looks at, whoever takes over.
    package mutating func readersForgot(upTo stamp: UInt64) { readers.forgot(upTo: stamp, lastWrite: state.lastWrite) }
}
