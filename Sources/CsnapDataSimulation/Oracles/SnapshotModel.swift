import CsnapCore
import CsnapSession
import CsnapStore
import CsnapStoreSimulation

/// What each snapshot is: the origin at the instant at which all stood still.
final class SnapshotModel {
    private struct Made {
        var number: SnapshotNumber
        var uuid: Bits128
        var name: String
        var image: DiskImage
    }

    private var snapshots: [Made] = []
    /// Deleted ones, for reads that were mapped before.
    private var gone: [Made] = []
    /// The origin when a commit was begun, by the command's uuid.
    private var candidates: [(uuid: Bits128, image: DiskImage)] = []
    /// What the server was doing when it died; its successor says what became of it.
    private var open: StoreOrder?

    var newest: SnapshotNumber? { snapshots.last?.number }
    var names: [String] { snapshots.map { $0.name } }

    func isGone(_ number: SnapshotNumber) -> Bool { !snapshots.contains { $0.number == number } }

    func knows(_ number: SnapshotNumber, _ uuid: Bits128) -> Bool {
        (snapshots + gone).contains { $0.number == number && $0.uuid == uuid }
    }

    func image(of uuid: Bits128) -> DiskImage? { snapshots.first { $0.uuid == uuid }?.image }

    func image(_ number: SnapshotNumber) -> DiskImage? { snapshots.first { $0.number == number }?.image }

    func name(of number: SnapshotNumber) -> String? { snapshots.first { $0.number == number }?.name }

    // MARK: - What the store does

    func begin(_ order: StoreOrder, origin: DiskImage) {
        open = order
        guard case .commit(_, let uuid, _) = order else { return }
        candidates.removeAll { $0.uuid == uuid }
        candidates.append((uuid, origin))
    }

    /// The store has obeyed; what it has now, or what is wrong with that.
    func done(_ order: StoreOrder, _ now: [Snapshot]) -> String? {
        defer { open = nil }
        return adopt(now, order)
    }

    /// D4: a successor has the store. Nothing is lost but what was under way.
    func taken(_ now: [Snapshot]) -> String? {
        defer { open = nil }
        return adopt(now, open)
    }

    private func adopt(_ now: [Snapshot], _ order: StoreOrder?) -> String? {
        for old in snapshots where !now.contains(where: { $0.number == old.number }) {
            guard case .delete(old.name, _, _) = order else { return "snapshot \(old.number.value) is lost" }
            gone.append(old)
            snapshots.removeAll { $0.number == old.number }
        }
        for (index, new) in now.enumerated() {
            guard index < snapshots.count else {
                guard case .commit(_, new.about.uuid, _) = order,
                    let made = candidates.first(where: { $0.uuid == new.about.uuid })
                else { return "snapshot \(new.number.value) comes from nowhere" }
                snapshots.append(
                    Made(number: new.number, uuid: new.about.uuid, name: new.about.name, image: made.image))
                continue
            }
            let old = snapshots[index]
            guard old.number == new.number, old.uuid == new.about.uuid else {
                return "snapshot \(old.number.value) has become \(new.number.value)"
            }
            guard old.name != new.about.name else { continue }
            guard case .rename(old.name, new.about.name, _) = order else { return "\(old.name) has another name" }
            snapshots[index].name = new.about.name
        }
        return nil
    }

    // MARK: - D1

    /// Nil: these are the bytes of that chunk.
    func difference(_ number: SnapshotNumber, _ chunk: Int, _ bytes: [UInt8]) -> String? {
        guard let snapshot = (snapshots + gone).first(where: { $0.number == number }) else {
            return "snapshot \(number.value) was never made"
        }
        if snapshot.image.bytes(DataWorld.chunkSize, at: chunk * DataWorld.chunkSize) == bytes { return nil }
        return "chunk \(chunk) of snapshot \(number.value) is not what it was"
    }

    /// Of all snapshots and chunks the first that is not what it was.
    func difference(_ store: inout SnapshotStore<SimulatedPath>) -> String? {
        for snapshot in snapshots {
            for chunk in 0..<DataWorld.chunks {
                do throws(StoreError) {
                    let bytes = try store.read(snapshot.number, chunk: UInt64(chunk))
                    if let problem = difference(snapshot.number, chunk, bytes) { return problem }
                } catch {
                    return "chunk \(chunk) of snapshot \(snapshot.number.value): \(error)"
                }
            }
        }
        return nil
    }

    /// A snapshot that looks for this chunk on the origin, where it has just changed.
    func exposed(_ chunk: UInt64, _ store: inout SnapshotStore<SimulatedPath>) -> String? {
        for snapshot in snapshots {
            do throws(StoreError) {
                guard try store.locate(snapshot.number, chunk..<chunk + 1).first?.place == .origin else { continue }
                let bytes = try store.read(snapshot.number, chunk: chunk)
                if let problem = difference(snapshot.number, Int(chunk), bytes) { return problem }
            } catch {
                return "chunk \(chunk) of snapshot \(snapshot.number.value): \(error)"
            }
        }
        return nil
    }
}
