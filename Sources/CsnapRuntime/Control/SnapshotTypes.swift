import CsnapCore
package import CsnapSession

/// A snapshot as `ListSnapshots` answers it; the keys are stable.
package struct SnapshotItem: Codable, Equatable, Sendable {
    package var number: UInt64
    package var uuid: String
    package var name: String
    /// Bytes.
    package var size: UInt64
    /// Seconds since 1970, by the clock of the node that served.
    package var created: UInt64
    /// The lowest goes first when a full store drops snapshots.
    package var priority: Int32
    /// A repair could not save all of it.
    package var damaged: Bool
    /// Of a branch, which is written: the number of the snapshot that it began as.
    package var base: UInt64?

    /// What the server takes for a name.
    package static func isName(_ text: String) -> Bool { SnapshotName.isValid(text) }

    package init(_ entry: SnapshotEntry) {
        number = entry.number
        uuid = entry.uuid.hex
        name = entry.name
        size = entry.size
        created = entry.createdAt
        priority = entry.priority
        damaged = entry.isDamaged
        base = entry.base
    }
}

/// Part of what two images differ in, as `DiffSnapshots` answers it; the keys are stable. In bytes, but
/// for `nextChunk`.
package struct ChangesItem: Codable, Equatable, Sendable {
    package struct Range: Codable, Equatable, Sendable {
        package var offset: UInt64
        package var length: UInt64

        package var end: UInt64 { offset + length }

        package init(offset: UInt64, length: UInt64) {
            self.offset = offset
            self.length = length
        }
    }

    /// Of the newer image.
    package var size: UInt64
    package var chunkSize: UInt32
    /// In order, of whole chunks but at the end.
    package var ranges: [Range]
    /// The chunk to ask on from; null: that was all.
    package var nextChunk: UInt64?

    package init(_ changes: ChangedChunks) {
        let chunk = UInt64(changes.chunkSize)
        let size = changes.size
        func bytes(_ chunks: UInt64) -> UInt64 { chunks < size / chunk ? chunks * chunk : size }
        self.size = size
        chunkSize = changes.chunkSize
        ranges = changes.ranges.map { range in
            Range(offset: bytes(range.first), length: bytes(range.end) - bytes(range.first))
        }
        nextChunk = changes.next
    }
}

/// A snapshot of one of several volumes, as `CreateSnapshots` answers it.
package struct VolumeSnapshotItem: Codable, Equatable, Sendable {
    package var volume: String
    package var snapshot: SnapshotItem

    package init(_ made: VolumeSnapshot) {
        volume = made.volume
        snapshot = SnapshotItem(made.entry)
    }
}

/// A volume as `GetVolume` answers it; the keys are stable. Sizes are bytes.
package struct VolumeItem: Codable, Equatable, Sendable {
    package struct Hold: Codable, Equatable, Sendable {
        package var node: UInt32
        package var reads: UInt32
        package var chunks: UInt64
    }

    package struct Lost: Codable, Equatable, Sendable {
        package var node: UInt32
        /// Of its agent, if the server had a session of it.
        package var boot: UInt64?
        package var seconds: Double
    }

    package struct Making: Codable, Equatable, Sendable {
        package var name: String
        package var seconds: Double
        /// Nodes whose clients have not finished their writes.
        package var missing: [UInt32]
    }

    package var name: String
    package var generation: UInt64
    package var snapshots: UInt32
    package var originSize: UInt64
    package var storeSize: UInt64
    package var storeUsed: UInt64
    /// Free, but a dead server's late writes may still land there.
    package var quarantined: UInt64
    /// 100: no room for another chunk.
    package var percent: UInt8
    package var sessions: UInt32
    /// Writes that wait for a snapshot's readers, or for room in the store.
    package var waitingWrites: UInt32
    /// How long the oldest of them waits for readers.
    package var heldSeconds: Double?
    /// How long the oldest of them waits for room.
    package var fullSeconds: Double?
    package var holds: [Hold]
    /// Nodes that wrote and are gone without proof that nothing of theirs can land: no snapshot is made until then.
    package var lostWriters: [Lost]
    /// Nodes whose origin was another disk than the server's when a snapshot was asked for last.
    package var strangers: [UInt32]
    /// The snapshot that is being made.
    package var making: Making?
    /// It has begun and not ended: the volume is half reverted or received.
    package var revert: RevertItem?

    package init(_ name: String, _ report: VolumeReport) {
        self.name = name
        generation = report.generation
        snapshots = report.snapshots
        originSize = report.originSize
        storeSize = report.storeSize
        storeUsed = report.storeUsed
        quarantined = report.quarantined
        percent = report.percent
        sessions = report.sessions
        waitingWrites = report.waitingWrites
        holds = report.holds.map { Hold(node: $0.node.value, reads: $0.reads, chunks: $0.chunks) }
        lostWriters = report.lostWriters.map {
            Lost(node: $0.node.value, boot: $0.boot == Boot(0) ? nil : $0.boot.value, seconds: $0.age.seconds)
        }
        strangers = report.strangers.map(\.value)
        heldSeconds = report.heldUp?.seconds
        fullSeconds = report.full?.seconds
        revert = report.revert.map { RevertItem($0) }
        making = report.barrier.map {
            Making(name: $0.name, seconds: $0.age.seconds, missing: $0.missing.map(\.value))
        }
    }
}

/// A check as `CheckVolume` answers it, and `csnapctl volume check --json` prints it; the keys are stable.
package struct VolumeCheck: Codable, Equatable, Sendable {
    package struct Problem: Codable, Equatable, Sendable {
        /// See docs/troubleshooting.md, "Problems of a store".
        package var code: String
        package var text: String
    }

    /// What snapshots have lost for good; only of a repair.
    package struct Loss: Codable, Equatable, Sendable {
        package var snapshots: [String]
        /// Null: nobody knows which chunks.
        package var firstChunk: UInt64?
        /// Behind the last; null: to the end.
        package var endChunk: UInt64?
        package var text: String

        package init(snapshots: [String], firstChunk: UInt64?, endChunk: UInt64?, text: String) {
            self.snapshots = snapshots
            self.firstChunk = firstChunk
            self.endChunk = endChunk
            self.text = text
        }
    }

    package var name: String
    package var done: Bool
    /// Through the server; false: the device itself, with nobody else using it.
    package var online: Bool
    package var entries: UInt64
    /// About.
    package var total: UInt64
    package var nodes: UInt64
    package var snapshots: UInt32
    package var problems: [Problem]
    /// There are more problems than are listed.
    package var hasMore: Bool
    /// Only of a repair: something was written.
    package var repaired: Bool?
    package var losses: [Loss]?
    /// Only with --fenced: the dead servers because of which nothing is kept away any more.
    package var settled: Int?
    /// Only of a repair: the generation now.
    package var generation: UInt64?

    package init(_ name: String, _ state: CheckState, online: Bool = true) {
        self.name = name
        self.online = online
        done = state.isDone
        entries = state.entries
        total = state.total
        nodes = state.nodes
        snapshots = state.snapshots
        problems = state.problems.map { Problem(code: $0.code, text: $0.text) }
        hasMore = state.hasMore
    }
}

/// A revert or receive that has begun and not ended, as `BeginRevert`, `BeginReceive` and `GetVolume` answer it.
package struct RevertItem: Codable, Equatable, Sendable {
    package var uuid: String
    /// The number and the name of the snapshot it goes to.
    package var number: UInt64
    package var snapshot: String
    /// It is what a stream brings, which has no number and no name yet.
    package var receiving: Bool
    /// Whose client writes.
    package var node: UInt32
    /// Chunks below this one are written back.
    package var cursor: UInt64

    package init(_ report: RevertReport) {
        uuid = report.uuid.hex
        number = report.number
        snapshot = report.name
        receiving = report.number == 0
        node = report.node.value
        cursor = report.cursor
    }
}

extension CommandOutcome {
    /// What the control socket answers; a refusal is an error with its remedy.
    func reply(to command: SnapshotCommand) throws -> JSONValue {
        switch self {
        case .done: return .object([:])
        case .snapshot(let entry): return .object(["snapshot": try JSON.value(SnapshotItem(entry))])
        case .reverting(let revert): return .object(["revert": try JSON.value(RevertItem(revert))])
        case .several(let made):
            return .object(["snapshots": try JSON.value(made.map { VolumeSnapshotItem($0) })])
        case .snapshots(let entries, let hasMore):
            let items = try JSON.value(entries.map { SnapshotItem($0) })
            return .object(["snapshots": items, "hasMore": .bool(hasMore)])
        case .volume(let report): return .object(["volume": try JSON.value(VolumeItem(command.volume, report))])
        case .changes(let changes): return .object(["changes": try JSON.value(ChangesItem(changes))])
        case .check(let state): return .object(["check": try JSON.value(VolumeCheck(command.volume, state))])
        case .hanging(let age):
            throw ControlError.refused(
                code: "storeHangs",
                message: "the server's disk under the store of \(command.volume), or under its origin, has not "
                    + "answered for \(Int(age.seconds)) s: `csnapctl why` says what to do")
        case .refused(let reason, let culprit):
            throw ControlError.refused(code: reason.code, message: reason.sentence(culprit))
        }
    }
}

extension CommandRefusal {
    /// Stable; explained in docs/troubleshooting.md.
    var code: String {
        switch self {
        case .notActive: "notActive"
        case .unknownVolume: "unknownVolume"
        case .leftOut: "leftOut"
        case .unknownSnapshot: "unknownSnapshot"
        case .nameTaken: "nameTaken"
        case .badName: "badName"
        case .busy: "busy"
        case .writerLost: "writerLost"
        case .clientLate: "clientLate"
        case .storeFull: "storeFull"
        case .storeFailed: "storeFailed"
        case .tooManySnapshots: "tooManySnapshots"
        case .inUse: "inUse"
        case .otherClients: "otherClients"
        case .noClient: "noClient"
        case .reverting: "reverting"
        case .notReverting: "notReverting"
        case .notOlder: "notOlder"
        case .checking: "checking"
        case .originSmaller: "originSmaller"
        case .originDiffers: "originDiffers"
        case .isBranch: "isBranch"
        }
    }

    package func sentence(_ culprit: String) -> String {
        switch self {
        case .notActive: "the server is not active yet: `csnapctl why` says what it waits for"
        case .unknownVolume: "the server has no volume '\(culprit)': use one configuration on all nodes"
        case .leftOut:
            "the server serves without volume '\(culprit)', whose store failed: repair the path to it, then "
                + "`csnapctl transfer NODE` to a node that sees it"
        case .unknownSnapshot: "there is no snapshot '\(culprit)': `csnapctl snapshot list` shows them"
        case .nameTaken: "there is a snapshot '\(culprit)' already: choose another name, or delete it"
        case .badName:
            "'\(culprit)' is no name for a snapshot: 1 to 64 letters, digits and - _ . : + @, no - or . in front"
        case .busy: "another snapshot of \(culprit) is being made: try again when it is done"
        case .writerLost:
            "\(culprit) wrote to the volume and is not connected: what it gave to the disk may still land. "
                + "Bring it back, or power it off and run \(CommandRefusal.strikes(culprit))"
        case .clientLate:
            "\(culprit) did not finish its writes in time, so no snapshot was made: examine its disk, its network and "
                + "its csnap-client, then try again"
        case .storeFull: "the store of \(culprit) is full: delete snapshots, then try again"
        case .storeFailed: "the store of \(culprit) failed: the server's log says how"
        case .tooManySnapshots: "\(culprit) has as many snapshots as a store keeps: delete some"
        case .inUse: "the snapshot is in use: \(culprit). Try again when that has ended"
        case .otherClients:
            "this needs the volume for itself, and clients of \(culprit) are connected: stop them "
                + "(`systemctl stop csnap-client@VOLUME`), then try again"
        case .noClient:
            "this is done by this node's client of the volume, and \(culprit) has none connected: start it "
                + "(`systemctl start csnap-client@VOLUME`), then try again"
        case .reverting:
            "\(culprit) is being reverted or received: `csnapctl why` says by which node; try again when that has ended"
        case .notReverting: "that revert or receive of \(culprit) has ended, or another one was begun instead"
        case .notOlder: "a difference goes from the older snapshot of \(culprit) to the newer: name them in that order"
        case .originSmaller:
            "the origin of \(culprit) is smaller than it was; an origin only grows: give it its size back"
        case .originDiffers:
            "the origin of \(culprit) is another disk than the server's, so a snapshot would be wrong: give all nodes "
                + "the same disk under `origin`, by a name in /dev/disk/by-id, and restart csnap-agent and the client"
        case .checking: "\(culprit) is being checked already: wait until that is done"
        case .isBranch:
            "\(culprit) is a branch, which may change at any time: name a snapshot, or copy the export snap/\(culprit)"
        }
    }

    /// One command for each node that the culprit names.
    private static func strikes(_ culprit: String) -> String {
        culprit.matches(of: #/node ([0-9]+)/#).map { "`csnapctl strike \($0.1) --fenced`" }.joined(separator: ", ")
    }
}
