/// Where things lie in a snapshot store, format version 1 (docs/data-plane.md, "Snapshot store").
///
///     0        4 KiB     8 KiB       1 MiB                     3 MiB                          8 MiB
///     | format | format' | zeros ... | 256 slots of 2 copies   | 512 anchors of 2 copies ...  | windows ...
package enum StoreLayout {
    package static let version: UInt32 = 1
    /// Unit of reading, writing and checksums of blocks.
    package static let blockSize = 4096
    package static let slotsOffset: UInt64 = 1 << 20
    /// A tenure's slot is its epoch modulo this, so nobody takes its own slot again soon.
    package static let slotCount = 256
    /// Where the anchors begin: behind the slots of the largest store.
    package static let anchorsOffset: UInt64 = 3 << 20
    /// Where the windows begin, in a store of 256 slots.
    package static let dataOffset: UInt64 = 8 << 20
    /// Smallest store that a person can make: eight windows.
    package static let minimumStoreSize: UInt64 = 16 << 20
    package static let chunkSizes: ClosedRange<UInt32> = 4 << 10...1 << 20
    package static let defaultChunkSize: UInt32 = 64 << 10
    package static let windowSizes: ClosedRange<UInt32> = 32 << 10...256 << 20
    package static let nodeSizes: ClosedRange<UInt32> = 512...16 << 10
    package static let defaultNodeSize: UInt32 = 16 << 10
    /// Longest origin, in bytes: an offset is a signed 64-bit number for the system.
    package static let maximumOriginSize: UInt64 = 1 << 62
    /// Windows of the largest store: they are counted in 32 bits and kept in memory.
    static let windows = 1 << 20
}

/// What a shell is to do with the device; one at a time, synchronously, past the page cache where that is possible.
package enum StoreRequest: Equatable, Sendable {
    case read(offset: UInt64, count: Int)
    case write(offset: UInt64, bytes: [UInt8])
    /// All writes that have returned are durable when this returns.
    case flush
}

package enum StoreAnswer: Equatable, Sendable {
    case bytes([UInt8])
    case done
    /// The system's error number.
    case failed(Int32)
}
