package import CsnapCore

/// A snapshot's number: the generation at its creation; never used again. Branches are counted apart from them, above
/// all.
package struct SnapshotNumber: Equatable, Comparable, Sendable {
    package var value: UInt64

    /// Exact in every reader of JSON.
    package static let branches: UInt64 = 1 << 52

    /// No snapshot's.
    static let none = SnapshotNumber(0)

    package init(_ value: UInt64) { self.value = value }

    init(branch: UInt32) { value = Self.branches + UInt64(branch) }

    /// Of its entries' keys; none: a snapshot.
    var branch: UInt32? { value > Self.branches ? UInt32(truncatingIfNeeded: value) : nil }

    var isPossible: Bool { value > 0 && value != Self.branches && value <= Self.branches + UInt64(UInt32.max) }

    package static func < (left: SnapshotNumber, right: SnapshotNumber) -> Bool { left.value < right.value }
}

package struct SnapshotFlags: OptionSet, Equatable, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Not deleted by anybody until the flag is taken away.
    package static let pinned = SnapshotFlags(rawValue: 1)
    /// A repair could not save all of it.
    package static let damaged = SnapshotFlags(rawValue: 2)
}

/// What somebody wants a snapshot to be.
package struct SnapshotRequest: Equatable, Sendable {
    /// The uuid of the command: asked for again after a fail-over, the same snapshot is the answer.
    package var uuid: Bits128
    package var name: String
    /// When a full store has to drop snapshots, the lowest priority goes first.
    package var priority: Int32
    package var flags: SnapshotFlags
    /// Seconds since 1970 by whoever asks; for people only.
    package var created: UInt64

    package init(uuid: Bits128, name: String, priority: Int32 = 0, flags: SnapshotFlags = [], created: UInt64 = 0) {
        self.uuid = uuid
        self.name = name
        self.priority = priority
        self.flags = flags
        self.created = created
    }
}

package struct Snapshot: Equatable, Sendable {
    package var number: SnapshotNumber
    package var about: SnapshotRequest
    /// Bytes of the origin when it was made.
    package var size: UInt64
    /// Of a branch: the snapshot that it shows where it was not written. None: a snapshot, which never changes.
    package var base: SnapshotNumber?

    package init(number: SnapshotNumber, about: SnapshotRequest, size: UInt64, base: SnapshotNumber? = nil) {
        self.number = number
        self.about = about
        self.size = size
        self.base = base
    }
}

/// A snapshot of several volumes at one instant, of which this store has durably said "I can".
package struct PreparedSnapshot: Equatable, Sendable {
    package var about: SnapshotRequest
    /// The store that decides: the snapshot exists if one of this uuid exists there.
    package var decider: Bits128

    package init(about: SnapshotRequest, decider: Bits128) {
        self.about = about
        self.decider = decider
    }
}

/// Who may have writes to the origin in flight: one kernel on one node. Durable before its first WELCOME.
package struct WriterRecord: Equatable, Comparable, Sendable {
    package var node: NodeID
    package var machineID: Bits128
    package var kernelBootID: Bits128

    package init(node: NodeID, machineID: Bits128, kernelBootID: Bits128) {
        self.node = node
        self.machineID = machineID
        self.kernelBootID = kernelBootID
    }

    package static func < (left: WriterRecord, right: WriterRecord) -> Bool {
        if left.node != right.node { return left.node < right.node }
        return left.machineID == right.machineID
            ? left.kernelBootID < right.kernelBootID : left.machineID < right.machineID
    }
}

/// Why no late write of a dead server can come any more (docs/data-plane.md, "Settling").
package enum SettleFact: Equatable, Sendable {
    /// This tenure is fenced, or its group of processes was proven empty.
    case tenure(Tenure)
    /// This process was reaped with all it started, on this kernel.
    case process(NodeBoot)
    /// The machine of this node has run another kernel than this one for long enough.
    case kernelGone(WriterRecord)
    /// This owner holds its node's `server.lock`: nothing of its kernel is under way there, and nothing of earlier ones
    /// if this kernel has run for long enough.
    case own(StoreOwner, isKernelOld: Bool)
    /// The operator says that this node's boots up to this one are fenced.
    case node(NodeBoot)
}

/// A dead tenure that may still have writes under way, and what is kept away from everybody because of it.
package struct UnsettledTenure: Equatable, Sendable {
    package var tenure: Tenure
    package var owner: StoreOwner
    /// Bytes.
    package var quarantined: UInt64

    package init(tenure: Tenure, owner: StoreOwner, quarantined: UInt64) {
        self.tenure = tenure
        self.owner = owner
        self.quarantined = quarantined
    }
}

extension WriterRecord {
    package init(_ owner: StoreOwner) {
        self.init(node: owner.process.node, machineID: owner.machineID, kernelBootID: owner.kernelBootID)
    }
}

/// What of a volume is the same on every node.
package struct VolumeFacts: Equatable, Sendable {
    package var store: Bits128
    package var tenure: Tenure
    package var geometry: StoreGeometry
    /// The origin's present size in bytes; it only grows.
    package var originSize: UInt64
    /// Raised by each snapshot, and by a repair; tags the unshared bitmap.
    package var generation: UInt64

    package init(store: Bits128, tenure: Tenure, geometry: StoreGeometry, originSize: UInt64, generation: UInt64) {
        self.store = store
        self.tenure = tenure
        self.geometry = geometry
        self.originSize = originSize
        self.generation = generation
    }
}

/// How full a store is; all in bytes.
package struct StoreSpace: Equatable, Sendable {
    /// All that is there for data, nodes and journal.
    package var total: UInt64
    package var used: UInt64
    /// Free, but a dead server may still write there.
    package var quarantined: UInt64
    /// Kept for takeovers and deletion.
    package var reserve: UInt64

    /// Free for copy-out.
    package var free: UInt64 { total - min(total, used + quarantined + reserve) }

    /// Rounded up, so that 100 means that a copy-out finds no room.
    package var percent: Int {
        let usable = max(total - min(total, reserve), 1)
        return min(100, Int(((used + quarantined) * 100 + usable - 1) / usable))
    }

    package var level: StoreLevel { StoreLevel(percent: percent) }
}

/// Warnings come at 80 and 95 %.
package enum StoreLevel: UInt8, Comparable, Sendable {
    case ample
    case low
    case critical
    case full

    package init(percent: Int) {
        self =
            switch percent {
            case ..<Int(FillingStore.warning): .ample
            case ..<Int(FillingStore.urgent): .low
            case ..<100: .critical
            default: .full
            }
    }

    package static func < (left: StoreLevel, right: StoreLevel) -> Bool { left.rawValue < right.rawValue }
}
