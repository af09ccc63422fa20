import CsnapCore
import Foundation

/// Places in the file of a snapshot store that nobody serves, found by their marks (docs/data-plane.md, "Format"; the
/// layouts are drawn where they are coded).
struct StoreFile {
    struct Missing: Error { var what: String }

    private let bytes: StoreBytes
    /// The newest anchor's first copy.
    private let anchor: Int

    init(_ path: String) throws {
        let bytes = StoreBytes(bytes: [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))))
        let anchors = bytes.blocks(3 << 20..<8 << 20) { bytes.hasMark("CSNAPAN1", $0) }
        let newest = anchors.max { left, right in
            let stamps = [left, right].map {
                (bytes.integer($0 + 32, 8), bytes.integer($0 + 40, 4), bytes.integer($0 + 88, 8))
            }
            return stamps[0] < stamps[1]
        }
        guard let newest else { throw Missing(what: "an anchor") }
        self.bytes = bytes
        anchor = newest / (2 * StoreBytes.block) * (2 * StoreBytes.block)
    }

    /// A checkpoint has written a tree of two levels, and its anchor counts.
    static func hasTree(_ path: String) -> Bool { (try? StoreFile(path).leaf) != nil }

    /// Adds `step` to the format's version in both copies of the format block, checksums included.
    static func changeVersion(_ path: String, by step: Int8) throws {
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        defer { try? file.close() }
        for copy in 0..<2 {
            let offset = UInt64(copy * StoreBytes.block)
            try file.seek(toOffset: offset)
            guard var block = try file.read(upToCount: StoreBytes.block).map({ [UInt8]($0) }),
                block.count == StoreBytes.block
            else { throw Missing(what: "a format block") }
            block[8] = UInt8(Int(block[8]) + Int(step))
            let end = StoreBytes.block - 4
            let checksum = Castagnoli.checksum(Array(block[..<end]))
            for index in 0..<4 { block[end + index] = UInt8(truncatingIfNeeded: checksum >> UInt32(8 * index)) }
            try file.seek(toOffset: offset)
            try file.write(contentsOf: block)
        }
    }

    var newestAnchor: [Int] { [anchor, anchor + StoreBytes.block] }

    /// Both copies of a slot that is not the newest tenure's.
    var olderSlot: [Int] {
        get throws {
            let epoch = bytes.integer(anchor + 32, 8)
            let slots = bytes.blocks(1 << 20..<3 << 20) {
                bytes.hasMark("CSNAPSB1", $0) && bytes.integer($0 + 12, 2) != epoch % 256
                    && bytes.integer($0 + 14, 2) == 0
            }
            guard let first = slots.first else { throw Missing(what: "another slot") }
            return [first, first + StoreBytes.block]
        }
    }

    var root: Int { bytes.integer(anchor + 96, 8) }

    /// The first child of a root that is no leaf.
    var leaf: Int {
        get throws {
            guard root > 0, bytes.integer(anchor + 108, 1) > 0 else { throw Missing(what: "a tree of two levels") }
            return bytes.integer(root + 32 + 20, 8)
        }
    }

    var catalog: Int { bytes.integer(anchor + 109, 8) }

    /// Pages of the space map, old ones too.
    var spacePages: [Int] {
        bytes.blocks(8 << 20..<bytes.count) { bytes.hasMark("CSPG", $0) && bytes.integer($0 + 28, 4) == 2 }
    }

    /// A group of the newest tenure's journal that others follow.
    var journalGroup: Int {
        get throws {
            let groups = bytes.blocks(8 << 20..<bytes.count) {
                bytes.hasMark("CSJG", $0 + 4) && bytes.integer($0 + 32, 8) == bytes.integer(anchor + 32, 8)
                    && bytes.integer($0 + 40, 4) == bytes.integer(anchor + 40, 4)
            }
            let last = groups.map { bytes.integer($0 + 44, 8) }.max() ?? 0
            guard let group = groups.first(where: { bytes.integer($0 + 44, 8) == last - 2 }) else {
                throw Missing(what: "a journal of some groups")
            }
            return group
        }
    }
}

private struct StoreBytes {
    static let block = 4096
    let bytes: [UInt8]
    var count: Int { bytes.count }

    func blocks(_ range: Range<Int>, where isMeant: (Int) -> Bool) -> [Int] {
        stride(from: range.lowerBound, to: range.upperBound, by: Self.block).filter(isMeant)
    }

    func hasMark(_ mark: String, _ offset: Int) -> Bool { bytes[offset...].starts(with: mark.utf8) }

    func integer(_ offset: Int, _ count: Int) -> Int {
        (0..<count).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
}
