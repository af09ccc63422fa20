/// Reads blocks back through one node's device and compares them.
package struct Verifier {
    package private(set) var bytesVerified: UInt64 = 0
    /// The first few blocks that were wrong.
    package private(set) var faults: [String] = []

    private static let maximumFaults = 20

    package init() {}

    /// Everything a node's load had acknowledged, but what its last unanswered write may have replaced.
    package mutating func verify(_ record: LoadRecord, of node: Int, on device: NBDClient) throws {
        let offsets = record.acknowledged.keys.filter { !record.uncertain.contains($0) }.sorted()
        var index = 0
        while index < offsets.count {
            var end = index + 1
            while end < offsets.count, end - index < 16, offsets[end] == offsets[end - 1] + UInt64(BlockPattern.size) {
                end += 1
            }
            let bytes = try device.read(offset: offsets[index], count: (end - index) * BlockPattern.size)
            for (place, offset) in offsets[index..<end].enumerated() {
                let start = place * BlockPattern.size
                let pattern = BlockPattern(
                    node: UInt32(node), sequence: record.acknowledged[offset] ?? 0, offset: offset)
                check(pattern, bytes[start..<start + BlockPattern.size])
            }
            index = end
        }
    }

    mutating func check(_ pattern: BlockPattern, _ block: ArraySlice<UInt8>) {
        if let fault = pattern.fault(in: block) {
            if faults.count < Verifier.maximumFaults { faults.append(fault) }
        } else {
            bytesVerified += UInt64(BlockPattern.size)
        }
    }
}
