package import CsnapCore

/// What a person asks of the server; carried by a session for commands.
package enum SnapshotCommand: Equatable, Sendable {
    /// `uuid` becomes the snapshot's, so that a repeated command finds what the first one made.
    case create(volume: String, name: String, uuid: Bits128, priority: Int32 = 0)
    /// Of all these volumes at one instant, or of none.
    case createSeveral(volumes: [String], name: String, uuid: Bits128, priority: Int32 = 0)
    /// An image of its own that begins as that snapshot and may be written; `uuid` as in `create`.
    case branch(volume: String, from: String, name: String, uuid: Bits128)
    /// Begin, or go on, to write a snapshot back; only the client of the caller's node has the origin from now on.
    case beginRevert(volume: String, name: String, uuid: Bits128)
    /// The same for what a stream brings; `endRevert` ends it.
    case beginReceive(volume: String, uuid: Bits128)
    /// All of the stream is on the origin, which nobody else has had since: make its snapshot.
    case finishReceive(volume: String, name: String, uuid: Bits128)
    /// Chunks below `cursor` are written back, durably.
    case moveRevert(volume: String, uuid: Bits128, cursor: UInt64)
    case endRevert(volume: String, uuid: Bits128)
    /// The snapshot or branch of that name.
    case show(volume: String, name: String)
    /// With `uuid` only the one of that uuid, whatever the name means by now: so that a repeated command does nothing
    /// to another.
    case delete(volume: String, name: String, uuid: Bits128? = nil)
    case rename(volume: String, from: String, to: String, uuid: Bits128? = nil)
    /// At most `SessionWire.snapshotsPerPage`, of numbers above `after`.
    case list(volume: String, after: UInt64)
    /// Counts, and who holds up what.
    case examine(volume: String)
    case changes(volume: String, ChangesQuery)
    /// The origin has become larger.
    case resize(volume: String)
    /// Begins a check of the store, of that uuid; asked again, how far it is.
    case check(volume: String, uuid: Bits128)

    /// The first one, if there are several.
    package var volume: String {
        switch self {
        case .createSeveral(let volumes, _, _, _): volumes.first ?? ""
        case .beginRevert(let volume, _, _), .moveRevert(let volume, _, _), .endRevert(let volume, _),
            .beginReceive(let volume, _), .finishReceive(let volume, _, _):
            volume
        case .create(let volume, _, _, _), .branch(let volume, _, _, _), .show(let volume, _),
            .delete(let volume, _, _), .rename(let volume, _, _, _), .list(let volume, _), .examine(let volume),
            .changes(let volume, _), .check(let volume, _), .resize(let volume):
            volume
        }
    }
}
