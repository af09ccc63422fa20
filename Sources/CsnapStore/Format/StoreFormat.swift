package import CsnapCore

/// Why a store cannot be made like that. Nothing was written.
package enum StoreFormatError: Error, Equatable, Sendable, CustomStringConvertible {
    case storeTooSmall(UInt64)
    case chunkSize(UInt32)
    case originSize(UInt64)

    package var description: String {
        switch self {
        case .storeTooSmall(let size):
            "a store of \(size) bytes is too small; give it at least \(StoreLayout.minimumStoreSize >> 20) MiB"
        case .chunkSize(let size):
            "a chunk size of \(size) bytes is impossible; choose a power of two from 4096 to 1048576"
        case .originSize(let size):
            "an origin of \(size) bytes is impossible; it must not be empty"
        }
    }
}

/// What never changes in a store: the format block, kept twice at its beginning.
package struct StoreFormat: Equatable, Sendable {
    package let store: Bits128
    package let geometry: StoreGeometry
    /// 256 in every store made by a person; tests make less.
    package let slotCount: Int

    /// A store that is to be made. `store` is a fresh random uuid.
    package init(
        store: Bits128, geometry: StoreGeometry, slotCount: Int = StoreLayout.slotCount
    ) throws(StoreFormatError) {
        guard geometry.hasPossibleChunkSize else { throw .chunkSize(geometry.chunkSize) }
        let isSmall = slotCount == StoreLayout.slotCount && geometry.storeSize < StoreLayout.minimumStoreSize
        guard !isSmall, geometry.windowCount >= 8, geometry.windowCount <= StoreLayout.windows else {
            throw .storeTooSmall(geometry.storeSize)
        }
        guard geometry.hasPossibleOriginSize else { throw .originSize(geometry.originSize) }
        precondition((1...StoreLayout.slotCount).contains(slotCount), "a store has 1 to 256 slots")
        self.store = store
        self.geometry = geometry
        self.slotCount = slotCount
    }

    /// The requests that make an empty store, in their order, for a device whose content may be lost.
    ///
    /// The old beginning goes first and the new one comes last: what a broken formatting leaves is no store at all.
    package func format() -> [StoreRequest] {
        let block = StoreLayout.blockSize
        let slots = (0..<slotCount).flatMap { slot in
            (0..<2).flatMap { Superblock.empty(of: self, slot: slot).encoded(copy: $0) }
        }
        return [
            .write(offset: 0, bytes: [UInt8](repeating: 0, count: 2 * block)), .flush,
            .write(offset: StoreLayout.slotsOffset, bytes: slots),
            .write(
                offset: StoreLayout.anchorsOffset,
                bytes: [UInt8](repeating: 0, count: slotCount * StoreAnchor.slotByteCount)), .flush,
            .write(offset: 0, bytes: encoded + encoded), .flush,
        ]
    }

    package func slot(of epoch: Epoch) -> Int { Int(epoch.value % UInt64(slotCount)) }

    package func offset(ofSlot slot: Int, copy: Int) -> UInt64 {
        StoreLayout.slotsOffset + UInt64((slot * 2 + copy) * StoreLayout.blockSize)
    }

    package var slotsByteCount: Int { slotCount * 2 * StoreLayout.blockSize }
}

/// What the first two blocks of a device say.
package enum StoreFormatReading: Equatable, Sendable {
    case store(StoreFormat)
    /// All zeros: never formatted.
    case blank
    /// Neither a store nor blank.
    case other
    /// A store of a format that this csnap does not know.
    case version(UInt32)
}

extension StoreFormat {
    /// "CSNAPST1" in the order of its bytes.
    private static let magic: UInt64 = 0x3154_5350_414E_5343

    var encoded: [UInt8] {
        var writer = ByteWriter(capacity: StoreLayout.blockSize)
        writer.fixed(Self.magic)
        writer.fixed(StoreLayout.version)
        writer.fixed(UInt32(slotCount))
        writer.value(store)
        geometry.encode(to: &writer)
        return SealedBlock.seal(writer)
    }

    /// Takes the first of the two copies that is whole.
    package static func read(_ bytes: [UInt8]) -> StoreFormatReading {
        let block = StoreLayout.blockSize
        var best = StoreFormatReading.other
        for start in [0, block] where bytes.count >= start + block {
            let reading = read(block: Array(bytes[start..<start + block]))
            if case .store = reading { return reading }
            if case .version = reading { best = reading }
        }
        if best == .other, bytes.allSatisfy({ $0 == 0 }) { return .blank }
        return best
    }

    private static func read(block: [UInt8]) -> StoreFormatReading {
        guard SealedBlock.isWhole(block) else { return .other }
        var reader = ByteReader(block)
        do throws(WireError) {
            guard try reader.fixed(UInt64.self) == magic else { return .other }
            let version = try reader.fixed(UInt32.self)
            guard version == StoreLayout.version else { return .version(version) }
            let slots = try reader.fixed(UInt32.self)
            guard (1...UInt32(StoreLayout.slotCount)).contains(slots) else { return .other }
            let store = try reader.value(Bits128.self)
            let geometry = try StoreGeometry(from: &reader)
            let format = try? StoreFormat(store: store, geometry: geometry, slotCount: Int(slots))
            return format.map { .store($0) } ?? .other
        } catch {
            return .other
        }
    }
}

/// A 4 KiB block that ends with its CRC-32C.
enum SealedBlock {
    static let contentSize = StoreLayout.blockSize - 4

    /// Zeros up to the checksum: room for what later versions add.
    static func seal(_ writer: ByteWriter) -> [UInt8] {
        precondition(writer.count <= contentSize, "a block's content is too long")
        var writer = writer
        writer.zeros(contentSize - writer.count)
        writer.fixed(Castagnoli.checksum(writer.bytes))
        return writer.bytes
    }

    static func isWhole(_ block: [UInt8]) -> Bool {
        guard block.count == StoreLayout.blockSize else { return false }
        let stored = block[contentSize...].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return Castagnoli.checksum(block, 0..<contentSize) == stored
    }
}
