package import CsnapCore
package import CsnapStore

/// What is done to a store.
package enum StoreOperation: Equatable, Sendable, CustomStringConvertible {
    /// A grant for these chunks, then new data for them in the origin.
    case write([Range<UInt64>])
    case create
    case deleteOldest
    case deleteNewest
    /// A branch of the newest snapshot.
    case branch
    /// New data for these parts of the newest branch; of each chunk one, in the order of the chunks.
    case writeBranch([BranchPart])
    case deleteBranch
    case rename
    /// One step of its own work, with everything forgotten by the readers.
    case maintain
    /// All of it, with everything forgotten by the readers.
    case settle
    case checkpoint
    case writer
    case prepare
    case commitPrepared
    /// The next epoch takes over from a server that has nothing under way.
    case takeOver
    /// The same, but in place: the same epoch, the next round, everything of the round before settled.
    case restart

    package var description: String {
        switch self {
        case .write(let ranges): "write \(ranges.map { "\($0)" }.joined(separator: "+"))"
        case .create: "create"
        case .deleteOldest: "deleteOldest"
        case .deleteNewest: "deleteNewest"
        case .branch: "branch"
        case .writeBranch(let parts): "writeBranch \(parts.map { "\($0.chunk):\($0.quarters)" }.joined(separator: "+"))"
        case .deleteBranch: "deleteBranch"
        case .rename: "rename"
        case .maintain: "maintain"
        case .settle: "settle"
        case .checkpoint: "checkpoint"
        case .writer: "writer"
        case .prepare: "prepare"
        case .commitPrepared: "commitPrepared"
        case .takeOver: "takeOver"
        case .restart: "restart"
        }
    }

    /// The alphabet of the enumerated sequences; chunks are numbered from 0, there are `StoreWorld.chunks` of them.
    package static let alphabet: [StoreOperation] = [
        .write([0..<1]), .write([1..<3, 5..<6]), .write([0..<StoreWorld.chunks]), .create, .deleteOldest, .deleteNewest,
        .branch, .writeBranch(parts), .deleteBranch, .rename, .maintain, .settle, .checkpoint, .writer, .prepare,
        .commitPrepared, .takeOver, .restart,
    ]

    /// The first half of a chunk that most sequences have saved, one whole chunk, the middle of one that is mostly on
    /// the origin.
    package static let parts = [BranchPart(0, 0..<2), BranchPart(4, 0..<4), BranchPart(9, 1..<3)]
    /// Half of them again, and others.
    package static let otherParts = [BranchPart(0, 1..<3), BranchPart(4, 3..<4), BranchPart(5, 0..<1)]

    /// A sixth are writes anywhere, a sixth to a branch.
    package static func random(_ generator: inout Generator) -> StoreOperation {
        let kind = generator.next(below: 6)
        if kind > 1 { return alphabet[generator.next(below: alphabet.count)] }
        if kind == 0 { return .writeBranch(BranchPart.random(&generator)) }
        let first = UInt64(generator.next(below: Int(StoreWorld.chunks)))
        let count = UInt64(1 + generator.next(below: Int(StoreWorld.chunks - first)))
        return .write([first..<first + count])
    }
}

/// What is written to one chunk of a branch.
package struct BranchPart: Equatable, Sendable {
    package var chunk: Int
    package var quarters: Range<Int>

    package init(_ chunk: Int, _ quarters: Range<Int>) {
        self.chunk = chunk
        self.quarters = quarters
    }

    /// Up to five neighbours.
    static func random(_ generator: inout Generator) -> [BranchPart] {
        let first = generator.next(below: Int(StoreWorld.chunks))
        let count = 1 + generator.next(below: min(5, Int(StoreWorld.chunks) - first))
        return (first..<first + count).map { chunk in
            let start = generator.next(below: Quarters.scalarCount)
            return BranchPart(chunk, start..<start + 1 + generator.next(below: Quarters.scalarCount - start))
        }
    }
}

/// A small store, its origin, the model of both, and the server that has it.
package struct StoreWorld {
    package static let chunks: UInt64 = 10
    package static let chunkSize = 4096
    package static let cluster = Bits128(high: 9, low: 9)

    package var disk: SimulatedDisk
    package var originDisk: SimulatedDisk
    package var store: SnapshotStore<SimulatedDevice>
    package var model: StoreModel
    package var tenure: Tenure
    /// Of all servers of this world: a takeover goes on where the one before stopped.
    package let path: SimulatedDevice.Path
    /// Of the last data written, and of the last snapshot or name.
    package var version: UInt32 = 0
    package var uuid: UInt64 = 0

    package static func format(
        windows: Int = 20, slots: Int = 4, windowSize: UInt32 = 32 << 10, nodeSize: UInt32 = 512
    ) throws(StoreFormatError) -> StoreFormat {
        let storeSize = StoreLayout.dataOffset + UInt64(windows) * UInt64(windowSize)
        let geometry = StoreGeometry(
            originSize: chunks * UInt64(chunkSize), storeSize: storeSize,
            chunkSize: UInt32(chunkSize), windowSize: windowSize, nodeSize: nodeSize)
        return try StoreFormat(store: Bits128(high: 1, low: 2), geometry: geometry, slotCount: slots)
    }

    package static func blank(_ format: StoreFormat) -> DiskImage {
        var image = DiskImage(size: Int(format.geometry.storeSize))
        for request in format.format() {
            if case .write(let offset, let bytes) = request {
                image.write(DiskWrite(offset: Int(offset), bytes: bytes))
            }
        }
        return image
    }

    package static func claim(_ tenure: Tenure, _ size: UInt64) -> StoreClaim {
        let epoch = tenure.epoch.value
        let node = UInt32(epoch % 3 + 1)
        let owner = StoreOwner(
            process: NodeBoot(node: NodeID(node), boot: Boot(epoch)), machineID: Bits128(high: 0, low: UInt64(node)),
            kernelBootID: Bits128(high: 1, low: epoch))
        return StoreClaim(
            tenure: tenure, cluster: cluster, owner: owner, lastActiveEpoch: Epoch(0), deviceSize: size)
    }

    package init(_ format: StoreFormat) throws(StoreRefusal) {
        let image = Self.blank(format)
        let size = Int(format.geometry.originSize)
        try self.init(
            SimulatedDisk(image), SimulatedDisk(DiskImage(size: size)), StoreModel(chunks: Int(Self.chunks)),
            Tenure(epoch: Epoch(1), round: Round(1)))
    }

    /// Takes what lies on a disk.
    package init(
        _ disk: SimulatedDisk, _ originDisk: SimulatedDisk, _ model: StoreModel, _ tenure: Tenure,
        settled: [SettleFact] = [], path: SimulatedDevice.Path = SimulatedDevice.Path()
    ) throws(StoreRefusal) {
        self.disk = disk
        self.originDisk = originDisk
        self.model = model
        self.tenure = tenure
        self.path = path
        store = try .take(
            Self.claim(tenure, UInt64(disk.image.size)), device: SimulatedDevice(disk, path),
            origin: SimulatedDevice(originDisk), settled: settled)
    }

    /// A store whose tree has three levels: live entries in the journal besides, more than one tenure, a snapshot that
    /// was deleted and not swept, a branch, a writer, and a snapshot that is prepared.
    package static func tall() throws -> StoreWorld {
        var world = try StoreWorld(format(windows: 80))
        for _ in 0..<24 {
            try world.perform(.create)
            try world.perform(.write([0..<chunks]))
        }
        let newest: [StoreOperation] = [
            .checkpoint, .create, .write([1..<5]), .branch, .writeBranch(StoreOperation.parts), .takeOver, .create,
            .write([3..<9]), .deleteOldest, .prepare, .restart, .write([0..<2]),
        ]
        for operation in newest { try world.perform(operation) }
        return world
    }

    /// Carries an operation out, or throws what the store says; the model then is what it was before, but for the parts
    /// of a branch that were written all the same.
    package mutating func perform(_ operation: StoreOperation) throws(StoreWorldError) {
        if case .writeBranch(let parts) = operation { return try writeBranch(parts) }
        let planned = planned(operation)
        do throws(StoreError) { try carryOut(operation) } catch { throw .store(error) }
        if case .write(let ranges) = operation { writeOrigin(ranges) }
        model = planned
    }

    private mutating func writeBranch(_ parts: [BranchPart]) throws(StoreWorldError) {
        guard let branch = model.branches.last else { return }
        version += 1
        let quarter = Self.chunkSize / Quarters.scalarCount
        let writes = parts.map { part in
            let bytes = StoreModel.content(part.chunk, version, part.quarters.count * quarter)
            return BranchWrite(
                branch: branch.number, offset: UInt64(part.chunk * Self.chunkSize + part.quarters.lowerBound * quarter),
                length: bytes.count, bytes: bytes)
        }
        let outcomes: [StoreError?]
        do throws(StoreError) { outcomes = try store.write(writes) } catch { throw .store(error) }
        model = model.written(zip(parts, outcomes).filter { $0.1 == nil }.map { $0.0 }, version)
        if let error = outcomes.compactMap({ $0 }).first { throw .store(error) }
    }

    /// What the store may be once its server has died in this operation. The origin is written behind its end only.
    package func interrupted(_ operation: StoreOperation) -> [StoreModel] {
        if case .writeBranch(let parts) = operation {
            // A chunk is one thing; they come one after the other.
            return (0...parts.count).map { model.written(Array(parts.prefix($0)), version + 1) }
        }
        var planned = planned(operation)
        planned.origin = model.origin
        return [model, planned]
    }

    /// The model as it is once this operation is done.
    package func planned(_ operation: StoreOperation) -> StoreModel {
        var next = model
        let number = SnapshotNumber(store.facts.generation)
        switch operation {
        case .write(let ranges):
            for chunk in ranges.joined() { next.origin[Int(chunk)] = Quarters(repeating: version + 1) }
        case .create: next.snapshots.append(StoreModel.Image(number, "s\(uuid + 1)", model.origin))
        case .deleteOldest:
            if let first = next.snapshots.first, !next.hasBranch(first.number) { next.snapshots.removeFirst() }
        case .deleteNewest:
            if let last = next.snapshots.last, !next.hasBranch(last.number) { next.snapshots.removeLast() }
        case .branch:
            guard let base = next.snapshots.last else { break }
            next.lastBranch = SnapshotNumber(next.lastBranch.value + 1)
            next.branches.append(
                StoreModel.Image(next.lastBranch, "b\(uuid + 1)", base.versions, base: base.number))
        case .writeBranch(let parts): next = next.written(parts, version + 1)
        case .deleteBranch: if !next.branches.isEmpty { next.branches.removeFirst() }
        case .rename:
            guard !next.snapshots.isEmpty else { break }
            next.snapshots[next.snapshots.count - 1].name = "r\(uuid + 1)"
            next.snapshots[next.snapshots.count - 1].priority = Int32(uuid + 1)
        case .writer: next.writers = next.writers.isEmpty ? [Self.writer] : []
        case .prepare: if next.prepared.count < StoreLimits.prepared { next.prepared.append(uuid + 1) }
        case .commitPrepared:
            guard !next.prepared.isEmpty else { break }
            next.snapshots.append(StoreModel.Image(number, "p\(next.prepared.removeFirst())", model.origin))
        case .maintain, .settle, .checkpoint, .takeOver, .restart: break
        }
        return next
    }

    private static let writer = WriterRecord(node: NodeID(7), machineID: .zero, kernelBootID: .zero)

    private mutating func carryOut(_ operation: StoreOperation) throws(StoreError) {
        switch operation {
        case .write(let ranges):
            switch try store.grant([ranges])[0] {
            case .granted: break
            case .full: throw .full
            case .damaged(let offset): throw .damaged(offset: offset)
            case .originRead(let chunk, let error): throw .originRead(chunk: chunk, error)
            case .outOfRange: throw .outOfRange
            }
        case .create:
            uuid += 1
            _ = try store.create(SnapshotRequest(uuid: Bits128(high: 5, low: uuid), name: "s\(uuid)"))
        case .deleteOldest: if let first = model.snapshots.first { try delete(first.number) }
        case .deleteNewest: if let last = model.snapshots.last { try delete(last.number) }
        case .branch:
            guard let base = model.snapshots.last else { return }
            uuid += 1
            _ = try store.branch(
                SnapshotRequest(uuid: Bits128(high: 7, low: uuid), name: "b\(uuid)"), of: base.number)
        case .writeBranch: break
        case .deleteBranch: if let first = model.branches.first { try store.delete(first.number) }
        case .rename:
            guard let last = model.snapshots.last else { return }
            uuid += 1
            _ = try store.change(last.number, name: "r\(uuid)", priority: Int32(uuid), flags: [])
        case .maintain:
            store.readersForgot(upTo: store.freeStamp)
            _ = try store.maintain()
        case .settle: try settleAll()
        case .checkpoint: try store.checkpointNow()
        case .writer:
            if model.writers.isEmpty { try store.addWriter(Self.writer) } else { try store.clearWriter(Self.writer) }
        case .prepare:
            guard model.prepared.count < StoreLimits.prepared else { return }
            uuid += 1
            let request = SnapshotRequest(uuid: Bits128(high: 6, low: uuid), name: "p\(uuid)")
            try store.prepare(PreparedSnapshot(about: request, decider: .zero))
        case .commitPrepared:
            if let first = model.prepared.first { _ = try store.commitPrepared(Bits128(high: 6, low: first)) }
        case .takeOver: try takeOver(Tenure(epoch: tenure.epoch.next, round: Round(1)), [])
        case .restart:
            do throws(StoreError) {
                try takeOver(Tenure(epoch: tenure.epoch, round: tenure.round.next), [.tenure(tenure)])
            } catch .ended {
                // Its anchor would lie where the base's is; the agent claims a higher epoch.
                try takeOver(Tenure(epoch: tenure.epoch.next, round: Round(1)), [.tenure(tenure)])
            }
        }
    }

    private mutating func delete(_ number: SnapshotNumber) throws(StoreError) {
        do throws(StoreError) { try store.delete(number) } catch {
            // The model has it still, so the store must.
            guard case .hasBranch = error, model.hasBranch(number) else { throw error }
        }
    }

    private mutating func settleAll() throws(StoreError) {
        try store.settle(store.unsettled.map { .tenure($0.tenure) })
        // What was overwritten while readers were asked is asked for once more.
        for _ in 0..<4 {
            store.readersForgot(upTo: store.freeStamp)
            while store.needsMaintenance { _ = try store.maintain() }
        }
    }

    private mutating func takeOver(_ next: Tenure, _ settled: [SettleFact]) throws(StoreError) {
        do throws(StoreRefusal) {
            store = try .take(
                Self.claim(next, UInt64(disk.image.size)), device: SimulatedDevice(disk, path),
                origin: SimulatedDevice(originDisk), settled: settled)
            tenure = next
        } catch {
            switch error {
            case .unsettled: throw .full
            case .slotOfBase: throw .ended
            case .damaged(let offset): throw .damaged(offset: offset)
            case .device(125): throw .device(.stopped)
            default: throw .device(.system(5))
            }
        }
    }

    private mutating func writeOrigin(_ ranges: [Range<UInt64>]) {
        version += 1
        for chunk in ranges.joined() {
            originDisk.image.write(
                DiskWrite(
                    offset: Int(chunk) * Self.chunkSize,
                    bytes: StoreModel.content(Int(chunk), version, Self.chunkSize)))
        }
    }

    /// What is wrong with the store; nil: nothing.
    package mutating func problem() -> String? {
        if let difference = model.difference(&store) { return difference }
        do throws(StoreError) {
            let report = try store.check(data: true)
            return report.problems.first.map { "check: \($0)" }
        } catch {
            return "check: \(error)"
        }
    }
}

extension Tenure {
    /// Of the next epoch.
    package var next: Tenure { Tenure(epoch: epoch.next, round: Round(1)) }
}

package enum StoreWorldError: Error, Equatable, Sendable {
    case store(StoreError)
}
