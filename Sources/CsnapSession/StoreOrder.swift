package import CsnapCore

/// What the table wants of one volume's store. Orders of one volume are carried out in their order, and answered in it.
package enum StoreOrder: Equatable, Sendable {
    /// Save what snapshots lack of these chunks, durably.
    case copyOut([ChunkRange])
    /// Where are these chunks of that snapshot?
    case map(snapshot: UInt64, [ChunkRange])
    /// These bytes of that snapshot; they lie in one chunk.
    case readData(snapshot: UInt64, offset: UInt64, length: UInt32)
    /// Write this to a branch, durably.
    case writeBranch(BranchData)
    case recordWriter(SessionWriter)
    case clearWriter(SessionWriter)
    /// The operator says that nothing of this boot, or of lower ones of its node, can reach a disk any more.
    case settle(NodeBoot)
    /// What servers on this kernel wrote has landed or is lost: its machine has run another one for long enough.
    case settleKernel(SessionWriter)
    /// Is there a snapshot of that name, or one that this command made before?
    case find(name: String, uuid: Bits128)
    /// All writers stand still: make it.
    case commit(name: String, uuid: Bits128, priority: Int32 = 0)
    /// All writers of several volumes stand still: say durably that it can be made here when `decider` has it.
    case prepare(name: String, uuid: Bits128, priority: Int32 = 0, decider: Bits128)
    case commitPrepared(uuid: Bits128)
    case abandon(uuid: Bits128)
    /// All writers stand still: what is the sum of the origin's sample?
    case sampleOrigin
    /// Has the origin become larger?
    case measure
    /// All writers stand still: take its new size.
    case resize
    /// A revert to that snapshot begins or goes on, by the client of this node alone.
    case beginRevert(name: String, uuid: Bits128, node: NodeID)
    /// The same for what a stream brings.
    case beginReceive(uuid: Bits128, node: NodeID)
    /// Chunks below `cursor` are written back, durably.
    case moveRevert(uuid: Bits128, cursor: UInt64)
    case endRevert(uuid: Bits128)
    /// Begin a branch as that snapshot, unless this command made one before.
    case branch(from: String, name: String, uuid: Bits128)
    case show(name: String)
    /// Refused by name if it is one of those in use. With `uuid`: done if there is none of it any more.
    case delete(name: String, uuid: Bits128? = nil, inUse: [SnapshotUse])
    /// With `uuid`: done if the one of it has the new name.
    case rename(from: String, to: String, uuid: Bits128? = nil)
    case list(after: UInt64)
    case examine
    case changes(ChangesQuery)
    /// Begin that check, or say how far it is.
    case check(Bits128)
    /// No read runs that was asked for before this deletion; 0: none of an earlier server.
    case reuse(upTo: UInt64)
}

/// What a store does at once of the orders that wait: neighbours of one kind together, for one flush.
package enum StoreWork: Equatable, Sendable {
    case copyOut([[ChunkRange]])
    case writeBranches([BranchData])
    case one(StoreOrder)

    /// At most so many together.
    package static let limit = 64

    /// Orders in it.
    package var count: Int {
        switch self {
        case .copyOut(let copies): copies.count
        case .writeBranches(let writes): writes.count
        case .one: 1
        }
    }

    /// Of copies also no more than this many bytes, or one query: other orders wait for them, and a store flushes as
    /// many together.
    package static let bytes: UInt64 = 4 << 20

    /// The first of these; nil: there is none. `chunkSize`: of the store.
    package init?(first orders: some Sequence<StoreOrder>, chunkSize: UInt32) {
        var copies: [[ChunkRange]] = []
        var writes: [BranchData] = []
        var other: StoreOrder?
        var chunks: UInt64 = 0
        group: for order in orders.prefix(Self.limit) {
            switch order {
            case .copyOut(let ranges)
            where writes.isEmpty
                && (copies.isEmpty || (chunks + ranges.chunkCount) * UInt64(chunkSize) <= Self.bytes):
                copies.append(ranges)
                chunks += ranges.chunkCount
            case .writeBranch(let data) where copies.isEmpty: writes.append(data)
            default:
                other = order
                break group
            }
        }
        if !copies.isEmpty {
            self = .copyOut(copies)
        } else if !writes.isEmpty {
            self = .writeBranches(writes)
        } else {
            guard let other else { return nil }
            self = .one(other)
        }
    }
}

/// Why a snapshot is not to be deleted just now.
package struct SnapshotUse: Equatable, Sendable {
    package var number: UInt64
    /// For people: "node 2 reads it".
    package var culprit: String

    package init(number: UInt64, culprit: String) {
        self.number = number
        self.culprit = culprit
    }
}

package enum StoreResult: Equatable, Sendable {
    /// Every snapshot has these chunks, durably.
    case copied
    case mapped([MapPiece])
    case data([UInt8])
    /// Of `writeBranch`.
    case written
    case writerRecorded
    case writerCleared
    /// No room to save the chunks of a write, which waits; or for what is written to a branch.
    case full
    /// `find` found neither; `measure`: it has.
    case absent
    case prepared
    /// Of `sampleOrigin`.
    case sample(UInt32)
    /// Bytes of the origin from now on.
    case resized(UInt64)
    /// Of `beginRevert`, `beginReceive`, `moveRevert` and, nil, of `endRevert`.
    case reverting(RevertReport?)
    case committed(SnapshotEntry, generation: UInt64)
    case outcome(CommandOutcome)
    /// `branch`, `delete` and `rename`: done, this is it.
    case changed(SnapshotEntry)
    /// Of `reuse`, `settle`, `settleKernel` and `abandon`.
    case done
    /// This order alone failed; the store goes on.
    case failed(SessionQueryError)
}
