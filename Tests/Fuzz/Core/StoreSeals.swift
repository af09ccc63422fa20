import CsnapCore
import CsnapStore
import CsnapStoreSimulation

/// The checksums of a store, and where each of them stands: at its block's end, at its group's beginning, or in what
/// points to its node or page, or follows its group. So they can be made right again after any change.
struct StoreSeals {
    /// A node, a page, or a group of the journal.
    private struct Part {
        let start: Int
        let length: Int
        /// Of a group: it stands in its first four bytes.
        let isGroup: Bool
        let checksum: UInt32
        /// Offsets at which its checksum stands elsewhere.
        var references: [Int] = []
    }

    private static let block = StoreLayout.blockSize
    private var parts: [Part] = []

    /// `blocks`: offsets of all that are not zeros.
    init(_ image: DiskImage, _ blocks: [Int], nodeSize: Int) {
        for start in blocks where start >= Int(StoreLayout.dataOffset) {
            let content = image.bytes(min(Self.block, image.size - start), at: start)
            if Self.little32(content, 4) == 0x474A_5343 {
                let length = Int(Self.little32(content, 8))
                let checksum = Castagnoli.checksum(image.bytes(length - 4, at: start + 4))
                if checksum == Self.little32(content, 0) {
                    parts.append(Part(start: start, length: length, isGroup: true, checksum: checksum))
                }
                continue
            }
            for offset in stride(from: 0, to: content.count, by: nodeSize) {
                guard [0x4E54_5343, 0x4750_5343].contains(Self.little32(content, offset)) else { continue }
                let checksum = Castagnoli.checksum(content, offset..<offset + nodeSize)
                parts.append(Part(start: start + offset, length: nodeSize, isGroup: false, checksum: checksum))
            }
        }
        let numbers = Dictionary(grouping: parts.indices) { parts[$0].checksum }
        for start in blocks {
            let content = image.bytes(min(Self.block, image.size - start), at: start)
            for offset in 0..<content.count - 3 {
                let named = numbers[Self.little32(content, offset)] ?? []
                for number in named where parts[number].start != start + offset {
                    parts[number].references.append(start + offset)
                }
            }
        }
    }

    /// Makes right what stands over changed bytes, and what stands over that.
    func mend(_ image: inout DiskImage, at changed: [Int]) {
        var places = changed
        while let place = places.popLast() {
            if place < Int(StoreLayout.dataOffset) {
                let start = place / Self.block * Self.block
                let checksum = Castagnoli.checksum(image.bytes(Self.block - 4, at: start))
                put(checksum, in: &image, at: start + Self.block - 4)
            } else if let part = parts.first(where: { $0.start <= place && place < $0.start + $0.length }) {
                let checksum = seal(part, in: &image)
                for reference in part.references where Self.little32(image.bytes(4, at: reference), 0) != checksum {
                    put(checksum, in: &image, at: reference)
                    places.append(reference)
                }
            }
        }
    }

    private func seal(_ part: Part, in image: inout DiskImage) -> UInt32 {
        guard part.isGroup else { return Castagnoli.checksum(image.bytes(part.length, at: part.start)) }
        // Its length may be what was changed.
        let length = Int(Self.little32(image.bytes(4, at: part.start + 8), 0))
        let isPossible = length > 4 && length <= 4 * Self.block && part.start + length <= image.size
        let end = part.start + (isPossible ? length : part.length)
        let checksum = Castagnoli.checksum(image.bytes(end - part.start - 4, at: part.start + 4))
        put(checksum, in: &image, at: part.start)
        return checksum
    }

    private func put(_ checksum: UInt32, in image: inout DiskImage, at offset: Int) {
        withUnsafeBytes(of: checksum.littleEndian) { image.write($0, at: offset) }
    }

    private static func little32(_ bytes: [UInt8], _ start: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[start + $1]) << (8 * UInt32($1)) }
    }
}
