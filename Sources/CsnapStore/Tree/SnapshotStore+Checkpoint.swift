import CsnapCore

extension SnapshotStore {
    mutating func beginCheckpoint() {
        precondition(checkpoint == nil, "one checkpoint at a time")
        checkpoint = Checkpoint(
            overlay: overlay, state: state, piece: journal.pieceFromHere, bytes: journal.liveBytes)
        overlay = Overlay()
        if StoreMutants.active(.journalFreedBeforeAnchor) { freePassedJournals(needed: journal.pieceFromHere.windows) }
        // What changes from now on is for the next one.
        for page in state.space.pages.indices { state.space.clearChanged(page) }
    }

    /// Something has changed since the last one could not be made.
    var mayCheckpoint: Bool {
        guard let vain, !StoreMutants.active(.vainCheckpoints) else { return true }
        // More room does not help against damage.
        if vain.damage != nil, !StoreMutants.active(.roomAgainstDamage) { return false }
        return nodePlaces > vain.places || journal.window != vain.window
    }

    /// Something could not be read, in the way of a checkpoint or of the space map: writers wait for it, or fail.
    package var hasDamage: Bool { !isEnded && (vain?.damage != nil || !damagedPages.isEmpty) }

    /// It may have been unreadable for a moment. Call it now and then as long as there is some: a bad disk may take
    /// long for each look.
    package mutating func lookAtDamage() throws(StoreError) {
        try expectAlive()
        if StoreMutants.active(.damageRemembered) { return }
        var seen: StoreError?
        if let damage = vain?.damage {
            do throws(StoreError) {
                _ = try node(damage.pointer, level: damage.level)
                vain = nil
            } catch {
                if error.isFatal { throw error }
                seen = error
            }
        }
        // If it still cannot be read it comes last.
        if let page = damagedPages.first { try lookAtPage(page) }
        if let seen { throw seen }
    }

    /// Of the space map.
    mutating func lookAtPage(_ index: Int) throws(StoreError) {
        damagedPages.removeAll { $0 == index }
        try loadSpace(of: UInt64(index) * UInt64(state.space.unitsPerPage))
        if leftUnderPages == .unreadable, !StoreMutants.active(.leftUnderPage) { leftUnderPages = .readable }
    }

    /// All of a checkpoint in one call: before a planned end, and in tests.
    package mutating func checkpointNow() throws(StoreError) {
        if checkpoint == nil { beginCheckpoint() }
        while checkpoint != nil { try stepCheckpoint() }
    }

    /// A few nodes at most. Without room for them the checkpoint is given up: nothing has changed.
    mutating func stepCheckpoint() throws(StoreError) {
        guard var work = checkpoint.take() else { return }
        do throws(StoreError) {
            try step(&work)
            checkpoint = work.phase == .done ? nil : work
            if checkpoint == nil { vain = nil }
        } catch {
            checkpoint = work
            if error.isFatal { throw error }
            abandonCheckpoint()
            if error == .full || !StoreMutants.active(.damageTriedAgain) {
                let damage = error == .full ? nil : damagedNode
                vain = VainCheckpoint(places: nodePlaces, window: journal.window, error: error, damage: damage)
            }
            // To sweep may make room.
            if error == .full { isShort = true }
            throw error
        }
    }

    private mutating func abandonCheckpoint() {
        guard let work = checkpoint.take() else { return }
        var merged = work.overlay
        for item in overlay.items { merged.set(item) }
        overlay = merged
        for offset in work.allocated.reversed() {
            setNode(offset, used: false)
            if geometry.node(at: offset)?.window == state.open.nodes { freeNodes.append(offset) }
        }
        for page in work.state.space.isChanged.indices where work.state.space.isChanged[page] {
            state.space.markChanged(page)
        }
    }

    private mutating func step(_ work: inout Checkpoint) throws(StoreError) {
        switch work.phase {
        case .begin: try beginMerge(&work)
        case .merging: try stepMerge(&work)
        case .space(let page): try writeSpace(page, &work)
        case .anchor: try finish(&work)
        case .done: break
        }
    }

    // MARK: - The tree

    private mutating func beginMerge(_ work: inout Checkpoint) throws(StoreError) {
        guard let pointer = tree.pointer, !work.items.isEmpty else {
            if work.items.isEmpty {
                work.root = tree
                work.phase = .space(0)
            } else {
                try finishTree(work.merged([], below: nil), level: 0, &work)
            }
            return
        }
        if tree.level == 0 {
            let old = try node(pointer, level: 0).entries
            try finishTree(work.merged(old, below: nil), level: 0, &work)
        } else {
            try push(pointer, level: tree.level, upper: nil, &work)
            work.phase = .merging
        }
        free(pointer, &work)
    }

    private mutating func push(
        _ pointer: NodePointer, level: UInt8, upper: EntryKey?, _ work: inout Checkpoint
    ) throws(StoreError) {
        work.frames.append(
            Checkpoint.Frame(level: level, children: try node(pointer, level: level).entries, upper: upper))
    }

    /// One child of the innermost frame.
    private mutating func stepMerge(_ work: inout Checkpoint) throws(StoreError) {
        guard var frame = work.frames.popLast() else { preconditionFailure("a merge without frames") }
        guard frame.next < frame.children.count else {
            frame.content += try write(frame.pending, level: frame.level - 1, &work)
            guard var parent = work.frames.popLast() else {
                try finishTree(frame.content, level: frame.level, &work)
                return
            }
            parent.pending += frame.content
            try writeFull(&parent, &work)
            work.frames.append(parent)
            return
        }
        let child = frame.children[frame.next]
        let upper = frame.next + 1 < frame.children.count ? frame.children[frame.next + 1].key : frame.upper
        frame.next += 1
        if work.hasItem(below: upper) {
            free(child.pointer, &work)
            if frame.level > 1 {
                let level = frame.level - 1
                work.frames.append(frame)
                try push(child.pointer, level: level, upper: upper, &work)
                return
            }
            frame.pending += work.merged(try node(child.pointer, level: 0).entries, below: upper)
        } else if !frame.pending.isEmpty, frame.pending.count < nodeCapacity / 4 {
            // Too little for a node of its own: its neighbour joins it, if it can be read.
            do throws(StoreError) {
                frame.pending += try node(child.pointer, level: frame.level - 1).entries
                free(child.pointer, &work)
            } catch {
                if error.isFatal || StoreMutants.active(.damagedNeighbourStops) { throw error }
                try keep(child, &frame, &work)
            }
        } else {
            try keep(child, &frame, &work)
        }
        try writeFull(&frame, &work)
        work.frames.append(frame)
    }

    /// A child as it is, behind what is pending before it.
    private mutating func keep(
        _ child: Entry, _ frame: inout Checkpoint.Frame, _ work: inout Checkpoint
    ) throws(StoreError) {
        frame.content += try write(frame.pending, level: frame.level - 1, &work)
        frame.pending = []
        frame.content.append(child)
    }

    private var nodeCapacity: Int { TreeNode.capacity(Int(geometry.nodeSize)) }

    /// Keeps what is pending below two nodes.
    private mutating func writeFull(_ frame: inout Checkpoint.Frame, _ work: inout Checkpoint) throws(StoreError) {
        let part = max(2, nodeCapacity * 7 / 8)
        var start = 0
        while frame.pending.count - start >= 2 * nodeCapacity {
            frame.content += try write(Array(frame.pending[start..<start + part]), level: frame.level - 1, &work)
            start += part
        }
        frame.pending.removeFirst(start)
    }

    private mutating func finishTree(
        _ content: [Entry], level: UInt8, _ work: inout Checkpoint
    ) throws(StoreError) {
        var content = content
        var level = level
        while content.count > nodeCapacity {
            content = try write(content, level: level, &work)
            level += 1
        }
        if level > 0, content.count == 1 {
            work.root = TreeRoot(pointer: content[0].pointer, level: level - 1)
        } else if let root = try write(content, level: level, &work).first {
            work.root = TreeRoot(pointer: root.pointer, level: level)
        } else {
            work.root = TreeRoot()
        }
        work.phase = .space(0)
    }

    /// As many nodes as these entries need, evenly filled; their cells for the level above.
    private mutating func write(
        _ entries: [Entry], level: UInt8, _ work: inout Checkpoint
    ) throws(StoreError) -> [Entry] {
        let capacity = nodeCapacity
        let part = max(2, capacity * 7 / 8)
        let count = entries.count <= capacity ? min(entries.count, 1) : (entries.count + part - 1) / part
        var cells: [Entry] = []
        for index in 0..<count {
            let slice = entries[entries.count * index / count..<entries.count * (index + 1) / count]
            let offset = try allocate(&work)
            let bytes = TreeNode.encode(
                slice, level: level, offset: offset, store: format.store, nodeSize: Int(geometry.nodeSize))
            let pointer = try write(bytes, offset)
            if let node = TreeNode(bytes, pointer, level: level, store: format.store) { cache.insert(node) }
            cells.append(Entry(key: slice[slice.startIndex].key, offset: offset, checksum: pointer.checksum))
        }
        return cells
    }

    private mutating func allocate(_ work: inout Checkpoint) throws(StoreError) -> UInt64 {
        let offset = try allocateNode()
        work.allocated.append(offset)
        return offset
    }

    private mutating func write(_ bytes: [UInt8], _ offset: UInt64) throws(StoreError) -> NodePointer {
        try write(bytes, at: offset)
        return NodePointer(offset: offset, checksum: Castagnoli.checksum(bytes))
    }

    private mutating func free(_ pointer: NodePointer, _ work: inout Checkpoint) {
        if StoreMutants.active(.reuseBeforeAnchor) {
            setNode(pointer.offset, used: false)
            freeNodes.append(pointer.offset)
        } else {
            work.freed.append(pointer.offset)
        }
    }

    // MARK: - Space map, catalog, anchor

    private mutating func writeSpace(_ first: Int, _ work: inout Checkpoint) throws(StoreError) {
        let changed = work.state.space.isChanged.indices.dropFirst(first).first { work.state.space.isChanged[$0] }
        guard let page = changed, let words = work.state.space.pages[page] else {
            work.phase = .anchor
            return
        }
        var payload = ByteWriter(capacity: words.count * 8)
        for word in words { payload.fixed(word) }
        let offset = try allocate(&work)
        let bytes = MetaPage(kind: .space, payload: payload.bytes, next: nil)
            .encoded(at: offset, pageSize: Int(geometry.nodeSize))
        if let old = work.state.space.pointers[page] { free(old, &work) }
        work.state.space.written(page, try write(bytes, offset))
        work.phase = .space(page + 1)
    }

    private mutating func finish(_ work: inout Checkpoint) throws(StoreError) {
        let (catalog, length) = try writeCatalog(&work)
        if !StoreMutants.active(.anchorBeforeNodes) { try flush() }
        anchor = StoreAnchor(
            store: format.store, tenure: tenure, owner: owner, sequence: anchor.sequence + 1,
            root: work.root.pointer, rootLevel: work.root.level, catalog: catalog, catalogLength: UInt32(length),
            openWindows: work.state.open, pieces: [work.piece], quarantine: state.quarantine)
        try writeAnchor()
        try expectNotSurpassed()
        tree = work.root
        catalogPages = work.catalogPages
        for page in work.state.space.pointers.indices {
            if let pointer = work.state.space.pointers[page] { state.space.written(page, pointer) }
        }
        for offset in work.freed { setNode(offset, used: false) }
        journal.begin(at: work.piece, bytes: work.bytes)
        freePassedJournals(needed: journal.piece.windows)
        work.phase = .done
    }

    /// The last page first, so that each can name the next.
    private mutating func writeCatalog(_ work: inout Checkpoint) throws(StoreError) -> (NodePointer, Int) {
        for offset in catalogPages { free(NodePointer(offset: offset, checksum: 0), &work) }
        let room = Int(geometry.nodeSize) - MetaPage.headerSize
        var bytes = StoreCatalog.encode(work.state, nodes: nodesAfter(work))
        // The places of the catalog are in the catalog; to take one more may make it longer.
        while work.catalogPages.count * room < bytes.count {
            work.catalogPages.append(try allocate(&work))
            bytes = StoreCatalog.encode(work.state, nodes: nodesAfter(work))
        }
        var next: NodePointer?
        for index in work.catalogPages.indices.reversed() {
            let payload = Array(bytes[min(index * room, bytes.count)..<min((index + 1) * room, bytes.count)])
            let page = MetaPage(kind: .catalog, payload: payload, next: next)
            let offset = work.catalogPages[index]
            next = try write(page.encoded(at: offset, pageSize: Int(geometry.nodeSize)), offset)
        }
        guard let next else { preconditionFailure("a catalog has a page") }
        return (next, bytes.count)
    }

    /// The nodes that the new anchor reaches.
    private func nodesAfter(_ work: Checkpoint) -> NodeMap {
        var nodes = state.nodes
        for offset in work.freed {
            if let (window, index) = geometry.node(at: offset) { _ = nodes.set(window, index, used: false) }
        }
        return nodes
    }
}
