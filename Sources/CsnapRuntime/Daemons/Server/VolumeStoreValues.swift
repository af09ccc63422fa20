import CsnapCore
package import CsnapSession
package import CsnapStore
import Glibc

/// A device of the server: no write begins unless the lease allows it. The origin is only read, so it has no gate.
struct GatedDevice: BlockDevice {
    let device: StoreDevice
    let gate: GatedStore?

    var size: UInt64 { device.size }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(BlockDeviceError) {
        try check(device.read(into: buffer, at: offset))
    }

    func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(BlockDeviceError) {
        gate?.waitToWrite()
        defer { gate?.written() }
        try check(Failpoints.around(StoreStep(buffer).rawValue) { device.write(buffer, at: offset) })
    }

    func flush() throws(BlockDeviceError) { try check(Failpoints.around(Failpoints.flush) { device.flush() }) }

    private func check(_ code: Int32) throws(BlockDeviceError) {
        if code != 0 { throw .system(code) }
    }
}

extension WriterRecord {
    package init(_ writer: SessionWriter) {
        self.init(node: writer.node, machineID: writer.machineID, kernelBootID: writer.kernelBootID)
    }
}

extension SessionWriter {
    package init(_ record: WriterRecord) {
        self.init(node: record.node, machineID: record.machineID, kernelBootID: record.kernelBootID)
    }
}

extension SnapshotEntry {
    package init(_ snapshot: Snapshot) {
        self.init(
            number: snapshot.number.value, uuid: snapshot.about.uuid, name: snapshot.about.name, size: snapshot.size,
            createdAt: snapshot.about.created, priority: snapshot.about.priority,
            isDamaged: snapshot.about.flags.contains(.damaged), base: snapshot.base?.value)
    }
}

extension BranchWrite {
    package init(_ data: BranchData) {
        self.init(
            branch: SnapshotNumber(data.branch), offset: data.offset, length: Int(data.length), bytes: data.bytes)
    }
}

extension CheckState {
    init(_ report: CheckReport, total: UInt64, isDone: Bool) {
        self.init(
            isDone: isDone, entries: report.entries, total: total, nodes: report.nodes,
            snapshots: UInt32(report.snapshots),
            problems: report.problems.map { Problem(code: $0.code, text: $0.sentence) }, hasMore: report.hasMore)
    }
}

extension MapPiece {
    package init(_ part: ChunkLocation) {
        let place: Place =
            switch part.place {
            case .store(let offset): .store(offset)
            case .origin: .origin
            case .zero: .zero
            }
        self.init(count: UInt32(part.chunks.count), place: place, checksums: part.checksums)
    }
}

extension StoreResult {
    /// Of a copy-out.
    package init(_ outcome: GrantOutcome) {
        self =
            switch outcome {
            case .granted: .copied
            case .originRead: .failed(.originFailed)
            case .damaged: .failed(.storeDamaged)
            case .full: .full
            case .outOfRange: .failed(.outOfRange)
            }
    }

    /// Of a write to a branch; nil: done.
    package init(_ outcome: StoreError?) {
        self = outcome.map { $0 == .full ? .full : .failed($0.queryError) } ?? .written
    }
}

extension StoreError {
    /// What the agent is told.
    var failure: ServerFailure {
        switch self {
        case .surpassed: .storeTenure
        case .damaged: .storeDamaged
        case .originRead: .originIO
        default: .storeIO
        }
    }

    /// The agent claims an epoch above it.
    var epochSeen: Epoch {
        if case .surpassed(let tenure, _) = self { tenure.epoch } else { .none }
    }

    /// An errno, where there is one.
    var code: Int32 {
        if case .device(.system(let code)) = self { code } else { EIO }
    }

    var queryError: SessionQueryError {
        switch self {
        case .noSuchSnapshot: .unknownSnapshot
        case .full, .tooManyWriters: .storeFull
        case .originRead, .originFlush: .originFailed
        case .outOfRange: .outOfRange
        case .isNoBranch: .notWritable
        case .damaged, .damagedData: .storeDamaged
        case .device, .surpassed, .ended, .noSuchPrepared, .nameTaken, .impossibleName, .tooManySnapshots, .pinned,
            .hasBranch, .isBranch, .wouldShrink:
            .storeDamaged
        }
    }

    /// Words for the snapshot that is to blame, if one is.
    var snapshot: String? {
        switch self {
        case .noSuchSnapshot(let number), .damagedData(let number, _), .pinned(let number): "number \(number.value)"
        default: nil
        }
    }

    var refusal: CommandRefusal {
        switch self {
        case .full: .storeFull
        case .noSuchSnapshot: .unknownSnapshot
        case .nameTaken: .nameTaken
        case .impossibleName: .badName
        case .tooManySnapshots: .tooManySnapshots
        case .pinned, .hasBranch: .inUse
        case .isBranch: .isBranch
        case .wouldShrink: .originSmaller
        case .device, .surpassed, .ended, .damaged, .noSuchPrepared, .tooManyWriters, .isNoBranch, .outOfRange,
            .damagedData, .originRead, .originFlush:
            .storeFailed
        }
    }

    /// For a person.
    func sentence(_ about: CsnapConfiguration.Volume) -> String {
        guard case .originRead(let chunk, let error) = self else { return sentence(about.store) }
        let code = if case .system(let code) = error { code } else { EIO }
        return "the origin \(about.origin) cannot be read at chunk \(chunk): \(String(cString: strerror(code))); "
            + "examine the disk and the path to it"
    }

    /// For a person; `path` names the device.
    func sentence(_ path: String) -> String {
        switch self {
        case .surpassed(let tenure, let owner):
            "the store \(path) shows epoch \(tenure.epoch.value) round \(tenure.round.value) of node "
                + "\(owner.node.value): this server is deposed"
        case .damaged(let offset):
            "the store \(path) is damaged at byte \(offset); run `csnapctl volume check` and examine the disk"
        case .damagedData(let number, let chunk):
            "chunk \(chunk) of snapshot number \(number.value) in the store \(path) is not what was saved; "
                + "run `csnapctl volume check` and examine the disk"
        case .device(.system(let code)):
            "the store \(path) failed: \(String(cString: strerror(code))); examine the disk"
        default: "the store \(path) failed: \(self)"
        }
    }
}
