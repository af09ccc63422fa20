import CsnapCore
import CsnapRuntime
import CsnapSession
import CsnapStore
import CsnapStoreSimulation

/// A program's read of some chunks of a snapshot or branch. Each chunk is looked at when the disk pleases.
final class SnapshotRead {
    private unowned let world: DataWorld
    private let snapshot: SnapshotEntry
    private let chunks: ChunkRange
    private var data: [[UInt8]] = []
    /// What the server said of each chunk.
    private var checksums: [UInt32?] = []
    private var attempt = 0
    /// Writes to branches that were done before.
    private let begun: Int

    init(_ world: DataWorld, snapshot: SnapshotEntry, chunks: ChunkRange) {
        self.world = world
        self.snapshot = snapshot
        self.chunks = chunks
        begun = world.branches.clock
    }

    private var isOfBranch: Bool { snapshot.base != nil }

    func start(_ pieces: [MapPiece], _ returned: @escaping () -> Void) {
        attempt += 1
        let now = attempt
        data = [[UInt8]](repeating: [], count: Int(chunks.count))
        checksums = pieces.flatMap { piece in
            (0..<Int(piece.count)).map { piece.checksums.isEmpty ? nil : piece.checksums[$0] }
        }
        let time = world.chance(1, in: 5) ? world.milliseconds(1, world.plan.slowReads) : world.milliseconds(0, 4)
        var index = 0
        for piece in pieces {
            for part in 0..<Int(piece.count) {
                let place = piece.place
                let position = index
                world.after(Int64(world.random.next() % UInt64(time + 1))) { [self] in
                    if attempt == now { data[position] = bytes(place, part, chunks.first + UInt64(position)) }
                }
                index += 1
            }
        }
        world.after(time, returned)
    }

    private func bytes(_ place: MapPiece.Place, _ part: Int, _ chunk: UInt64) -> [UInt8] {
        let size = DataWorld.chunkSize
        switch place {
        case .origin: return world.origin.image.bytes(size, at: Int(chunk) * size)
        case .store(let address): return world.store.image.bytes(size, at: Int(address) + part * size)
        case .zero: return [UInt8](repeating: 0, count: size)
        }
    }

    /// D1: the program sees what the snapshot is, or what the branch was since the read began.
    func show(to client: String) {
        world.statistics[isOfBranch ? .branchReads : .reads] += 1
        world.note(40, snapshot.number, chunks.first, "client \(client) has read snapshot \(snapshot.number)")
        for (index, bytes) in data.enumerated() {
            let chunk = Int(chunks.first) + index
            let number = SnapshotNumber(snapshot.number)
            let problem =
                isOfBranch
                ? world.branches.difference(number, chunk, bytes, since: begun)
                : world.model.difference(number, chunk, bytes)
            if let problem { return world.fail("D1", "client \(client): \(problem)") }
            if let checksum = checksums[index], checksum != Castagnoli.checksum(bytes) {
                return world.fail("D1", "client \(client): chunk \(chunk) does not fit its checksum")
            }
        }
    }

    func failed(_ code: UInt16) {
        world.statistics[.failedReads] += 1
        let number = SnapshotNumber(snapshot.number)
        let isGone = isOfBranch ? world.branches.isGone(number) : world.model.isGone(number)
        if code != SessionQueryError.unknownSnapshot.rawValue || !isGone {
            world.fail("D7", "a read of snapshot \(snapshot.number) failed with \(code)")
        }
    }
}
