package import CsnapCore

/// A revert, or the receiving of a stream, that has begun and not ended: the origin is neither what it was nor what the
/// snapshot is.
package struct RevertState: Equatable, Sendable {
    /// Of the command, and of the one snapshot that may be made meanwhile: that of the present, which a revert makes
    /// first, or the received one.
    package var uuid: Bits128
    /// Where it goes; `received`: to what a stream brings.
    package var target: SnapshotNumber
    /// Only the client of this node writes the origin.
    package var node: NodeID
    /// Chunks below this one are written back, durably.
    package var cursor: UInt64

    /// No snapshot has this number.
    package static let received = SnapshotNumber(0)

    package var isReceive: Bool { target == Self.received }

    package init(uuid: Bits128, target: SnapshotNumber, node: NodeID, cursor: UInt64) {
        self.uuid = uuid
        self.target = target
        self.node = node
        self.cursor = cursor
    }
}

extension RevertState: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(uuid)
        writer.fixed(target.value)
        writer.fixed(node.value)
        writer.fixed(cursor)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        uuid = try reader.value()
        target = SnapshotNumber(try reader.fixed(UInt64.self))
        node = NodeID(try reader.fixed(UInt32.self))
        cursor = try reader.fixed(UInt64.self)
    }
}

extension SnapshotStore {
    package var revert: RevertState? { state.revert }

    /// Begins, moves on or (nil) ends a revert or a receive. Its snapshots are not deleted while it lasts.
    package mutating func setRevert(_ revert: RevertState?) throws(StoreError) {
        try expectAlive()
        if let revert, !revert.isReceive { _ = try expectUnchanging(revert.target) }
        if revert != state.revert { try commit([.reverting(revert)]) }
    }

    /// Neither where it goes nor what was before it may go.
    package func isOfRevert(_ snapshot: Snapshot) -> Bool {
        guard let revert = state.revert else { return false }
        return snapshot.number == revert.target || snapshot.about.uuid == revert.uuid
    }
}
