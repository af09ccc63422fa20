import CsnapCore
import CsnapSession
import CsnapStore

/// The origin is written back to a snapshot, or to what a stream brings, by one client that alone has it.
extension VolumeStore {
    var revert: RevertReport? {
        guard let revert = store.revert else { return nil }
        let target = store.snapshots.first { $0.number == revert.target }
        return RevertReport(
            uuid: revert.uuid, number: revert.target.value, name: target?.about.name ?? "", node: revert.node,
            cursor: revert.cursor)
    }

    var notReverting: StoreResult { .outcome(.refused(.notReverting, culprit: volume)) }

    /// Another stream is not begun before the one that is half received is given up: two would write at once.
    mutating func beginReceive(_ uuid: Bits128, _ node: NodeID) throws(StoreError) -> StoreResult {
        if let there = store.revert, !there.isReceive || there.uuid != uuid {
            return .outcome(.refused(.reverting, culprit: volume))
        }
        try store.setRevert(RevertState(uuid: uuid, target: RevertState.received, node: node, cursor: 0))
        return .reverting(revert)
    }

    /// Towards the same snapshot it goes on where it was, whoever asks; the uuid is that of the first one to ask.
    mutating func beginRevert(
        _ name: String, _ uuid: Bits128, _ node: NodeID
    ) throws(StoreError) -> StoreResult {
        guard let target = named(name) else { return Self.unknown(name) }
        if target.base != nil { return .outcome(.refused(.isBranch, culprit: name)) }
        var next = RevertState(uuid: uuid, target: target.number, node: node, cursor: 0)
        if let there = store.revert, !there.isReceive {
            next.uuid = there.uuid
            if there.target == next.target { next.cursor = there.cursor }
        }
        try store.setRevert(next)
        return .reverting(revert)
    }

    mutating func moveRevert(_ uuid: Bits128, _ cursor: UInt64) throws(StoreError) -> StoreResult {
        guard var next = store.revert, next.uuid == uuid else { return notReverting }
        next.cursor = max(next.cursor, cursor)
        try store.setRevert(next)
        return .reverting(revert)
    }
}
