import CsnapCore
import CsnapSession
import Synchronization

/// The chunks that no snapshot needs any more in one generation of one store: writes to them need no grant.
///
/// It stays valid across reconnects while (store uuid, generation) is unchanged (docs/data-plane.md). Copies share
/// their bits, which are read without a lock and only ever set. Memory is resident only where the origin was written.
struct UnsharedBitmap: Equatable, Sendable {
    let storeUUID: Bits128
    let generation: UInt64
    /// Bytes; a power of two.
    let chunkSize: UInt32
    let bits: ChunkBits
    /// Owns what `bits` points to.
    let memory: AlignedBuffer

    var chunks: UInt64 { bits.chunks }

    /// Nil if the chunk size is none of a store (a power of two from 4 KiB to 1 MiB), or the memory cannot be had.
    init?(storeUUID: Bits128, generation: UInt64, chunkSize: UInt32, originSize: UInt64) {
        guard (4 << 10)...(1 << 20) ~= chunkSize, chunkSize.nonzeroBitCount == 1 else { return nil }
        let chunks = originSize / UInt64(chunkSize) + (originSize % UInt64(chunkSize) == 0 ? 0 : 1)
        guard let memory = try? AlignedBuffer(size: (Int(chunks / 64) + 1) * 8),
            let words = memory.bytes.baseAddress?.bindMemory(to: Atomic<UInt64>.self, capacity: Int(chunks / 64) + 1)
        else { return nil }
        self.storeUUID = storeUUID
        self.generation = generation
        self.chunkSize = chunkSize
        self.memory = memory
        bits = ChunkBits(words: words, chunkShift: chunkSize.trailingZeroBitCount, chunks: chunks)
    }

    static func == (left: UnsharedBitmap, right: UnsharedBitmap) -> Bool { left.memory === right.memory }

    func range(offset: UInt64, length: UInt64) -> ChunkRange { bits.range(offset: offset, length: length) }

    func shared(in range: ChunkRange) -> ChunkRange? { bits.shared(in: range) }

    func contains(_ chunk: UInt64) -> Bool { bits.contains(chunk) }

    /// A grant of this generation came for the range; what lies beyond the origin is ignored.
    mutating func insert(_ range: ChunkRange) { bits.insert(range) }

    /// For mutants: what another generation knew.
    mutating func insert(allOf other: UnsharedBitmap) {
        for chunk in 0..<other.chunks where other.contains(chunk) { insert(ChunkRange(first: chunk, count: 1)) }
    }
}

/// One bit for each chunk, in memory that somebody else keeps.
///
/// `@unchecked Sendable` is safe: the words are atomic, and whoever uses it holds on to their memory.
struct ChunkBits: Equatable, @unchecked Sendable {
    /// All zeroes at first: `Atomic<UInt64>` has the representation of its value.
    let words: UnsafeMutablePointer<Atomic<UInt64>>
    let chunkShift: Int
    let chunks: UInt64

    static func == (left: ChunkBits, right: ChunkBits) -> Bool { left.words == right.words }

    /// The chunks that `length` bytes from `offset` touch; `length` is at least 1.
    func range(offset: UInt64, length: UInt64) -> ChunkRange {
        let first = offset >> UInt64(chunkShift)
        let last = (offset + max(length, 1) - 1) >> UInt64(chunkShift)
        return ChunkRange(first: first, count: UInt32(truncatingIfNeeded: last - first + 1))
    }

    /// The smallest range that holds all chunks of `range` whose bit is not set; nil if it has none.
    func shared(in range: ChunkRange) -> ChunkRange? {
        var first: UInt64?
        var last: UInt64 = 0
        if SessionMutants.active(.oneGrantedChunkIsEnough), contains(range.first) { return nil }
        for chunk in range.first..<range.first + UInt64(range.count) where !contains(chunk) {
            if first == nil { first = chunk }
            last = chunk
        }
        guard let first else { return nil }
        return ChunkRange(first: first, count: UInt32(last - first + 1))
    }

    func contains(_ chunk: UInt64) -> Bool {
        guard chunk < chunks else { return false }
        // Acquire, paired with the release of `insert`: who sees the bit sees what came before the grant.
        return words[Int(chunk / 64)].load(ordering: .acquiring) & 1 << (chunk % 64) != 0
    }

    func insert(_ range: ChunkRange) {
        guard range.first < chunks else { return }
        let end = range.first + min(UInt64(range.count), chunks - range.first)
        for chunk in range.first..<end {
            words[Int(chunk / 64)].bitwiseOr(1 << (chunk % 64), ordering: .releasing)
        }
    }
}
