import CsnapCore
import CsnapSession
import CsnapStore
import Glibc

/// A taken store as the server uses it: orders of SessionTable in, results out. Throws what ends the server's use of
/// the store; every other error is a result.
struct VolumeStore {
    private let volume: String
    private var store: SnapshotStore<GatedDevice>

    /// Takes the store for this tenure.
    init(
        _ claim: StoreClaim, _ volume: String, store: StoreDevice, origin: StoreDevice, gate: GatedStore
    ) throws(StoreRefusal) {
        self.volume = volume
        self.store = try SnapshotStore.take(
            claim, device: GatedDevice(device: store, gate: gate), origin: GatedDevice(device: origin, gate: nil),
            settled: [])
        do throws(StoreError) {
            try settleOwn(claim.owner)
        } catch {
            throw .device(error.code)
        }
    }

    /// Holding `server.lock` we know that every earlier server of this node on this kernel is gone with its requests.
    private mutating func settleOwn(_ owner: StoreOwner) throws(StoreError) {
        var facts: [SettleFact] = []
        for dead in store.unsettled where dead.tenure != store.facts.tenure {
            let isSameKernel =
                dead.owner.machineID == owner.machineID && dead.owner.kernelBootID == owner.kernelBootID
            if isSameKernel, dead.owner.process.node == owner.process.node { facts.append(.tenure(dead.tenure)) }
        }
        if !facts.isEmpty { try store.settle(facts) }
    }

    var about: SessionVolume {
        let facts = store.facts
        return SessionVolume(
            name: volume, storeUUID: facts.store, originSize: facts.originSize, chunkSize: facts.geometry.chunkSize,
            generation: facts.generation,
            writers: store.writers.map { writer in
                SessionWriter(
                    node: writer.node, machineID: writer.machineID, kernelBootID: writer.kernelBootID)
            },
            prepared: store.prepared.map { SessionVolume.Prepared(uuid: $0.about.uuid, decider: $0.decider) })
    }

    var freeStamp: UInt64 { store.freeStamp }
    var needsMaintenance: Bool { store.needsMaintenance }

    mutating func maintain() throws(StoreError) {
        do throws(StoreError) {
            _ = try store.maintain()
        } catch {
            if error.isFatal { throw error }
        }
    }

    /// One result for each, for one flush.
    mutating func copyOut(_ group: [[ChunkRange]]) throws(StoreError) -> [StoreResult] {
        try store.grant(group.map { ranges in ranges.map { $0.first..<$0.end } }).map { outcome in
            switch outcome {
            case .granted: .copied
            case .originRead: .failed(.originFailed)
            case .damaged: .failed(.storeDamaged)
            case .full: .full
            case .outOfRange: .failed(.outOfRange)
            }
        }
    }

    mutating func perform(_ order: StoreOrder) throws(StoreError) -> StoreResult {
        do throws(StoreError) {
            return try obey(order)
        } catch {
            if error.isFatal { throw error }
            switch order {
            // Decided: whoever cannot follow ends, and a successor decides alike.
            case .commitPrepared, .abandon: throw error
            case .copyOut, .map, .recordWriter, .clearWriter, .settle, .reuse: return .failed(error.queryError)
            case .changes where error == .outOfRange:
                return .outcome(.refused(.notOlder, culprit: volume))
            case .find, .commit, .prepare, .delete, .rename, .list, .examine, .changes:
                return .outcome(.refused(error.refusal, culprit: error.snapshot ?? volume))
            }
        }
    }

    private mutating func obey(_ order: StoreOrder) throws(StoreError) -> StoreResult {
        switch order {
        case .copyOut(let ranges): return try copyOut([ranges])[0]
        case .map(let snapshot, let ranges): return .mapped(try map(SnapshotNumber(snapshot), ranges))
        case .recordWriter(let writer):
            try store.addWriter(WriterRecord(writer))
            return .writerRecorded
        case .clearWriter(let writer):
            try store.clearWriter(WriterRecord(writer))
            return .writerCleared
        case .settle(let process):
            try store.settle([.node(process)])
            return .done
        case .find(let name, let uuid): return find(name, uuid)
        case .commit(let name, let uuid):
            let made = try store.create(Self.request(name, uuid))
            return .committed(SnapshotEntry(made), generation: store.facts.generation)
        case .prepare(let name, let uuid, let decider):
            try store.prepare(PreparedSnapshot(about: Self.request(name, uuid), decider: decider))
            return .prepared
        case .commitPrepared(let uuid):
            let made = try store.commitPrepared(uuid)
            return .committed(SnapshotEntry(made), generation: store.facts.generation)
        case .abandon(let uuid):
            try store.abandonPrepared(uuid)
            return .done
        case .delete(let name, let inUse):
            guard let snapshot = named(name) else { return Self.unknown(name) }
            if let use = inUse.first(where: { $0.number == snapshot.number.value }) {
                return .outcome(.refused(.inUse, culprit: "\(name): \(use.culprit)"))
            }
            try store.delete(snapshot.number)
            return .changed(SnapshotEntry(snapshot))
        case .rename(let from, let to):
            guard let old = named(from) else { return Self.unknown(from) }
            let new = try store.change(old.number, name: to, priority: old.about.priority, flags: old.about.flags)
            return .changed(SnapshotEntry(new))
        case .list(let after): return .outcome(page(after))
        case .examine: return .outcome(.volume(report))
        case .changes(let query): return .outcome(.changes(try changes(query)))
        case .reuse(let stamp):
            store.readersForgot(upTo: stamp)
            return .done
        }
    }

    private static func request(_ name: String, _ uuid: Bits128) -> SnapshotRequest {
        SnapshotRequest(uuid: uuid, name: name, created: UInt64(max(0, time(nil))))
    }

    private mutating func map(
        _ number: SnapshotNumber, _ ranges: [ChunkRange]
    ) throws(StoreError) -> [MapPiece] {
        var pieces: [MapPiece] = []
        for range in ranges {
            var rest = range.first..<range.end
            while !rest.isEmpty {
                let parts = try store.locate(number, rest)
                guard let last = parts.last else { throw .outOfRange }
                for part in parts { pieces.append(MapPiece(part)) }
                rest = last.chunks.upperBound..<rest.upperBound
            }
        }
        return pieces
    }

    /// One page.
    private mutating func changes(_ query: ChangesQuery) throws(StoreError) -> ChangedChunks {
        let part = try store.diff(
            SnapshotNumber(query.from), query.to.map { SnapshotNumber($0) }, startingAt: query.first,
            limit: SessionWire.maximumChanges - 1)
        var changes = ChangedChunks(
            chunkSize: store.facts.geometry.chunkSize, size: part.size, ranges: [], next: part.next)
        for range in part.ranges {
            // What an origin has grown by may be longer than a range can say.
            let count = UInt32(clamping: range.count)
            changes.ranges.append(ChunkRange(first: range.lowerBound, count: count))
            if UInt64(count) < UInt64(range.count) {
                changes.next = range.lowerBound + UInt64(count)
                break
            }
        }
        return changes
    }

    private func named(_ name: String) -> Snapshot? { store.snapshots.first { $0.about.name == name } }

    private static func unknown(_ name: String) -> StoreResult {
        .outcome(.refused(.unknownSnapshot, culprit: name))
    }

    private func find(_ name: String, _ uuid: Bits128) -> StoreResult {
        if let made = store.snapshots.first(where: { $0.about.uuid == uuid }) {
            return .outcome(.snapshot(SnapshotEntry(made)))
        }
        if named(name) != nil { return .outcome(.refused(.nameTaken, culprit: name)) }
        guard store.snapshots.count < StoreLimits.snapshots else {
            return .outcome(.refused(.tooManySnapshots, culprit: volume))
        }
        return .absent
    }

    private func page(_ after: UInt64) -> CommandOutcome {
        let rest = store.snapshots.drop { $0.number.value <= after }
        let page = rest.prefix(SessionWire.snapshotsPerPage)
        return .snapshots(page.map { SnapshotEntry($0) }, hasMore: rest.count > page.count)
    }

    /// What only the table knows is left empty.
    private var report: VolumeReport {
        let facts = store.facts
        let space = store.space
        return VolumeReport(
            generation: facts.generation, snapshots: UInt32(store.snapshots.count), originSize: facts.originSize,
            storeSize: space.total, storeUsed: space.used, quarantined: space.quarantined, sessions: 0)
    }
}

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
        try check(device.write(buffer, at: offset))
    }

    func flush() throws(BlockDeviceError) { try check(device.flush()) }

    private func check(_ code: Int32) throws(BlockDeviceError) {
        if code != 0 { throw .system(code) }
    }
}

extension WriterRecord {
    init(_ writer: SessionWriter) {
        self.init(node: writer.node, machineID: writer.machineID, kernelBootID: writer.kernelBootID)
    }
}

extension SnapshotEntry {
    init(_ snapshot: Snapshot) {
        self.init(
            number: snapshot.number.value, uuid: snapshot.about.uuid, name: snapshot.about.name, size: snapshot.size,
            createdAt: snapshot.about.created)
    }
}

extension MapPiece {
    init(_ part: ChunkLocation) {
        let place: Place =
            switch part.place {
            case .store(let offset): .store(offset)
            case .origin: .origin
            case .zero: .zero
            }
        self.init(count: UInt32(part.chunks.count), place: place)
    }
}

extension StoreError {
    /// What the agent is told.
    var failure: ServerFailure {
        if case .surpassed = self { .storeTenure } else { .storeIO }
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
        case .originRead: .originFailed
        case .outOfRange: .outOfRange
        case .damaged, .damagedData: .storeDamaged
        case .device, .surpassed, .ended, .noSuchPrepared, .nameTaken, .impossibleName, .tooManySnapshots, .pinned,
            .wouldShrink:
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
        case .pinned: .inUse
        case .device, .surpassed, .ended, .damaged, .noSuchPrepared, .tooManyWriters, .outOfRange, .wouldShrink,
            .damagedData, .originRead:
            .storeFailed
        }
    }

    /// For a person; `path` names the device.
    func sentence(_ path: String) -> String {
        switch self {
        case .surpassed(let tenure, let owner):
            "the store \(path) shows epoch \(tenure.epoch.value) round \(tenure.round.value) of node "
                + "\(owner.node.value): this server is deposed"
        case .damaged(let offset):
            "the store \(path) is damaged at byte \(offset); run `csnapctl volume check` and examine the disk"
        case .device(.system(let code)):
            "the store \(path) failed: \(String(cString: strerror(code))); examine the disk"
        default: "the store \(path) failed: \(self)"
        }
    }
}
