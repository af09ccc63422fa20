package import CsnapCore

/// Why the store did not do what it was asked to.
///
/// After a *fatal* error (`isFatal`) nothing is known about what reached the disk: the server ends, and a successor
/// finds out. After any other nothing has changed.
package enum StoreError: Error, Equatable, Sendable {
    // Fatal.
    /// The store's device failed, or the gate is closed for good.
    case device(BlockDeviceError)
    /// A slot shows a higher tenure: this server is deposed.
    case surpassed(Tenure, NodeBoot)
    /// An earlier fatal error; nothing is done any more.
    case ended

    // Not fatal.
    /// A block that the store rests on is not what was written: its offset in bytes.
    case damaged(offset: UInt64)
    /// No room, not even in the reserve.
    case full
    case noSuchSnapshot(SnapshotNumber)
    case noSuchPrepared(Bits128)
    /// Another snapshot has this name.
    case nameTaken(SnapshotNumber)
    /// Empty, longer than 64 bytes of UTF-8, or not printable.
    case impossibleName
    /// `StoreLimits` says how many there may be.
    case tooManySnapshots
    case tooManyWriters
    /// Protected against deletion by a flag.
    case pinned(SnapshotNumber)
    /// The second, a branch, shows the first where it was not written.
    case hasBranch(SnapshotNumber, SnapshotNumber)
    /// Only a snapshot can be what this branch was given for; or the other way round.
    case isBranch(SnapshotNumber)
    case isNoBranch(SnapshotNumber)
    case outOfRange
    /// An origin only grows.
    case wouldShrink
    /// A snapshot's data could not be read, or is not what was saved.
    case damagedData(SnapshotNumber, chunk: UInt64)
    case originRead(chunk: UInt64, BlockDeviceError)
    /// What programs wrote before a snapshot could not be made durable.
    case originFlush(BlockDeviceError)

    package var isFatal: Bool {
        switch self {
        case .device, .surpassed, .ended: true
        case .damaged, .full, .noSuchSnapshot, .noSuchPrepared, .nameTaken, .impossibleName, .tooManySnapshots,
            .tooManyWriters, .pinned, .hasBranch, .isBranch, .isNoBranch, .outOfRange, .wouldShrink, .damagedData,
            .originRead, .originFlush:
            false
        }
    }
}

/// Bounds of what a store keeps.
package enum StoreLimits {
    package static let snapshots = 8192
    package static let writers = 1024
    /// Bytes of UTF-8.
    package static let nameLength = Limits.snapshotName
    /// Dead tenures whose late writes are still possible (docs/data-plane.md, "Settling").
    package static let unsettledTenures = 32
    package static let prepared = 16
}
