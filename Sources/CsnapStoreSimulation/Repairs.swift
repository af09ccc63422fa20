import CsnapCore
package import CsnapStore

/// Bytes of a store are changed, one after the other, and the store is repaired. Afterwards it is clean, and every
/// chunk of every snapshot is right unless the repair has named it.
package struct Repairs {
    package var report = ImageReport()
    /// Stores that were written by a repair, and those whose damage none can mend.
    package var repaired = 0
    package var refused = 0
    let world: StoreWorld

    package static let owner = StoreOwner(
        process: NodeBoot(node: NodeID(9), boot: Boot(0)), machineID: Bits128(high: 0, low: 9),
        kernelBootID: Bits128(high: 1, low: 9))

    /// Of a small store, or of one with a tall tree.
    package init(isTall: Bool = false) throws {
        var world = try isTall ? StoreWorld.tall() : StoreWorld(StoreWorld.format(windows: 40))
        let newest: [StoreOperation] = [
            .checkpoint, .create, .write([1..<5]), .branch, .writeBranch(StoreOperation.parts),
        ]
        if !isTall { for operation in CrashImages.beginnings[3] + newest { try world.perform(operation) } }
        try world.perform(.writeBranch(StoreOperation.otherParts))
        // The last group, which may be gone without a trace, holds nothing that a snapshot shows.
        try world.perform(.writer)
        self.world = world
    }

    /// Every `stride`-th byte that holds something, from the `first` on.
    package mutating func enumerate(from first: Int = 0, stride: Int) {
        let image = world.disk.image
        for offset in Swift.stride(from: first, to: image.size, by: stride) {
            let around = offset / 512 * 512
            if image.bytes(min(512, image.size - around), at: around).allSatisfy({ $0 == 0 }) { continue }
            var flipped = image
            flipped.flip(offset, UInt8(1 << (offset % 8)))
            report.images += 1
            judge(flipped, "byte \(offset)")
            if report.problems.count >= 20 { return }
        }
    }

    /// A repair of saved data or of a node dies before each of its writes and flushes, and the next one finishes.
    package mutating func interrupt() {
        for offset in harmful {
            var flipped = world.disk.image
            flipped.flip(offset, 1)
            for writes in 0..<200 {
                let disk = SimulatedDisk(flipped)
                let device = SimulatedDevice(disk)
                device.path.requestsLeft = writes
                let origin = SimulatedDevice(world.originDisk)
                do throws(StoreRefusal) {
                    _ = try SnapshotStore.repair(device: device, origin: origin, owner: Self.owner)
                } catch {}
                report.images += 1
                judge(disk.image, "byte \(offset), repair dead after \(writes) writes")
                if !device.path.isDead { break }
            }
        }
    }

    /// A byte of saved data, and one of the last leaf of the tree.
    private var harmful: [Int] {
        var store = world.store
        guard let snapshot = world.model.snapshots.first,
            let part = try? store.locate(snapshot.number, 0..<1).first, case .store(let data) = part.place
        else { return [] }
        let magic = Array("CSTN".utf8)
        let image = world.disk.image
        let node = stride(from: Int(StoreLayout.dataOffset), to: image.size, by: 512).reversed().first {
            image.bytes(4, at: $0) == magic && image.bytes(1, at: $0 + 4) == [0]
        }
        return [Int(data) + 100, (node ?? 0) + 40]
    }

    /// Repairs an image and compares what is left with the model.
    package mutating func judge(_ image: DiskImage, _ what: String) {
        let disk = SimulatedDisk(image)
        let (device, origin) = (SimulatedDevice(disk), SimulatedDevice(world.originDisk))
        let outcome: RepairReport
        do throws(StoreRefusal) {
            outcome = try SnapshotStore.repair(device: device, origin: origin, owner: Self.owner)
        } catch {
            refused += 1
            return
        }
        if outcome.isChanged { repaired += 1 }
        do throws(StoreRefusal) {
            var again = try SnapshotStore.inspect(device: device, origin: origin)
            if let left = (try? again.check(data: true))?.problems.first {
                return report.problem("\(what): \(left) after the repair of \(outcome.before.problems)")
            }
            var store = try Self.take(device, origin, above: world.tenure.epoch.value + 9)
            compare(&store, outcome, what)
            if outcome.isChanged, store.facts.generation <= world.store.facts.generation {
                report.problem("\(what): the generation did not rise")
            }
        } catch {
            report.problem("\(what): not taken after its repair: \(error)")
        }
    }

    /// The next epoch whose slot is not the base's.
    package static func take(
        _ device: SimulatedDevice, _ origin: SimulatedDevice, above epoch: UInt64
    ) throws(StoreRefusal) -> SnapshotStore<SimulatedDevice> {
        do throws(StoreRefusal) {
            return try .take(
                StoreWorld.claim(Tenure(epoch: Epoch(epoch + 1), round: Round(1)), device.size), device: device,
                origin: origin, settled: [])
        } catch {
            guard case .slotOfBase = error else { throw error }
            return try .take(
                StoreWorld.claim(Tenure(epoch: Epoch(epoch + 2), round: Round(1)), device.size), device: device,
                origin: origin, settled: [])
        }
    }

    private mutating func compare(
        _ store: inout SnapshotStore<SimulatedDevice>, _ outcome: RepairReport, _ what: String
    ) {
        for image in world.model.images {
            guard let there = store.images.first(where: { $0.number == image.number }) else {
                let isNamed = outcome.losses.contains { if case .journal = $0 { true } else { false } }
                if !isNamed { report.problem("\(what): \(image.title) is gone") }
                continue
            }
            let isMarked = there.about.flags.contains(.damaged)
            for chunk in image.versions.indices {
                if isMarked, !outcome.isChanged || outcome.names(UInt64(chunk), image.number) { continue }
                let bytes = try? store.read(image.number, chunk: UInt64(chunk))
                if bytes.map({ StoreModel.isContent($0, chunk, image.versions[chunk]) }) != true {
                    report.problem("\(what): \(image.title), chunk \(chunk) is wrong, and not named")
                }
            }
        }
    }
}

extension RepairReport {
    fileprivate func names(_ chunk: UInt64, _ snapshot: SnapshotNumber) -> Bool {
        losses.contains { loss in
            guard loss.snapshots.contains(snapshot) else { return false }
            switch loss {
            case .chunks(let first, let end, _): return chunk >= first && end.map { chunk < $0 } ?? true
            case .journal: return true
            }
        }
    }
}
