import CsnapCore
import CsnapSession

/// The chunks that no snapshot needs any more in one generation of one store: writes to them need no grant.
///
/// It stays valid across reconnects while (store uuid, generation) is unchanged (docs/data-plane.md). Memory is
/// taken in pages, for those parts of the origin only that were written.
struct UnsharedBitmap: Equatable, Sendable {
    private static let wordsPerPage = 512
    private static let chunksPerPage = UInt64(wordsPerPage * 64)

    let storeUUID: Bits128
    let generation: UInt64
    /// Bytes; a power of two.
    let chunkSize: UInt32
    let chunks: UInt64
    private var pages: [[UInt64]]

    /// Nil if the chunk size is none of a store: a power of two from 4 KiB to 1 MiB.
    init?(storeUUID: Bits128, generation: UInt64, chunkSize: UInt32, originSize: UInt64) {
        guard (4 << 10)...(1 << 20) ~= chunkSize, chunkSize.nonzeroBitCount == 1 else { return nil }
        self.storeUUID = storeUUID
        self.generation = generation
        self.chunkSize = chunkSize
        chunks = originSize / UInt64(chunkSize) + (originSize % UInt64(chunkSize) == 0 ? 0 : 1)
        let count = Int(chunks / Self.chunksPerPage) + 1
        pages = [[UInt64]](repeating: [], count: count)
    }

    /// The chunks that `length` bytes from `offset` touch; `length` is at least 1.
    func range(offset: UInt64, length: UInt64) -> ChunkRange {
        let size = UInt64(chunkSize)
        let first = offset / size
        let last = (offset + max(length, 1) - 1) / size
        return ChunkRange(first: first, count: UInt32(truncatingIfNeeded: last - first + 1))
    }

    /// The smallest range that holds all shared chunks of `range`; nil if it has none.
    func shared(in range: ChunkRange) -> ChunkRange? {
        var first: UInt64?
        var last: UInt64 = 0
        for chunk in range.first..<range.first + UInt64(range.count) where !contains(chunk) {
            if first == nil { first = chunk }
            last = chunk
        }
        guard let first else { return nil }
        return ChunkRange(first: first, count: UInt32(last - first + 1))
    }

    func contains(_ chunk: UInt64) -> Bool {
        guard chunk < chunks else { return false }
        let page = pages[Int(chunk / Self.chunksPerPage)]
        if page.isEmpty { return false }
        let bit = chunk % Self.chunksPerPage
        return page[Int(bit / 64)] & (1 << (bit % 64)) != 0
    }

    /// A grant of this generation came for the range; what lies beyond the origin is ignored.
    mutating func insert(_ range: ChunkRange) {
        guard range.first < chunks else { return }
        let end = range.first + min(UInt64(range.count), chunks - range.first)
        for chunk in range.first..<end {
            let page = Int(chunk / Self.chunksPerPage)
            if pages[page].isEmpty { pages[page] = [UInt64](repeating: 0, count: Self.wordsPerPage) }
            let bit = chunk % Self.chunksPerPage
            pages[page][Int(bit / 64)] |= 1 << (bit % 64)
        }
    }
}
