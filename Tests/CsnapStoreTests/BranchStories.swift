import CsnapCore
import CsnapStore
import CsnapStoreSimulation

/// Words that stories of branches are told in.
protocol BranchStories {}

extension BranchStories {
    static var size: Int { StoreWorld.chunkSize }

    func request(_ number: UInt64, _ name: String) -> SnapshotRequest {
        SnapshotRequest(uuid: Bits128(high: 7, low: number), name: name)
    }

    func write(_ branch: Snapshot, at offset: Int, _ bytes: [UInt8]) -> BranchWrite {
        BranchWrite(branch: branch.number, offset: UInt64(offset), length: bytes.count, bytes: bytes)
    }

    func bytes(_ value: UInt8, _ count: Int) -> [UInt8] { [UInt8](repeating: value, count: count) }
}
