package import CsnapCore
package import CsnapStore

/// What is done to a store.
package enum StoreOperation: Equatable, Sendable {
    /// A grant for these chunks, then new data for them in the origin.
    case write([Range<UInt64>])
    case create
    case deleteOldest
    case deleteNewest
    case rename
    /// One step of its own work.
    case maintain
    /// All of it, with everything forgotten by the readers.
    case settle
    case checkpoint
    case writer
    case prepare
    case commitPrepared
    case takeOver

    /// The alphabet of the enumerated sequences; chunks are numbered from 0, there are `StoreWorld.chunks` of them.
    package static let alphabet: [StoreOperation] = [
        .write([0..<1]), .write([1..<3, 5..<6]), .write([0..<StoreWorld.chunks]), .create, .deleteOldest, .deleteNewest,
        .rename, .maintain, .settle, .checkpoint, .writer, .prepare, .commitPrepared, .takeOver,
    ]
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
    package var epoch: UInt64
    var version: UInt32 = 0
    var uuid: UInt64 = 0

    package static func format(windows: Int = 20, slots: Int = 4) throws(StoreFormatError) -> StoreFormat {
        let geometry = StoreGeometry(
            originSize: chunks * UInt64(chunkSize), storeSize: StoreLayout.dataOffset + UInt64(windows) << 15,
            chunkSize: UInt32(chunkSize), windowSize: 32 << 10, nodeSize: 512)
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

    package static func claim(_ epoch: UInt64, round: UInt32 = 1, _ size: UInt64) -> StoreClaim {
        let node = UInt32(epoch % 3 + 1)
        let owner = StoreOwner(
            process: NodeBoot(node: NodeID(node), boot: Boot(epoch)), machineID: Bits128(high: 0, low: UInt64(node)),
            kernelBootID: Bits128(high: 1, low: epoch))
        return StoreClaim(
            tenure: Tenure(epoch: Epoch(epoch), round: Round(round)), cluster: cluster, owner: owner,
            lastActiveEpoch: Epoch(0), deviceSize: size)
    }

    package init(_ format: StoreFormat) throws(StoreRefusal) {
        let image = Self.blank(format)
        let size = Int(format.geometry.originSize)
        try self.init(
            SimulatedDisk(image), SimulatedDisk(DiskImage(size: size)), StoreModel(chunks: Int(Self.chunks)), epoch: 1)
    }

    /// Takes what lies on a disk.
    package init(
        _ disk: SimulatedDisk, _ originDisk: SimulatedDisk, _ model: StoreModel, epoch: UInt64,
        settled: [SettleFact] = []
    ) throws(StoreRefusal) {
        self.disk = disk
        self.originDisk = originDisk
        self.model = model
        self.epoch = epoch
        store = try .take(
            Self.claim(epoch, UInt64(disk.image.size)), device: SimulatedDevice(disk),
            origin: SimulatedDevice(originDisk), settled: settled)
    }

    /// Carries an operation out, or throws what the store says; the model then is what it was before.
    package mutating func perform(_ operation: StoreOperation) throws(StoreWorldError) {
        do throws(StoreError) {
            if operation == .takeOver { try takeOver() } else { try step(operation) }
        } catch {
            throw .store(error)
        }
    }

    private mutating func takeOver() throws(StoreError) {
        epoch += 1
        do throws(StoreRefusal) {
            store = try .take(
                Self.claim(epoch, UInt64(disk.image.size)), device: SimulatedDevice(disk),
                origin: SimulatedDevice(originDisk), settled: [])
        } catch {
            if case .device(let code) = error { throw .device(.system(code)) }
            throw .full
        }
    }

    private mutating func step(_ operation: StoreOperation) throws(StoreError) {
        switch operation {
        case .write(let ranges): try write(ranges)
        case .create:
            uuid += 1
            let made = try store.create(SnapshotRequest(uuid: Bits128(high: 5, low: uuid), name: "s\(uuid)"))
            model.snapshots.append(
                StoreModel.Image(number: made.number, name: made.about.name, versions: model.origin))
        case .deleteOldest: try delete(model.snapshots.first)
        case .deleteNewest: try delete(model.snapshots.last)
        case .rename:
            guard let last = model.snapshots.last else { return }
            uuid += 1
            _ = try store.change(last.number, name: "r\(uuid)", priority: 1, flags: [])
            model.snapshots[model.snapshots.count - 1].name = "r\(uuid)"
        case .maintain: _ = try store.maintain()
        case .settle:
            store.readersForgot(upTo: store.freeStamp)
            try store.settle(store.unsettled.map { .tenure($0.tenure) })
            while store.needsMaintenance { _ = try store.maintain() }
            store.readersForgot(upTo: store.freeStamp)
        case .checkpoint: try store.checkpointNow()
        case .writer:
            let writer = WriterRecord(node: NodeID(7), machineID: .zero, kernelBootID: .zero)
            if model.writers.isEmpty { try store.addWriter(writer) } else { try store.clearWriter(writer) }
            model.writers = model.writers.isEmpty ? [writer] : []
        case .prepare:
            uuid += 1
            let request = SnapshotRequest(uuid: Bits128(high: 6, low: uuid), name: "p\(uuid)")
            try store.prepare(PreparedSnapshot(about: request, decider: .zero))
            model.prepared.append(request.uuid)
        case .commitPrepared:
            guard let first = model.prepared.first else { return }
            let made = try store.commitPrepared(first)
            model.prepared.removeFirst()
            model.snapshots.append(
                StoreModel.Image(number: made.number, name: made.about.name, versions: model.origin))
        case .takeOver: break
        }
    }

    private mutating func delete(_ image: StoreModel.Image?) throws(StoreError) {
        guard let image else { return }
        try store.delete(image.number)
        model.snapshots.removeAll { $0.number == image.number }
    }

    private mutating func write(_ ranges: [Range<UInt64>]) throws(StoreError) {
        let outcomes = try store.grant([ranges])
        guard outcomes == [.granted] else {
            if outcomes == [.full] { throw .full }
            return
        }
        version += 1
        for range in ranges {
            for chunk in range {
                model.origin[Int(chunk)] = version
                originDisk.image.write(
                    DiskWrite(
                        offset: Int(chunk) * Self.chunkSize,
                        bytes: StoreModel.content(Int(chunk), version, Self.chunkSize)))
            }
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

package enum StoreWorldError: Error, Equatable, Sendable {
    case store(StoreError)
}
