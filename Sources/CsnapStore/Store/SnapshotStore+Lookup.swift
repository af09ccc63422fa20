import CsnapCore

extension SnapshotStore {
    /// The entry of the lowest key from `key` to `last`.
    mutating func entry(from key: EntryKey, to last: EntryKey) throws(StoreError) -> Entry? {
        var from = key
        var lowest = try treeEntry(from: from)
        while true {
            if let entry = lowest, entry.key < from { lowest = try treeEntry(from: from) }
            let upper = overlay.ceiling(from)
            let lower = checkpoint?.overlay.ceiling(from)
            var best = lowest.map { Overlay.Item(entry: $0, isRemoved: false) }
            // What lies above hides what lies below it under the same key.
            for item in [lower, upper] {
                if let item, best.map({ item.entry.key <= $0.entry.key }) ?? true { best = item }
            }
            guard let best, best.entry.key <= last else { return nil }
            if !best.isRemoved { return best.entry }
            from = best.entry.key.successor
        }
    }

    /// The entry of the lowest key not below this one, in the last checkpoint's tree.
    mutating func treeEntry(from key: EntryKey) throws(StoreError) -> Entry? {
        guard let pointer = tree.pointer else { return nil }
        lookedFrom = key
        return try treeEntry(from: key, in: pointer, level: tree.level)
    }

    private mutating func treeEntry(
        from key: EntryKey, in pointer: NodePointer, level: UInt8
    ) throws(StoreError) -> Entry? {
        let node = try node(pointer, level: level)
        if level == 0 {
            let position = node.position(of: key)
            return position < node.count ? node.entry(position) : nil
        }
        // No node is empty, so that the second child answers if the first does not.
        for child in node.child(of: key)..<node.count {
            let entry = try treeEntry(from: key, in: node.entry(child).pointer, level: level - 1)
            if let entry { return entry }
        }
        return nil
    }

    /// Whether the last look into the tree meets a node that cannot be read, and the key that the next one begins with.
    mutating func lastDamage() throws(StoreError) -> DamagedRange {
        guard let pointer = tree.pointer else { return .none }
        return try firstDamage(from: lookedFrom, in: pointer, level: tree.level, below: nil) ?? .none
    }

    /// Nil: all keys lie below that one.
    private mutating func firstDamage(
        from key: EntryKey, in pointer: NodePointer, level: UInt8, below upper: EntryKey?
    ) throws(StoreError) -> DamagedRange? {
        let node: TreeNode
        do throws(StoreError) { node = try self.node(pointer, level: level) } catch {
            guard case .damaged = error else { throw error }
            return upper.map { .upTo($0) } ?? .toTheEnd
        }
        if level == 0 { return node.position(of: key) < node.count ? DamagedRange.none : nil }
        for child in node.child(of: key)..<node.count {
            let next = child + 1 < node.count ? node.key(child + 1) : upper
            let found = try firstDamage(from: key, in: node.entry(child).pointer, level: level - 1, below: next)
            if let found { return found }
        }
        return nil
    }

    mutating func node(_ pointer: NodePointer, level: UInt8) throws(StoreError) -> TreeNode {
        if let node = cache[pointer], node.level == level { return node }
        damagedNode = DamagedNode(pointer: pointer, level: level)
        guard level <= TreeRoot.levelLimit else { throw .damaged(offset: pointer.offset) }
        let bytes = try nodeBytes(pointer)
        guard let node = TreeNode(bytes, pointer, level: level, store: format.store) else {
            throw .damaged(offset: pointer.offset)
        }
        damagedNode = nil
        cache.insert(node)
        return node
    }
}
