import CsnapCore
import CsnapSession
import CsnapStore
import Glibc

/// A taken store as the server uses it: orders of SessionTable in, results out. Throws what ends the server's use of
/// the store; every other error is a result.
struct VolumeStore {
    /// A snapshot that was read so lately is in use: a full store does not drop it.
    private static let inUse = Interval.seconds(60)

    let volume: String
    private let whenFull: CsnapConfiguration.WhenFull
    private let origin: StoreDevice
    var store: SnapshotStore<GatedDevice>
    /// The check that was asked for last.
    private var check: (uuid: Bits128, work: OnlineCheck)?
    /// A step of the check comes next, not one of the store's own work.
    private var isCheckNext = false
    /// When a snapshot was asked for last.
    private var lastRead: [UInt64: Instant] = [:]
    /// The last copies found no room, then.
    private var lastFull: Instant?
    private var dropped: [Snapshot] = []
    private var damage = DamageWatch()
    /// When damage in the way is looked at again.
    private var nextLook = Instant.distantPast

    /// Takes the store for this tenure.
    init(
        _ claim: StoreClaim, _ volume: CsnapConfiguration.Volume, store: StoreDevice, origin: StoreDevice,
        gate: GatedStore
    ) throws(StoreRefusal) {
        self.volume = volume.name
        whenFull = volume.whenFull
        self.origin = origin
        let code = origin.failure(besides: nil)
        if code != 0 { throw .originUnreadable(code) }
        // We hold `server.lock`.
        let isKernelOld = BootClock.now().nanoseconds >= SessionLimits().settle.nanoseconds
        self.store = try SnapshotStore.take(
            claim, device: GatedDevice(device: store, gate: gate), origin: GatedDevice(device: origin, gate: nil),
            settled: [.own(claim.owner, isKernelOld: isKernelOld)])
    }

    var about: SessionVolume {
        let facts = store.facts
        return SessionVolume(
            name: volume, storeUUID: facts.store, originSize: facts.originSize, chunkSize: facts.geometry.chunkSize,
            generation: facts.generation,
            writers: store.writers.map { SessionWriter($0) },
            deadServers: store.unsettled.map { SessionWriter(WriterRecord($0.owner)) },
            prepared: store.prepared.map { SessionVolume.Prepared(uuid: $0.about.uuid, decider: $0.decider) },
            revert: revert)
    }

    var freeStamp: UInt64 { store.freeStamp }
    var needsMaintenance: Bool { isChecking || mayWork || mayLook }
    private var mayWork: Bool { store.needsMaintenance && !damage.isResting(BootClock.now()) }
    private var mayLook: Bool { store.hasDamage && nextLook <= BootClock.now() }

    /// Milliseconds until work that rests goes on, for poll(2).
    var rest: Int32 {
        var next = Instant.distantFuture
        if store.needsMaintenance { next = damage.restsUntil }
        if store.hasDamage { next = min(next, nextLook) }
        if next == .distantFuture { return -1 }
        return Int32(clamping: max(.zero, next - BootClock.now()).nanoseconds / 1_000_000 + 1)
    }

    private var isChecking: Bool { check?.work.isDone == false }

    /// One step of the store's own work or, in turn with it, of the check.
    mutating func maintain() throws(StoreError) {
        if mayLook { return try look() }
        do throws(StoreError) {
            if var check, isChecking, isCheckNext || !mayWork {
                isCheckNext = false
                try store.step(&check.work)
                self.check = check
                return
            }
            isCheckNext = true
            if mayWork { _ = try store.maintain() }
        } catch {
            if error.isFatal { throw error }
            damage.met(error, isWork: true, at: BootClock.now())
        }
    }

    /// A bad disk may take long to say that it cannot read: it gets a twentieth of the time, and a look a minute.
    private mutating func look() throws(StoreError) {
        let begun = BootClock.now()
        do throws(StoreError) { try store.lookAtDamage() } catch {
            if error.isFatal { throw error }
            damage.met(error, at: BootClock.now())
        }
        let now = BootClock.now()
        nextLook = now + min(.seconds(60), max(.seconds(1), (now - begun) * 20))
    }

    /// One result for each, for one flush.
    mutating func copyOut(_ group: [[ChunkRange]]) throws(StoreError) -> [StoreResult] {
        let outcomes = try store.grant(group.map { ranges in ranges.map { $0.first..<$0.end } })
        for outcome in outcomes {
            switch outcome {
            case .damaged(let offset): damage.met(.damaged(offset: offset), at: BootClock.now())
            case .originRead(let chunk, let error): try metOrigin(.originRead(chunk: chunk, error), chunk)
            case .granted, .full, .outOfRange: break
            }
        }
        lastFull = outcomes.contains(.full) ? BootClock.now() : nil
        if lastFull != nil, whenFull == .drop { try dropOne() }
        return outcomes.map { StoreResult($0) }
    }

    /// One result for each, for one flush.
    mutating func write(_ group: [BranchData]) throws(StoreError) -> [StoreResult] {
        let outcomes = try store.write(group.map { BranchWrite($0) })
        for case .some(let error) in outcomes { damage.met(error, at: BootClock.now()) }
        return outcomes.map { StoreResult($0) }
    }

    /// Gives up the snapshot of lowest priority that nobody reads, unless space is on its way already.
    private mutating func dropOne() throws(StoreError) {
        if store.awaitsSpace { return }
        let now = BootClock.now()
        lastRead = lastRead.filter { now - $0.value < Self.inUse }
        guard let number = store.dropCandidate(inUse: lastRead.keys.map { SnapshotNumber($0) }),
            let snapshot = store.snapshots.first(where: { $0.number == number })
        else { return }
        do throws(StoreError) {
            try store.delete(number)
            dropped.append(snapshot)
        } catch {
            if error.isFatal { throw error }
        }
    }

    /// Those given up since the last call.
    mutating func takeDropped() -> [Snapshot] {
        defer { dropped = [] }
        return dropped
    }

    /// A place that cannot be read fails what needs it. If nothing else can be read, this node has lost the origin:
    /// another one may see it.
    private mutating func metOrigin(_ error: StoreError, _ chunk: UInt64) throws(StoreError) {
        damage.met(error, at: BootClock.now())
        let chunkSize = UInt64(store.facts.geometry.chunkSize)
        if origin.failure(besides: chunk * chunkSize..<(chunk + 1) * chunkSize) != 0 { throw error }
    }

    /// What is destroyed and has to be said now; nil: nothing new.
    mutating func takeDamage() -> StoreError? { damage.take() }

    var space: StoreSpace { store.space }

    /// Writes wait for room; they are tried again ten times a second.
    func isHolding(_ now: Instant) -> Bool { lastFull.map { now - $0 < .seconds(2) } ?? false }

    mutating func perform(_ order: StoreOrder) throws(StoreError) -> StoreResult {
        do throws(StoreError) {
            return try obey(order)
        } catch {
            if error.isFatal { throw error }
            if case .originRead(let chunk, _) = error {
                try metOrigin(error, chunk)
            } else {
                damage.met(error, at: BootClock.now())
            }
            switch order {
            // Decided: whoever cannot follow ends, and a successor decides alike.
            case .commitPrepared, .abandon: throw error
            case .copyOut, .map, .readData, .writeBranch, .recordWriter, .clearWriter, .settle, .settleKernel, .reuse:
                return .failed(error.queryError)
            case .changes where error == .outOfRange:
                return .outcome(.refused(.notOlder, culprit: volume))
            case .find, .commit, .prepare, .sampleOrigin, .measure, .resize, .beginRevert, .beginReceive, .moveRevert,
                .endRevert, .branch, .show, .delete, .rename, .list, .examine, .changes, .check:
                return .outcome(.refused(error.refusal, culprit: error.snapshot ?? volume))
            }
        }
    }

    private mutating func obey(_ order: StoreOrder) throws(StoreError) -> StoreResult {
        switch order {
        case .copyOut(let ranges): return try copyOut([ranges])[0]
        case .map(let snapshot, let ranges):
            let pieces = try map(SnapshotNumber(snapshot), ranges)
            lastRead[snapshot] = BootClock.now()
            return .mapped(pieces)
        case .readData(let snapshot, let offset, let length):
            let bytes = try data(SnapshotNumber(snapshot), at: offset, Int(length))
            lastRead[snapshot] = BootClock.now()
            return .data(bytes)
        case .writeBranch(let data): return try write([data])[0]
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
        case .find(let name, let uuid): return find(name, uuid)
        case .commit(let name, let uuid, let priority):
            let made = try store.create(Self.request(name, uuid, priority))
            return .committed(SnapshotEntry(made), generation: store.facts.generation)
        case .prepare(let name, let uuid, let priority, let decider):
            try store.prepare(PreparedSnapshot(about: Self.request(name, uuid, priority), decider: decider))
            return .prepared
        case .commitPrepared(let uuid):
            let made = try store.commitPrepared(uuid)
            return .committed(SnapshotEntry(made), generation: store.facts.generation)
        case .abandon(let uuid):
            try store.abandonPrepared(uuid)
            return .done
        case .sampleOrigin: return try sampleOrigin()
        case .measure: return measure()
        case .resize:
            try store.resize(originSize: origin.size)
            return .resized(store.facts.originSize)
        case .beginRevert(let name, let uuid, let node): return try beginRevert(name, uuid, node)
        case .beginReceive(let uuid, let node): return try beginReceive(uuid, node)
        case .moveRevert(let uuid, let cursor): return try moveRevert(uuid, cursor)
        case .endRevert(let uuid):
            guard store.revert.map({ $0.uuid == uuid }) ?? true else { return notReverting }
            try store.setRevert(nil)
            return .reverting(nil)
        case .branch(let from, let name, let uuid): return try branch(from, name, uuid)
        case .show(let name):
            guard let image = named(name) else { return Self.unknown(name) }
            return .outcome(.snapshot(SnapshotEntry(image)))
        case .delete(let name, let uuid, let inUse): return try delete(name, uuid, inUse)
        case .rename(let from, let to, let uuid): return try rename(from, to, uuid)
        case .list(let after): return .outcome(page(after))
        case .examine: return .outcome(.volume(report))
        case .changes(let query): return .outcome(try changes(query))
        case .check(let uuid): return .outcome(checkState(uuid))
        case .reuse(let stamp):
            store.readersForgot(upTo: stamp)
            return .done
        }
    }

    private static func request(_ name: String, _ uuid: Bits128, _ priority: Int32) -> SnapshotRequest {
        SnapshotRequest(uuid: uuid, name: name, priority: priority, created: UInt64(max(0, time(nil))))
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
    private mutating func changes(_ query: ChangesQuery) throws(StoreError) -> CommandOutcome {
        if let branch = store.branches.first(where: { [query.from, query.to].contains($0.number.value) }) {
            return .refused(.isBranch, culprit: branch.about.name)
        }
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
        return .changes(changes)
    }

    private mutating func data(
        _ number: SnapshotNumber, at offset: UInt64, _ length: Int
    ) throws(StoreError) -> [UInt8] {
        let chunkSize = UInt64(store.facts.geometry.chunkSize)
        let chunk = try store.read(number, chunk: offset / chunkSize)
        let start = Int(offset % chunkSize)
        guard start + length <= chunk.count else { throw .outOfRange }
        return Array(chunk[start..<start + length])
    }

    func named(_ name: String) -> Snapshot? { store.images.first { $0.about.name == name } }

    private mutating func branch(
        _ from: String, _ name: String, _ uuid: Bits128
    ) throws(StoreError) -> StoreResult {
        if let made = store.images.first(where: { $0.about.uuid == uuid }) { return .changed(SnapshotEntry(made)) }
        guard let base = named(from) else { return Self.unknown(from) }
        if base.base != nil { return .outcome(.refused(.isBranch, culprit: from)) }
        if named(name) != nil { return .outcome(.refused(.nameTaken, culprit: name)) }
        return .changed(SnapshotEntry(try store.branch(Self.request(name, uuid, 0), of: base.number)))
    }

    private mutating func rename(_ from: String, _ to: String, _ uuid: Bits128?) throws(StoreError) -> StoreResult {
        if let done = named(to), done.about.uuid == uuid { return .changed(SnapshotEntry(done)) }
        guard let old = named(from), old.about.uuid == uuid ?? old.about.uuid else { return Self.unknown(from) }
        if to != from, named(to) != nil { return .outcome(.refused(.nameTaken, culprit: to)) }
        let new = try store.change(old.number, name: to, priority: old.about.priority, flags: old.about.flags)
        return .changed(SnapshotEntry(new))
    }

    private mutating func delete(
        _ name: String, _ uuid: Bits128?, _ inUse: [SnapshotUse]
    ) throws(StoreError) -> StoreResult {
        if let uuid, !store.images.contains(where: { $0.about.uuid == uuid }) { return .outcome(.done) }
        guard let snapshot = named(name), snapshot.about.uuid == uuid ?? snapshot.about.uuid else {
            return Self.unknown(name)
        }
        if let revert = store.revert, store.isOfRevert(snapshot) {
            return .outcome(.refused(.inUse, culprit: "\(name): node \(revert.node.value) reverts the volume"))
        }
        if let branch = store.branch(of: snapshot.number) {
            return .outcome(.refused(.inUse, culprit: "\(name): \(branch.about.name) is a branch of it"))
        }
        if let use = inUse.first(where: { $0.number == snapshot.number.value }) {
            return .outcome(.refused(.inUse, culprit: "\(name): \(use.culprit)"))
        }
        try store.delete(snapshot.number)
        return .changed(SnapshotEntry(snapshot))
    }

    static func unknown(_ name: String) -> StoreResult {
        .outcome(.refused(.unknownSnapshot, culprit: name))
    }

    private func find(_ name: String, _ uuid: Bits128) -> StoreResult {
        if let made = store.images.first(where: { $0.about.uuid == uuid }) {
            return .outcome(.snapshot(SnapshotEntry(made)))
        }
        if named(name) != nil { return .outcome(.refused(.nameTaken, culprit: name)) }
        guard store.images.count < StoreLimits.snapshots else {
            return .outcome(.refused(.tooManySnapshots, culprit: volume))
        }
        return .absent
    }

    private func page(_ after: UInt64) -> CommandOutcome {
        let rest = store.images.drop { $0.number.value <= after }
        let page = rest.prefix(SessionWire.snapshotsPerPage)
        return .snapshots(page.map { SnapshotEntry($0) }, hasMore: rest.count > page.count)
    }

    private func sampleOrigin() throws(StoreError) -> StoreResult {
        switch origin.perform(.read(offset: 0, count: OriginSample.length)) {
        case .bytes(let bytes): return .sample(bytes.withUnsafeBufferPointer(OriginSample.sum))
        case .failed(let code): throw .originRead(chunk: 0, .system(code))
        case .done: fatalError("a write's answer")
        }
    }

    private func measure() -> StoreResult {
        guard (try? origin.measure()) != nil else { return .outcome(.refused(.storeFailed, culprit: volume)) }
        let known = store.facts.originSize
        if origin.size == known { return .outcome(.done) }
        return origin.size > known ? .absent : .outcome(.refused(.originSmaller, culprit: volume))
    }

    private mutating func checkState(_ uuid: Bits128) -> CommandOutcome {
        if check?.uuid != uuid {
            if isChecking { return .refused(.checking, culprit: volume) }
            check = (uuid, store.beginOnlineCheck())
        }
        guard let work = check?.work else { return .refused(.checking, culprit: volume) }
        return .check(CheckState(work.report, total: work.total, isDone: work.isDone))
    }

    /// What only the table knows is left empty.
    private var report: VolumeReport {
        let facts = store.facts
        let space = store.space
        return VolumeReport(
            generation: facts.generation, snapshots: UInt32(store.snapshots.count), originSize: facts.originSize,
            storeSize: space.total, storeUsed: space.used, quarantined: space.quarantined,
            percent: UInt8(space.percent), sessions: 0)
    }
}
