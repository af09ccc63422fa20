package import CsnapCore

/// Names one try of a server to make a snapshot; BEGIN, ACK and END carry it, others are ignored.
package struct BarrierAttempt: Equatable, Comparable, Sendable {
    package var tenure: Tenure
    package var counter: UInt64

    package init(tenure: Tenure, counter: UInt64) {
        self.tenure = tenure
        self.counter = counter
    }

    package static func < (left: BarrierAttempt, right: BarrierAttempt) -> Bool {
        left.tenure == right.tenure ? left.counter < right.counter : left.tenure < right.tenure
    }
}

/// One run of a kernel on one machine that writes an origin. What it has given to the disk can land until it is
/// proven gone (docs/data-plane.md, "Writers").
package struct SessionWriter: Equatable, Comparable, Sendable {
    package var node: NodeID
    package var machineID: Bits128
    package var kernelBootID: Bits128

    package init(node: NodeID, machineID: Bits128, kernelBootID: Bits128) {
        self.node = node
        self.machineID = machineID
        self.kernelBootID = kernelBootID
    }

    package static func < (left: SessionWriter, right: SessionWriter) -> Bool {
        if left.node != right.node { return left.node < right.node }
        if left.machineID != right.machineID { return left.machineID < right.machineID }
        return left.kernelBootID < right.kernelBootID
    }
}

/// Where the next `count` chunks of a snapshot are to be read.
package struct MapPiece: Equatable, Sendable {
    package enum Place: Equatable, Sendable {
        /// On the origin, under a hold until END_READ.
        case origin
        /// In the snapshot store, one chunk after the other from this byte on.
        case store(UInt64)
        /// Nowhere: zeros.
        case zero
    }

    package var count: UInt32
    package var place: Place
    /// CRC-32C of each chunk in the store, as many as there are; none elsewhere.
    package var checksums: [UInt32]

    package init(count: UInt32, place: Place, checksums: [UInt32] = []) {
        self.count = count
        self.place = place
        self.checksums = checksums
    }
}

/// A snapshot as clients and people see it.
package struct SnapshotEntry: Equatable, Sendable {
    /// Never reused within one store; rises from snapshot to snapshot, and from branch to branch above all of them.
    package var number: UInt64
    /// The uuid of the command that made it.
    package var uuid: Bits128
    package var name: String
    /// Bytes of the origin when it was made.
    package var size: UInt64
    /// Seconds since 1970 by the clock of the node that served; for people only.
    package var createdAt: UInt64
    /// The lowest goes first when a full store drops snapshots.
    package var priority: Int32
    /// A repair could not save all of it.
    package var isDamaged: Bool
    /// Of a branch, which is written: the number of the snapshot that it began as. Nil: a snapshot.
    package var base: UInt64?

    package init(
        number: UInt64, uuid: Bits128, name: String, size: UInt64, createdAt: UInt64, priority: Int32 = 0,
        isDamaged: Bool = false, base: UInt64? = nil
    ) {
        self.number = number
        self.uuid = uuid
        self.name = name
        self.size = size
        self.createdAt = createdAt
        self.priority = priority
        self.isDamaged = isDamaged
        self.base = base
    }
}

/// Which chunks may differ between two images of a volume?
package struct ChangesQuery: Equatable, Sendable {
    /// The number of the older snapshot.
    package var from: UInt64
    /// The number of the newer one; nil: the origin as it is now.
    package var to: UInt64?
    /// The chunk to begin at.
    package var first: UInt64

    package init(from: UInt64, to: UInt64?, first: UInt64) {
        self.from = from
        self.to = to
        self.first = first
    }
}

/// One part of the answer. Chunks are named that were granted for writing; their bytes may be the same.
package struct ChangedChunks: Equatable, Sendable {
    package var chunkSize: UInt32
    /// Bytes of the newer image.
    package var size: UInt64
    /// In order; neighbours are one range. At most `SessionWire.maximumChanges`.
    package var ranges: [ChunkRange]
    /// Where to ask on; nil: that was all.
    package var next: UInt64?

    package init(chunkSize: UInt32, size: UInt64, ranges: [ChunkRange], next: UInt64?) {
        self.chunkSize = chunkSize
        self.size = size
        self.ranges = ranges
        self.next = next
    }
}

package struct VolumeSnapshot: Equatable, Sendable {
    package var volume: String
    package var entry: SnapshotEntry

    package init(volume: String, entry: SnapshotEntry) {
        self.volume = volume
        self.entry = entry
    }
}

package enum CommandOutcome: Equatable, Sendable {
    case done
    case snapshot(SnapshotEntry)
    /// Of several volumes.
    case several([VolumeSnapshot])
    case snapshots([SnapshotEntry], hasMore: Bool)
    case volume(VolumeReport)
    case reverting(RevertReport)
    case changes(ChangedChunks)
    case check(CheckState)
    /// Of `examine`: the volume's store, or its origin, has not answered the server for so long.
    case hanging(Interval)
    case refused(CommandRefusal, culprit: String)
}

/// Why a command was not carried out. Nothing was changed.
package enum CommandRefusal: UInt16, Sendable {
    case notActive = 1
    case unknownVolume = 2
    case unknownSnapshot = 3
    case nameTaken = 4
    case badName = 5
    /// Another snapshot of this volume is being made.
    case busy = 6
    /// A writer is not connected; what it gave to the disk may still land.
    case writerLost = 7
    /// A client did not answer the barrier in time.
    case clientLate = 8
    case storeFull = 9
    case storeFailed = 10
    case tooManySnapshots = 11
    case inUse = 12
    /// A revert or receive needs the volume for itself; other nodes' clients are connected.
    case otherClients = 34
    /// It is done by the client of the node where it is asked for; there is none.
    case noClient = 35
    /// The volume is being reverted or received.
    case reverting = 36
    /// There is no revert or receive of that uuid.
    case notReverting = 37
    /// A difference is asked for from the older snapshot to the newer.
    case notOlder = 13
    /// Another check of this volume is running.
    case checking = 30
    /// An origin never shrinks.
    case originSmaller = 31
    /// A client's origin is another disk than the server's.
    case originDiffers = 40
    /// The volume's store failed wherever a server tried it; this one serves the others.
    case leftOut = 38
    /// What was asked for is done with snapshots only.
    case isBranch = 39
}

/// What `csnapctl volume list` and `holds` show.
package struct VolumeReport: Equatable, Sendable {
    package var generation: UInt64
    package var snapshots: UInt32
    /// Bytes.
    package var originSize: UInt64
    package var storeSize: UInt64
    package var storeUsed: UInt64
    package var quarantined: UInt64
    /// 100: no room for another chunk.
    package var percent: UInt8
    package var sessions: UInt32
    /// For a reader's hold to end, or for room in the store.
    package var waitingWrites: UInt32 = 0
    /// Of these, the oldest that waits for readers.
    package var heldUp: Interval?
    /// Of these, the oldest that waits for room.
    package var full: Interval?
    package var holds: [HoldReport] = []
    package var lostWriters: [LostWriter] = []
    /// Whose origin was another disk than the server's when it was compared last.
    package var strangers: [NodeID] = []
    /// For how long this server has known of the first of them.
    package var strangersAge: Interval?
    /// The snapshot that is being made.
    package var barrier: BarrierReport?
    /// The volume is half reverted.
    package var revert: RevertReport?
    /// For how long this server has known.
    package var revertAge: Interval?

    package init(
        generation: UInt64, snapshots: UInt32, originSize: UInt64, storeSize: UInt64, storeUsed: UInt64,
        quarantined: UInt64, percent: UInt8 = 0, sessions: UInt32
    ) {
        self.generation = generation
        self.snapshots = snapshots
        self.originSize = originSize
        self.storeSize = storeSize
        self.storeUsed = storeUsed
        self.quarantined = quarantined
        self.percent = percent
        self.sessions = sessions
    }
}

/// A writer that is not cleared and has no session: no snapshot is made until it is back or proven gone.
package struct LostWriter: Equatable, Sendable {
    package var node: NodeID
    /// Of its agent; none if this server never had a session of it.
    package var boot: Boot
    /// For how long this server has known.
    package var age: Interval

    package init(node: NodeID, boot: Boot, age: Interval) {
        self.node = node
        self.boot = boot
        self.age = age
    }

    /// "node 3 (boot 41, 12 s)".
    var words: String {
        let boot = boot == Boot(0) ? "" : "boot \(boot.value), "
        return "node \(node.value) (\(boot)\(age.nanoseconds / 1_000_000_000) s)"
    }
}

/// A revert, or the receiving of a stream, that has begun and not ended.
package struct RevertReport: Equatable, Sendable {
    package var uuid: Bits128
    /// The snapshot it goes to; 0, without a name: what a stream brings.
    package var number: UInt64
    package var name: String
    /// Whose client writes.
    package var node: NodeID
    /// Chunks below this one are written back.
    package var cursor: UInt64

    package init(uuid: Bits128, number: UInt64, name: String, node: NodeID, cursor: UInt64) {
        self.uuid = uuid
        self.number = number
        self.name = name
        self.node = node
        self.cursor = cursor
    }
}

/// A snapshot that is being made, for people.
package struct BarrierReport: Equatable, Sendable {
    package var name: String
    package var age: Interval
    /// Whose clients have not acknowledged.
    package var missing: [NodeID]
    /// Of which volume each of them is; none: there is only one.
    package var volumes: [String]

    package init(name: String, age: Interval, missing: [NodeID], volumes: [String] = []) {
        self.name = name
        self.age = age
        self.missing = missing
        self.volumes = volumes
    }
}

/// How far the check of a store is, and what it found so far.
package struct CheckState: Equatable, Sendable {
    /// Something that is not as it should be: its stable code, and a sentence that names the place.
    package struct Problem: Equatable, Sendable {
        package var code: String
        package var text: String

        package init(code: String, text: String) {
            self.code = code
            self.text = text
        }
    }

    package var isDone: Bool
    /// Entries done, and about how many there are.
    package var entries: UInt64
    package var total: UInt64
    package var nodes: UInt64
    package var snapshots: UInt32
    /// At most 100; `hasMore`: there are more.
    package var problems: [Problem]
    package var hasMore: Bool

    package init(
        isDone: Bool, entries: UInt64, total: UInt64, nodes: UInt64, snapshots: UInt32, problems: [Problem],
        hasMore: Bool
    ) {
        self.isDone = isDone
        self.entries = entries
        self.total = total
        self.nodes = nodes
        self.snapshots = snapshots
        self.problems = problems
        self.hasMore = hasMore
    }
}

/// The reads of one client that have not ended.
package struct HoldReport: Equatable, Sendable {
    package var node: NodeID
    package var reads: UInt32
    package var chunks: UInt64

    package init(node: NodeID, reads: UInt32, chunks: UInt64) {
        self.node = node
        self.reads = reads
        self.chunks = chunks
    }
}

/// How a snapshot's name must look: an NBD export and a word of the command line.
package enum SnapshotName {
    package static let limit = Limits.snapshotName

    /// 1 to 64 letters, digits, `-`, `_`, `.`, `:`, `+`, `@`; no `.` or `-` in front.
    package static func isValid(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        guard (1...limit).contains(bytes.count), bytes[0] != UInt8(ascii: "."), bytes[0] != UInt8(ascii: "-") else {
            return false
        }
        return bytes.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: ":"), UInt8(ascii: "+"), UInt8(ascii: "@"):
                true
            default: false
            }
        }
    }
}
