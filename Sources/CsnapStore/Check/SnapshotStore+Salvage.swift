/// Entries that can be read, and where some may be missing.
struct Salvage: Sendable {
    var entries: [Entry] = []
    /// Keys whose leaf cannot be read: from the first up to, not including, the second (none: to the end).
    var lost: [(from: EntryKey, below: EntryKey?)] = []
}

extension SnapshotStore {
    /// Every entry, in order, past nodes that are damaged.
    mutating func salvage() throws(StoreError) -> Salvage {
        var old = Salvage()
        if let pointer = tree.pointer { try walk(pointer, level: tree.level, from: .first, below: nil, &old) }
        let items = Overlay.merged(checkpoint?.overlay, overlay)
        var result = Salvage(lost: old.lost)
        result.entries.reserveCapacity(old.entries.count + items.count)
        var next = 0
        for item in items {
            while next < old.entries.count, old.entries[next].key < item.entry.key {
                result.entries.append(old.entries[next])
                next += 1
            }
            if next < old.entries.count, old.entries[next].key == item.entry.key { next += 1 }
            if !item.isRemoved { result.entries.append(item.entry) }
        }
        result.entries += old.entries[next...]
        return result
    }

    private mutating func walk(
        _ pointer: NodePointer, level: UInt8, from: EntryKey, below: EntryKey?, _ salvage: inout Salvage
    ) throws(StoreError) {
        let read: TreeNode
        do throws(StoreError) {
            read = try nodeFromDisk(pointer, level: level)
        } catch {
            guard case .damaged = error else { throw error }
            salvage.lost.append((from, below))
            return
        }
        if level == 0 {
            // Out of order it would not be found; a check says so by the node's walk.
            salvage.entries += read.entries.filter { entry in
                entry.key >= from && below.map { entry.key < $0 } ?? true
            }
            return
        }
        for index in 0..<read.count {
            let first = index == 0 ? from : read.key(index)
            let end = index + 1 < read.count ? read.key(index + 1) : below
            try walk(read.entry(index).pointer, level: level - 1, from: first, below: end, &salvage)
        }
    }
}

extension Overlay {
    /// All items of both, in order; the upper one hides the lower.
    static func merged(_ lower: Overlay?, _ upper: Overlay) -> [Item] {
        guard let lower else { return upper.items }
        var merged = lower
        for item in upper.items { merged.set(item) }
        return merged.items
    }
}
