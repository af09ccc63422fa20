/// A check of a store that serves: step by step, between the work for clients.
///
/// It sees all that could make an answer wrong: every node from the disk, every entry, all saved data. What only a
/// count of everything at one instant shows (places that are lost or shared) is for the check offline.
package struct OnlineCheck: Sendable {
    package internal(set) var report = CheckReport()
    /// Entries there are, about.
    package internal(set) var total: UInt64
    package internal(set) var isDone = false
    /// Data of one step in bytes.
    static let stepBytes = 512 << 10
    /// Entries of one step.
    static let stepEntries = 256
    /// Pages of the space map of one step.
    static let stepPages = 32

    /// The page of the space map that comes next; nil: the catalog does.
    var page: Int?

    /// The entry that comes next lies behind this one.
    var before: EntryKey?
    /// Nodes from the root down that were read from the disk for the present leaf.
    var path: [NodePointer] = []
}

extension SnapshotStore {
    package func beginOnlineCheck() -> OnlineCheck {
        var check = OnlineCheck(total: savedChunks)
        check.report.snapshots = state.snapshots.count
        return check
    }

    /// A few milliseconds of it; nothing is written.
    package mutating func step(_ check: inout OnlineCheck) throws(StoreError) {
        try expectAlive()
        guard let page = check.page, page >= state.space.pointers.count else { return try stepPages(&check) }
        let last = EntryKey(branch: .max, chunk: .max, end: .max)
        var bytes = 0
        for _ in 0..<OnlineCheck.stepEntries where bytes < OnlineCheck.stepBytes {
            let from = check.before?.successor ?? .first
            do throws(StoreError) {
                try readPath(to: from, &check)
                guard let entry = try entry(from: from, to: last) else {
                    check.isDone = true
                    return
                }
                try self.check(entry, &check)
                bytes += Int(geometry.chunkSize)
            } catch {
                guard case .damaged(let offset) = error else { throw error }
                check.report.found(.damagedNode(offset: offset))
                // Whatever lies below cannot be read: the offline check says what it was.
                check.isDone = true
                return
            }
        }
    }

    private mutating func stepPages(_ check: inout OnlineCheck) throws(StoreError) {
        guard let first = check.page else {
            check.page = 0
            var next = anchor.catalog
            while let pointer = next { next = try page(pointer, .catalog, &check)?.next }
            return
        }
        let end = min(first + OnlineCheck.stepPages, state.space.pointers.count)
        check.page = end
        for index in first..<end {
            guard let pointer = state.space.pointers[index], try page(pointer, .space, &check) != nil else { continue }
            if damagedPages.contains(index) { try lookAtPage(index) }
        }
    }

    /// Damage is a finding.
    private mutating func page(
        _ pointer: NodePointer, _ kind: MetaPage.Kind, _ check: inout OnlineCheck
    ) throws(StoreError) -> MetaPage? {
        do throws(StoreError) {
            return try page(pointer, kind)
        } catch {
            guard case .damaged(let offset) = error else { throw error }
            check.report.found(.damagedNode(offset: offset))
            return nil
        }
    }

    private mutating func check(_ entry: Entry, _ check: inout OnlineCheck) throws(StoreError) {
        let before = check.before
        check.before = entry.key
        check.report.entries += 1
        check.total = max(check.total, check.report.entries)
        guard self.check(entry, after: before, &check.report), let unit = geometry.unit(at: entry.offset) else {
            return
        }
        try loadSpace(of: unit)
        if !state.space.isUsed(unit) { check.report.found(.usedButFree(offset: entry.offset)) }
        if try !isWhole(entry) {
            check.report.found(.damagedData(chunk: entry.key.chunk, end: entry.key.holder))
        }
    }

    /// Reads the nodes from the root to the leaf of a key from the disk, those that the step before did not.
    private mutating func readPath(to key: EntryKey, _ check: inout OnlineCheck) throws(StoreError) {
        var path: [NodePointer] = []
        var next = tree.pointer
        var level = tree.level
        while let pointer = next {
            if !check.path.contains(pointer) {
                cache.remove(pointer)
                check.report.nodes += 1
            }
            let node = try node(pointer, level: level)
            path.append(pointer)
            guard level > 0 else { break }
            next = node.entry(node.child(of: key)).pointer
            level -= 1
        }
        check.path = path
    }
}
