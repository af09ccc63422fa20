import Glibc

/// The content of one verified block: who wrote it, where, the how-manieth, filler that depends on all of that, and a
/// checksum. A lost, stale, misdirected or torn block differs from what is expected.
package struct BlockPattern: Equatable, Sendable {
    package static let size = 4096

    private static let magic: UInt64 = 0x6373_6e61_705f_7362
    /// FNV-1a, a word at a time.
    private static let emptySum: UInt64 = 0xcbf2_9ce4_8422_2325
    private static let prime: UInt64 = 0x0000_0100_0000_01b3

    package var node: UInt32
    package var sequence: UInt64
    package var offset: UInt64

    package init(node: UInt32, sequence: UInt64, offset: UInt64) {
        self.node = node
        self.sequence = sequence
        self.offset = offset
    }

    package var bytes: [UInt8] {
        // One plain loop over one buffer: a debug build must not take the processor away from what is tested.
        [UInt8](unsafeUninitializedCapacity: BlockPattern.size) { buffer, count in
            buffer.withMemoryRebound(to: UInt64.self) { words in
                guard let words = words.baseAddress else { return }
                let prime = BlockPattern.prime
                var state = UInt64(node) << 48 ^ sequence &* 0x9E37_79B9_7F4A_7C15 ^ offset
                var sum = BlockPattern.emptySum
                var index = 0
                while index < BlockPattern.size / 8 - 1 {
                    var word: UInt64
                    switch index {
                    case 0: word = BlockPattern.magic
                    case 1: word = UInt64(node)
                    case 2: word = sequence
                    case 3: word = offset
                    default:
                        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                        word = state ^ state >> 29
                    }
                    words[index] = word.littleEndian
                    sum = (sum ^ word) &* prime
                    index += 1
                }
                words[index] = sum.littleEndian
            }
            count = BlockPattern.size
        }
    }

    /// What is wrong with a block that was read; nil if nothing.
    package func fault(in block: ArraySlice<UInt8>) -> String? {
        let isRight = block.withUnsafeBytes { found in
            bytes.withUnsafeBytes { wanted in
                guard let left = found.baseAddress, let right = wanted.baseAddress else { return false }
                return found.count == wanted.count && memcmp(left, right, wanted.count) == 0
            }
        }
        guard !isRight else { return nil }
        let words = stride(from: block.startIndex, to: block.endIndex - 7, by: 8).map { index in
            (0..<8).reduce(UInt64(0)) { $0 | UInt64(block[index + $1]) << UInt64($1 * 8) }
        }
        let wanted = "offset \(offset): wanted block \(sequence) of node \(node)"
        guard words.count == BlockPattern.size / 8 else { return "\(wanted), got \(block.count) bytes" }
        if words.allSatisfy({ $0 == 0 }) { return "\(wanted), got zeroes" }
        guard words[0] == BlockPattern.magic, words.last == BlockPattern.checksum(words.dropLast()) else {
            return "\(wanted), got damaged bytes"
        }
        return "\(wanted), got block \(words[2]) of node \(words[1]) for offset \(words[3])"
    }

    private static func checksum(_ words: some Sequence<UInt64>) -> UInt64 {
        words.reduce(emptySum) { ($0 ^ $1) &* prime }
    }
}
