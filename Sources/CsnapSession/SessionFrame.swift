package import CsnapCore

/// What a client says to the server over its TCP session (docs/data-plane.md).
package enum ClientFrame: Equatable, Sendable {
    case hello(SessionHello)
    /// May I write these chunks? Idempotent by `request`.
    case queryWrite(request: UInt64, epoch: Epoch, ranges: [ChunkRange])
    /// Where are these chunks of that snapshot? What lies on the origin is held until `endRead`.
    case queryRead(request: UInt64, epoch: Epoch, snapshot: UInt64, ranges: [ChunkRange])
    /// The read of that query is over, whatever became of it. One that the client does not have drops nothing.
    case endRead(request: UInt64, epoch: Epoch)
    /// Read these bytes of a snapshot for me: I do not see the store. They lie in one chunk, and are at most
    /// `SessionWire.maximumData`.
    case readData(request: UInt64, epoch: Epoch, snapshot: UInt64, offset: UInt64, length: UInt32)
    /// Write this to a branch.
    case writeBranch(request: UInt64, epoch: Epoch, BranchData)
    /// The numbers of all snapshots and branches that programs have open through this client.
    case openImages(epoch: Epoch, [UInt64])
    /// Nothing of this client is at the disk, nothing granted is unused, the origin is flushed. `origin`: the sum of
    /// its sample (`OriginSample`).
    case barrierAck(BarrierAttempt, origin: UInt32)
    /// The snapshots of this volume with numbers above `after`, one page.
    case listSnapshots(request: UInt64, epoch: Epoch, after: UInt64)
    /// Which chunks changed between two images of this volume?
    case queryChanges(request: UInt64, epoch: Epoch, ChangesQuery)
    /// Of a session for commands only.
    case command(request: UInt64, epoch: Epoch, SnapshotCommand)
    /// Of a session for commands only: the sender's node has proof that no client of that volume on this kernel has
    /// anything at the disk. `client` is the one that it knew last, with those before it; zero: none since its agent
    /// began.
    case clientGone(request: UInt64, epoch: Epoch, volume: String, client: Bits128)
    case ping(epoch: Epoch)
    /// The client has closed its gate for ever and nothing of it is at the disk: its writer may be cleared.
    case bye
}

package struct SessionHello: Equatable, Sendable {
    package var versions: ClosedRange<UInt16>
    package var process: NodeBoot
    /// Of the clients of one volume on one kernel, one that starts later has a higher one.
    package var client: Bits128
    package var machineID: Bits128
    package var kernelBootID: Bits128
    /// Empty for `commands`.
    package var volume: String
    /// `origin`, which reads the snapshots too, or `commands`.
    package var image: String
    package var tenure: Tenure

    package static let origin = "origin"
    package static let commands = "commands"

    package init(
        versions: ClosedRange<UInt16>, process: NodeBoot, client: Bits128, machineID: Bits128,
        kernelBootID: Bits128, volume: String, image: String, tenure: Tenure
    ) {
        self.versions = versions
        self.process = process
        self.client = client
        self.machineID = machineID
        self.kernelBootID = kernelBootID
        self.volume = volume
        self.image = image
        self.tenure = tenure
    }

    package var writer: SessionWriter {
        SessionWriter(node: process.node, machineID: machineID, kernelBootID: kernelBootID)
    }
}

/// `count` chunks from `first`; count is at least 1.
package struct ChunkRange: Equatable, Sendable {
    package var first: UInt64
    package var count: UInt32

    package init(first: UInt64, count: UInt32) {
        self.first = first
        self.count = count
    }
}

extension [ChunkRange] {
    package var chunkCount: UInt64 { reduce(UInt64(0)) { $0 + UInt64($1.count) } }
}

/// Bytes for a branch, in one chunk.
package struct BranchData: Equatable, Sendable {
    /// The branch's number.
    package var branch: UInt64
    /// Bytes.
    package var offset: UInt64
    /// At most `SessionWire.maximumData`.
    package var length: UInt32
    /// `length` of them, or none: zeros.
    package var bytes: [UInt8]

    package init(branch: UInt64, offset: UInt64, length: UInt32, bytes: [UInt8]) {
        self.branch = branch
        self.offset = offset
        self.length = length
        self.bytes = bytes
    }
}

package enum ServerFrame: Equatable, Sendable {
    case welcome(SessionWelcome)
    case refused(SessionRefusal, tenure: Tenure)
    case grant(request: UInt64, epoch: Epoch, generation: UInt64)
    case error(request: UInt64, epoch: Epoch, code: UInt16)
    /// The chunks of a read query, in its order.
    case map(request: UInt64, epoch: Epoch, pieces: [MapPiece])
    /// What `readData` asked for, all of it.
    case data(request: UInt64, epoch: Epoch, bytes: [UInt8])
    /// What `writeBranch` brought is durable.
    case written(request: UInt64, epoch: Epoch)
    /// Stop admitting writes, drain, flush, then acknowledge.
    case barrierBegin(BarrierAttempt)
    /// Go on, in this generation; it is the old one if no snapshot was made.
    /// `originSize`: the origin has this many bytes from now on; 0: as many as before.
    case barrierEnd(BarrierAttempt, generation: UInt64, originSize: UInt64 = 0)
    /// Snapshots were made, deleted or renamed; none of a lower number.
    case snapshotsChanged(epoch: Epoch, from: UInt64)
    case snapshots(request: UInt64, epoch: Epoch, entries: [SnapshotEntry], hasMore: Bool)
    case outcome(request: UInt64, epoch: Epoch, CommandOutcome)
    case changes(request: UInt64, epoch: Epoch, ChangedChunks)
    case pong(epoch: Epoch)
    /// Another tenure has begun, or this boot was struck.
    case goAway(tenure: Tenure)
}

package struct SessionWelcome: Equatable, Sendable {
    package var session: UInt64
    package var tenure: Tenure
    package var storeUUID: Bits128
    /// Bytes.
    package var originSize: UInt64
    package var chunkSize: UInt32
    /// Raised by each snapshot; unshared bitmaps are tagged with it.
    package var generation: UInt64

    package init(
        session: UInt64, tenure: Tenure, storeUUID: Bits128, originSize: UInt64, chunkSize: UInt32,
        generation: UInt64
    ) {
        self.session = session
        self.tenure = tenure
        self.storeUUID = storeUUID
        self.originSize = originSize
        self.chunkSize = chunkSize
        self.generation = generation
    }
}

/// Why a session was refused; each has its own sentence for a person.
package enum SessionRefusal: UInt16, Sendable {
    case notAdmitted = 1
    case struck = 2
    case lowerTenure = 3
    case higherTenure = 4
    case unknownVolume = 5
    case version = 6
    case tooManySessions = 7
    case unknownImage = 8
    case notServing = 9
    case storeFull = 10
    /// The volume's store failed wherever a server tried it; this one serves the others.
    case leftOut = 11
    /// A client of this volume that started later on this kernel has greeted.
    case succeeded = 12
}
