package import CsnapCore

/// Numbers a connection of a client; given by the shell, never reused in one life of a server.
package struct ConnectionID: Equatable, Comparable, Sendable {
    package var value: UInt64

    package init(_ value: UInt64) { self.value = value }

    package static func < (left: ConnectionID, right: ConnectionID) -> Bool { left.value < right.value }
}

#if !hasFeature(Embedded)
    extension ConnectionID: Hashable {}
#endif

/// What a session needs to know of a volume whose store is taken.
package struct SessionVolume: Equatable, Sendable {
    package var name: String
    package var storeUUID: Bits128
    /// Bytes.
    package var originSize: UInt64
    package var chunkSize: UInt32
    package var generation: UInt64
    /// Those on record in the store.
    package var writers: [SessionWriter]
    /// Where the dead servers ran whose late writes the store still keeps away.
    package var deadServers: [SessionWriter]
    /// Snapshots of several volumes whose fate was open when the store was taken.
    package var prepared: [Prepared]
    /// Begun and not ended.
    package var revert: RevertReport?

    package struct Prepared: Equatable, Sendable {
        package var uuid: Bits128
        /// The uuid of the store that decides.
        package var decider: Bits128

        package init(uuid: Bits128, decider: Bits128) {
            self.uuid = uuid
            self.decider = decider
        }
    }

    package init(
        name: String, storeUUID: Bits128, originSize: UInt64, chunkSize: UInt32, generation: UInt64,
        writers: [SessionWriter] = [], deadServers: [SessionWriter] = [], prepared: [Prepared] = [],
        revert: RevertReport? = nil
    ) {
        self.name = name
        self.storeUUID = storeUUID
        self.originSize = originSize
        self.chunkSize = chunkSize
        self.generation = generation
        self.writers = writers
        self.deadServers = deadServers
        self.prepared = prepared
        self.revert = revert
    }

    var chunks: UInt64 {
        chunkSize == 0 ? 0 : originSize / UInt64(chunkSize) + (originSize % UInt64(chunkSize) == 0 ? 0 : 1)
    }

    func error(in ranges: [ChunkRange]) -> SessionQueryError? {
        if ranges.isEmpty { return .empty }
        let chunks = chunks
        let inside = ranges.allSatisfy { range in
            range.count >= 1 && range.first < chunks && UInt64(range.count) <= chunks - range.first
        }
        return inside ? nil : .outOfRange
    }
}

/// One volume and what goes on in it.
struct VolumeState: Equatable, Sendable {
    var about: SessionVolume
    var holds = ReadHolds()
    var writers: WriterTable
    /// Where dead servers ran, as if these were writers: only time settles those of kernels that are gone.
    var servers: WriterTable
    /// The client of each node that greeted last.
    var newest = SortedTable<NodeID, NewestClient>()
    /// Writers whose last session here is gone.
    var lost = SortedTable<SessionWriter, LostSession>()
    /// The snapshot that is being made: from the command until its answer.
    var barrier: UInt64?
    /// From BEGIN to END.
    var isStill = false
    /// Whose origin was another disk than the server's when it was compared last.
    var strangers: [NodeID] = []
    var strangersSince: Instant?
    /// When the revert was begun; nil: before service began here.
    var revertSince: Instant?
    /// A revert by this node is about to begin.
    var reserved: NodeID?
    /// Writes whose chunks are copied out and that wait for a hold to end, by ticket.
    var heldUp = SortedTable<UInt64, PendingWrite>()
    /// Writes for whose copies the store had no room, by ticket; tried again when `fullUntil` has come.
    var full = SortedTable<UInt64, PendingWrite>()
    var fullUntil = Instant.distantPast
    /// Sessions whose writes to branches found no room; they ask again.
    var fullBranches = SortedTable<ConnectionID, FullBranch>()
    /// Deletions whose space the store may not free yet: the number, and the last ticket given when it was heard of. 0:
    /// those of earlier servers, whose readers know of their end when all are back, or without a lease.
    var deletions: [(number: UInt64, ticket: UInt64)] = [(0, 0)]

    init(_ about: SessionVolume) {
        self.about = about
        writers = WriterTable(about.writers)
        servers = WriterTable(about.deadServers)
    }

    static func == (left: VolumeState, right: VolumeState) -> Bool {
        left.about == right.about && left.holds == right.holds && left.writers == right.writers
            && left.servers == right.servers && left.newest == right.newest && left.lost == right.lost
            && left.isStill == right.isStill && left.reserved == right.reserved && left.strangers == right.strangers
            && left.strangersSince == right.strangersSince && left.revertSince == right.revertSince
            && left.barrier == right.barrier
            && left.heldUp == right.heldUp && left.full == right.full && left.fullUntil == right.fullUntil
            && left.fullBranches == right.fullBranches
            && left.deletions.elementsEqual(right.deletions) { $0 == $1 }
    }
}

/// A client's writes to branches find no room.
struct FullBranch: Equatable, Sendable {
    /// Without an answer of this kind for so long, it asks no more.
    static let patience = Interval.seconds(2)

    var since: Instant
    var last: Instant
}

/// Who speaks for a node. What its predecessors sent before they ended may arrive at any time: it is not heard.
struct NewestClient: Equatable, Sendable {
    var client: Bits128
    var kernelBootID: Bits128

    init(_ hello: SessionHello) {
        client = hello.client
        kernelBootID = hello.kernelBootID
    }

    /// An earlier client of the same kernel. Those of earlier kernels are of earlier boots, and refused for that.
    func succeeds(_ hello: SessionHello) -> Bool {
        kernelBootID == hello.kernelBootID && hello.client < client
    }
}

struct LostSession: Equatable, Sendable {
    var boot: Boot
    var since: Instant
}

struct PendingWrite: Equatable, Sendable {
    var connection: ConnectionID
    var request: UInt64
    var ranges: [ChunkRange]
    /// When it was asked.
    var since: Instant
}
