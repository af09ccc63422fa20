/// What a check found. Nothing in `problems`: the store is what it says.
package struct CheckReport: Equatable, Sendable {
    package var entries: UInt64 = 0
    package var nodes: UInt64 = 0
    package var snapshots = 0
    /// At most `problemLimit`, in the order found.
    package var problems: [CheckProblem] = []
    /// There are more than `problems` says.
    package var hasMore = false

    package static let problemLimit = 100

    package init() {}

    mutating func found(_ problem: CheckProblem) {
        if problems.count < Self.problemLimit { problems.append(problem) } else { hasMore = true }
    }
}

package enum CheckProblem: Equatable, Sendable {
    /// A tree node, catalog page, space page, anchor or format block is not what its parent says.
    case damagedNode(offset: UInt64)
    /// Both copies of a slot are damaged.
    case damagedSlot(Int)
    /// Groups of a tenure's journal are gone, from this one on.
    case damagedJournal(epoch: UInt64, group: UInt64)
    /// Entries out of order, outside their parent's range, or of impossible content. `end` here and below: the newest
    /// snapshot that the entry holds for, or the branch.
    case impossibleEntry(chunk: UInt64, end: UInt64)
    /// Saved data is not what was saved.
    case damagedData(chunk: UInt64, end: UInt64)
    /// No snapshot needs this entry, and no sweep is under way.
    case uselessEntry(chunk: UInt64, end: UInt64)
    /// Two entries share one place.
    case sharedPlace(offset: UInt64)
    /// An entry's place counts as free.
    case usedButFree(offset: UInt64)
    /// A place counts as used, but no entry names it.
    case lostPlace(offset: UInt64)
    /// A counter disagrees with what it counts.
    case wrongCount(window: UInt32)
}

extension CheckProblem {
    /// Stable; explained in docs/troubleshooting.md.
    package var code: String {
        switch self {
        case .damagedNode: "damagedNode"
        case .damagedSlot: "damagedSlot"
        case .damagedJournal: "damagedJournal"
        case .impossibleEntry: "impossibleEntry"
        case .damagedData: "damagedData"
        case .uselessEntry: "uselessEntry"
        case .sharedPlace: "sharedPlace"
        case .usedButFree: "usedButFree"
        case .lostPlace: "lostPlace"
        case .wrongCount: "wrongCount"
        }
    }

    package var sentence: String {
        switch self {
        case .damagedNode(let offset): "the block at byte \(offset) is not what was written there"
        case .damagedSlot(let slot): "both copies of slot \(slot) are damaged"
        case .damagedJournal(let epoch, let group): "the journal of epoch \(epoch) is destroyed from group \(group) on"
        case .impossibleEntry(let chunk, let end): "the entry of chunk \(chunk) \(Self.holder(end)) cannot be"
        case .damagedData(let chunk, let end): "chunk \(chunk), saved \(Self.holder(end)), is not what was saved"
        case .uselessEntry(let chunk, let end): "chunk \(chunk) is kept \(Self.holder(end)), and nobody needs it"
        case .sharedPlace(let offset): "two entries share the place at byte \(offset)"
        case .usedButFree(let offset): "the place at byte \(offset) is in use, and counts as free"
        case .lostPlace(let offset): "the place at byte \(offset) counts as used, and nothing names it"
        case .wrongCount(let window): "window \(window) counts wrongly what is used in it"
        }
    }

    private static func holder(_ end: UInt64) -> String {
        if let branch = SnapshotNumber(end).branch { return "for branch \(branch)" }
        return "for snapshots up to \(end)"
    }

    /// Answers may be wrong because of it; the others only waste space.
    package var isHarmful: Bool {
        switch self {
        case .uselessEntry, .lostPlace, .wrongCount: false
        case .damagedNode, .damagedSlot, .damagedJournal, .impossibleEntry, .damagedData, .sharedPlace, .usedButFree:
            true
        }
    }
}
