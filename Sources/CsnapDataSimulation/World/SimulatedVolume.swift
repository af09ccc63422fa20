import CsnapCore
import CsnapRuntime
import CsnapSession
import CsnapStore

/// A taken store as a server uses it, as `VolumeStore` does in the daemon: orders in, results out.
struct SimulatedVolume {
    /// A snapshot that was asked for so lately is in use; in the daemon a minute.
    private static let inUse: Int64 = 50_000_000

    private(set) var store: SnapshotStore<SimulatedPath>
    /// When a snapshot was asked for last.
    private var lastRead: [UInt64: Int64] = [:]

    init(
        _ claim: StoreClaim, store: SimulatedPath, origin: SimulatedPath, isKernelOld: Bool
    ) throws(StoreRefusal) {
        self.store = try SnapshotStore.take(
            claim, device: store, origin: origin, settled: [.own(claim.owner, isKernelOld: isKernelOld)])
    }

    var about: SessionVolume {
        let facts = store.facts
        return SessionVolume(
            name: DataWorld.volume, storeUUID: facts.store, originSize: facts.originSize,
            chunkSize: facts.geometry.chunkSize, generation: facts.generation,
            writers: store.writers.map { SessionWriter($0) },
            deadServers: store.unsettled.map { SessionWriter(WriterRecord($0.owner)) })
    }

    mutating func maintain() throws(StoreError) {
        do throws(StoreError) { _ = try store.maintain() } catch { if error.isFatal { throw error } }
    }

    /// For an oracle: true too if nobody can tell.
    mutating func isUsed(_ address: UInt64) -> Bool {
        do throws(StoreError) { return try store.isUsed(address) } catch { return true }
    }

    mutating func copyOut(_ group: [[ChunkRange]]) throws(StoreError) -> [StoreResult] {
        try store.grant(group.map { ranges in ranges.map { $0.first..<$0.end } }).map { StoreResult($0) }
    }

    mutating func write(_ group: [BranchData]) throws(StoreError) -> [StoreResult] {
        try store.write(group.map { BranchWrite($0) }).map { StoreResult($0) }
    }

    /// What a full store gives up, unless space is on its way already.
    func dropCandidate(at now: Int64) -> Snapshot? {
        if store.awaitsSpace { return nil }
        let inUse = lastRead.filter { now - $0.value < Self.inUse }.map { SnapshotNumber($0.key) }
        guard let number = store.dropCandidate(inUse: inUse) else { return nil }
        return store.snapshots.first { $0.number == number }
    }

    /// A map of that snapshot is asked for.
    mutating func isRead(_ number: UInt64, at now: Int64) { lastRead[number] = now }

    mutating func perform(_ order: StoreOrder) throws(StoreError) -> StoreResult {
        do throws(StoreError) {
            return try obey(order)
        } catch {
            if error.isFatal { throw error }
            switch order {
            case .map:
                if case .noSuchSnapshot = error { return .failed(.unknownSnapshot) }
                return .failed(.storeDamaged)
            case .recordWriter, .clearWriter, .settle, .settleKernel, .reuse: return .failed(.storeFull)
            default: return .outcome(.refused(error == .full ? .storeFull : .storeFailed, culprit: DataWorld.volume))
            }
        }
    }

    /// Nobody in this world orders anything else.
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
        case .settleKernel(let kernel):
            try store.settle([.kernelGone(WriterRecord(kernel))])
            return .done
        case .find(let name, let uuid):
            if let made = made(by: uuid) { return .outcome(.snapshot(SnapshotEntry(made))) }
            return named(name) == nil ? .absent : .outcome(.refused(.nameTaken, culprit: name))
        // All have one disk in this world.
        case .sampleOrigin: return .sample(0)
        case .commit(let name, let uuid, let priority):
            let made = try store.create(SnapshotRequest(uuid: uuid, name: name, priority: priority))
            return .committed(SnapshotEntry(made), generation: store.facts.generation)
        case .branch(let from, let name, let uuid):
            if let made = made(by: uuid) { return .changed(SnapshotEntry(made)) }
            guard let base = named(from) else { return .outcome(.refused(.unknownSnapshot, culprit: from)) }
            if base.base != nil { return .outcome(.refused(.isBranch, culprit: from)) }
            return .changed(SnapshotEntry(try store.branch(SnapshotRequest(uuid: uuid, name: name), of: base.number)))
        case .delete(let name, _, let inUse):
            guard let snapshot = named(name) else { return .outcome(.refused(.unknownSnapshot, culprit: name)) }
            if store.branch(of: snapshot.number) != nil { return .outcome(.refused(.inUse, culprit: name)) }
            if let use = inUse.first(where: { $0.number == snapshot.number.value }) {
                return .outcome(.refused(.inUse, culprit: use.culprit))
            }
            try store.delete(snapshot.number)
            return .changed(SnapshotEntry(snapshot))
        case .rename(let from, let to, _):
            guard let old = named(from) else { return .outcome(.refused(.unknownSnapshot, culprit: from)) }
            return .changed(SnapshotEntry(try store.change(old.number, name: to, priority: 0, flags: [])))
        case .list(let after):
            return .outcome(
                .snapshots(
                    store.images.filter { $0.number.value > after }.map { SnapshotEntry($0) }, hasMore: false))
        case .reuse(let stamp):
            store.readersForgot(upTo: stamp)
            return .done
        default: preconditionFailure("nobody in this world orders \(order)")
        }
    }

    private func named(_ name: String) -> Snapshot? { store.images.first { $0.about.name == name } }

    private func made(by uuid: Bits128) -> Snapshot? { store.images.first { $0.about.uuid == uuid } }

    private mutating func map(_ number: SnapshotNumber, _ ranges: [ChunkRange]) throws(StoreError) -> [MapPiece] {
        var pieces: [MapPiece] = []
        for range in ranges {
            for part in try store.locate(number, range.first..<range.end) { pieces.append(MapPiece(part)) }
        }
        return pieces
    }
}
