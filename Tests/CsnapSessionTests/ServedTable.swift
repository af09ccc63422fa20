import CsnapCore
import CsnapSession

/// A table with stores that answer at once, or when the test says so.
struct ServedTable {
    struct Waiting: Equatable {
        var volume: Int
        var ticket: UInt64
        var order: StoreOrder
    }

    var table: SessionTable
    /// Orders are kept in `waiting` until `answer`.
    var isStoreSlow = false
    var waiting: [Waiting] = []
    /// Tickets that were given up.
    var cancelled: [UInt64] = []
    /// Every order ever given.
    var orders: [StoreOrder] = []
    var now = Instant(nanoseconds: 0)
    /// What `map` says of each chunk that is asked for.
    var place = MapPiece.Place.origin
    var generation: UInt64 = 4

    /// The sum of the server's sample.
    static let origin: UInt32 = 7

    init(_ table: SessionTable) { self.table = table }

    var sessionCount: Int { table.sessionCount }
    func sessions(of process: NodeBoot) -> UInt32 { table.sessions(of: process) }

    mutating func admit(_ process: NodeBoot) -> [SessionAction] { obey(table.admit(process)) }
    mutating func strike(_ process: NodeBoot, isFenced: Bool = false) -> [SessionAction] {
        obey(table.strike(process, isFenced: isFenced))
    }
    mutating func activate(_ tenure: Tenure) -> [SessionAction] { obey(table.activate(tenure, at: now)) }
    mutating func opened(_ id: ConnectionID) -> [SessionAction] { obey(table.opened(id, at: now)) }
    mutating func closed(_ id: ConnectionID) -> [SessionAction] { obey(table.closed(id, at: now)) }
    mutating func received(_ frame: ClientFrame, on id: ConnectionID) -> [SessionAction] {
        obey(table.received(frame, on: id, at: now))
    }
    mutating func receivedGarbage(_ error: SessionFrameError, on id: ConnectionID) -> [SessionAction] {
        obey(table.receivedGarbage(error, on: id))
    }
    mutating func freed(_ number: UInt64) -> [SessionAction] { obey(table.freed(number, volume: 0)) }

    /// Lets time pass.
    mutating func pass(_ interval: Interval) -> [SessionAction] {
        now = now + interval
        return obey(table.wake(now))
    }

    /// The store answers the oldest order, as it would or with `result`.
    mutating func answer(_ result: StoreResult? = nil) -> [SessionAction] {
        let first = waiting.removeFirst()
        let actions = table.completed(
            first.ticket, volume: first.volume, result ?? usual(first.order), at: now)
        return obey(actions)
    }

    mutating func answerAll() -> [SessionAction] {
        var actions: [SessionAction] = []
        while !waiting.isEmpty { actions += answer() }
        return actions
    }

    /// Takes the orders out, and answers them unless the store is slow.
    private mutating func obey(_ actions: [SessionAction]) -> [SessionAction] {
        var rest: [SessionAction] = []
        for action in actions {
            if case .cancel(_, let tickets) = action {
                cancelled += tickets
                continue
            }
            guard case .store(let volume, let ticket, let order) = action else {
                rest.append(action)
                continue
            }
            orders.append(order)
            waiting.append(Waiting(volume: volume, ticket: ticket, order: order))
        }
        return isStoreSlow ? rest : rest + answerAll()
    }

    private mutating func usual(_ order: StoreOrder) -> StoreResult {
        switch order {
        case .copyOut: return .copied
        case .map(_, let ranges):
            return .mapped([MapPiece(count: ranges.reduce(0) { $0 + $1.count }, place: place)])
        case .readData(_, _, let length): return .data([UInt8](repeating: 7, count: Int(length)))
        case .writeBranch: return .written
        case .branch(_, let name, let uuid):
            return .changed(
                SnapshotEntry(number: 1 << 52 + 1, uuid: uuid, name: name, size: 655361, createdAt: 0, base: 3))
        case .recordWriter: return .writerRecorded
        case .clearWriter: return .writerCleared
        case .find, .measure: return .absent
        case .sampleOrigin: return .sample(Self.origin)
        case .resize: return .resized(1 << 20)
        case .commit(let name, let uuid, let priority):
            generation += 1
            return .committed(
                SnapshotEntry(
                    number: generation - 1, uuid: uuid, name: name, size: 655361, createdAt: 0, priority: priority),
                generation: generation)
        case .prepare: return .prepared
        case .beginRevert(let name, let uuid, let node):
            return .reverting(RevertReport(uuid: uuid, number: 3, name: name, node: node, cursor: 0))
        case .beginReceive(let uuid, let node):
            return .reverting(RevertReport(uuid: uuid, number: 0, name: "", node: node, cursor: 0))
        case .moveRevert(let uuid, let cursor):
            return .reverting(
                RevertReport(uuid: uuid, number: 3, name: "monday", node: NodeID(1), cursor: cursor))
        case .endRevert: return .reverting(nil)
        case .commitPrepared(let uuid):
            generation += 1
            return .committed(
                SnapshotEntry(number: generation - 1, uuid: uuid, name: "monday", size: 655361, createdAt: 0),
                generation: generation)
        case .delete(let name, _, _), .rename(_, let name, _), .show(let name):
            return .changed(SnapshotEntry(number: 3, uuid: .zero, name: name, size: 655361, createdAt: 0))
        case .list: return .outcome(.snapshots([], hasMore: false))
        case .examine:
            return .outcome(
                .volume(
                    VolumeReport(
                        generation: generation, snapshots: 0, originSize: 655361, storeSize: 1, storeUsed: 0,
                        quarantined: 0, sessions: 0)))
        case .changes(let query):
            guard query.from < generation else { return .outcome(.refused(.unknownSnapshot, culprit: "")) }
            return .outcome(
                .changes(
                    ChangedChunks(
                        chunkSize: 65536, size: 655361, ranges: [ChunkRange(first: query.first, count: 1)], next: nil)))
        case .check:
            return .outcome(
                .check(
                    CheckState(
                        isDone: true, entries: 0, total: 0, nodes: 0, snapshots: 0, problems: [], hasMore: false)))
        case .reuse, .settle, .settleKernel, .abandon: return .done
        }
    }
}
