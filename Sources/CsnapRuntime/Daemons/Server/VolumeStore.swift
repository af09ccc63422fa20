import CsnapCore
import CsnapSession
import CsnapStore
import Glibc

/// A taken store as the server uses it: orders of SessionTable in, results out.
///
/// Format version 1 keeps no snapshots yet, so no write has anything to save.
struct VolumeStore {
    let about: SessionVolume
    let freeStamp: UInt64 = 0
    let needsMaintenance = false

    init(
        _ claim: StoreClaim, _ volume: String, store: StoreDevice, origin: StoreDevice, gate: GatedStore
    ) throws(StoreRefusal) {
        let superblock = try Self.take(claim, store, gate)
        about = SessionVolume(
            name: volume, storeUUID: superblock.store, originSize: superblock.geometry.originSize,
            chunkSize: superblock.geometry.chunkSize, generation: superblock.generation)
    }

    private static func take(
        _ claim: StoreClaim, _ device: StoreDevice, _ gate: GatedStore
    ) throws(StoreRefusal) -> Superblock {
        var taking = StoreTaking(claim)
        var request = taking.first
        while true {
            switch taking.answered(perform(request, device, gate)) {
            case .perform(let next): request = next
            case .taken(let superblock): return superblock
            case .refused(let refusal): throw refusal
            }
        }
    }

    private static func perform(_ request: StoreRequest, _ device: StoreDevice, _ gate: GatedStore) -> StoreAnswer {
        guard case .write = request else { return device.perform(request) }
        gate.waitToWrite()
        defer { gate.written() }
        return device.perform(request)
    }

    /// One result for each; nil: the store is full, ask again.
    mutating func copyOut(_ group: [[ChunkRange]]) throws(StoreError) -> [StoreResult?] { group.map { _ in .copied } }

    mutating func perform(_ order: StoreOrder) throws(StoreError) -> StoreResult {
        switch order {
        case .copyOut: .copied
        case .map: .failed(.unknownSnapshot)
        case .recordWriter: .writerRecorded
        case .clearWriter: .writerCleared
        case .find, .commit: .outcome(.refused(.storeFailed, culprit: "this format keeps no snapshots yet"))
        case .delete(let name), .rename(let name, _): .outcome(.refused(.unknownSnapshot, culprit: name))
        case .list: .outcome(.snapshots([], hasMore: false))
        case .examine:
            .outcome(
                .volume(
                    VolumeReport(
                        generation: about.generation, snapshots: 0, originSize: about.originSize, storeSize: 0,
                        storeUsed: 0, quarantined: 0, sessions: 0, waitingWrites: 0, holds: [], lostWriters: [])))
        case .reuse: .done
        }
    }

    mutating func maintain() throws(StoreError) {}
}

extension StoreError {
    /// What the agent is told.
    var failure: ServerFailure {
        if case .surpassed = self { .storeTenure } else { .storeIO }
    }

    /// For a person; `path` names the device.
    func sentence(_ path: String) -> String {
        switch self {
        case .surpassed(let tenure):
            "the store \(path) shows epoch \(tenure.epoch.value) round \(tenure.round.value): this server is deposed"
        case .damaged(let offset):
            "the store \(path) is damaged at byte \(offset); run `csnapctl volume check` and examine the disk"
        case .device(.system(let code)):
            "the store \(path) failed: \(String(cString: strerror(code))); examine the disk"
        default: "the store \(path) failed: \(self)"
        }
    }
}
