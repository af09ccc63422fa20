import CsnapCore

/// What a check has met so far.
struct CheckWork {
    var report = CheckReport()
    /// Units that entries name, a bit each.
    var units: [UInt64]
    var nodes: NodeMap
    /// Something could not be read: what it reaches cannot be counted.
    var isPartial = false

    init(_ geometry: StoreGeometry) {
        units = [UInt64](repeating: 0, count: (geometry.windowCount * geometry.unitsPerWindow + 63) / 64)
        nodes = NodeMap(nodesPerWindow: geometry.nodesPerWindow)
    }

    mutating func found(_ problem: CheckProblem) { report.found(problem) }
}

extension SnapshotStore {
    /// Verifies everything at once, of a store that nobody changes meanwhile; `data`: the saved data as well.
    /// `progress` is told of entries done and of about how many there are.
    package mutating func check(
        data: Bool, progress: (UInt64, UInt64) -> Void = { _, _ in }
    ) throws(StoreError) -> CheckReport {
        var work = CheckWork(geometry)
        work.report.snapshots = state.snapshots.count
        if let damage {
            for problem in damage.problems { work.found(problem) }
            work.isPartial = !damage.journals.isEmpty || !damage.pages.isEmpty
        }
        try checkFormat(&work)
        if anchor.sequence > 0 {
            try checkAnchor(&work)
            try checkCatalog(&work)
        }
        if let pointer = tree.pointer {
            try checkNode(pointer, level: tree.level, first: nil, below: nil, &work)
        }
        try checkEntries(data: data, progress, &work)
        if !work.isPartial {
            checkNodeMap(&work)
            try checkSpace(&work)
        }
        return work.report
    }

    private mutating func checkFormat(_ work: inout CheckWork) throws(StoreError) {
        let block = StoreLayout.blockSize
        for copy in 0..<2 {
            let bytes = try readBytes(block, at: UInt64(copy * block))
            if StoreFormat.read(bytes) != .store(format) { work.found(.damagedNode(offset: UInt64(copy * block))) }
        }
    }

    /// Of the tenure that serves: in a dead one's a crash may have torn one copy.
    private mutating func checkAnchor(_ work: inout CheckWork) throws(StoreError) {
        guard tenure != .none else { return }
        for copy in 0..<2 {
            let offset = format.anchorOffset(of: anchor.tenure, copy: copy)
            let there = StoreAnchor(try readBytes(StoreLayout.blockSize, at: offset), format: format, copy: copy)
            if there == nil { work.found(.damagedNode(offset: offset)) }
        }
    }

    mutating func checkCatalog(_ work: inout CheckWork) throws(StoreError) {
        var next = anchor.catalog
        for offset in catalogPages {
            reach(offset, &work)
            guard let pointer = next, pointer.offset == offset else { continue }
            do throws(StoreError) {
                next = try page(pointer, .catalog).next
            } catch {
                try note(error, &work)
                next = nil
            }
        }
        for pointer in state.space.pointers {
            guard let pointer else { continue }
            reach(pointer.offset, &work)
            do throws(StoreError) { _ = try page(pointer, .space) } catch { try note(error, &work) }
        }
    }

    /// Damage is a finding; everything else ends the check.
    private func note(_ error: StoreError, _ work: inout CheckWork) throws(StoreError) {
        guard case .damaged(let offset) = error else { throw error }
        work.found(.damagedNode(offset: offset))
        work.isPartial = true
    }

    private func reach(_ offset: UInt64, _ work: inout CheckWork) {
        guard let (window, index) = geometry.node(at: offset) else { return }
        if !work.nodes.set(window, index, used: true) { work.found(.sharedPlace(offset: offset)) }
    }

    /// Whatever the cache knows of it.
    mutating func nodeFromDisk(_ pointer: NodePointer, level: UInt8) throws(StoreError) -> TreeNode {
        cache.remove(pointer)
        return try node(pointer, level: level)
    }

    private mutating func checkNode(
        _ pointer: NodePointer, level: UInt8, first: EntryKey?, below upper: EntryKey?, _ work: inout CheckWork
    ) throws(StoreError) {
        let read: TreeNode
        do throws(StoreError) {
            read = try nodeFromDisk(pointer, level: level)
        } catch {
            try note(error, &work)
            return
        }
        reach(pointer.offset, &work)
        work.report.nodes += 1
        for index in 0..<read.count {
            let key = read.key(index)
            let isOrdered = index == 0 ? first.map { $0 == key } ?? true : read.key(index - 1) < key
            if !isOrdered || upper.map({ key >= $0 }) ?? false {
                work.found(.impossibleEntry(chunk: key.chunk, end: key.holder))
                work.isPartial = true
                return
            }
        }
        guard level > 0 else { return }
        for index in 0..<read.count {
            let below = index + 1 < read.count ? read.key(index + 1) : upper
            try checkNode(read.entry(index).pointer, level: level - 1, first: read.key(index), below: below, &work)
        }
    }

    private mutating func checkEntries(
        data: Bool, _ progress: (UInt64, UInt64) -> Void, _ work: inout CheckWork
    ) throws(StoreError) {
        let total = savedChunks
        var before: EntryKey?
        for entry in try salvage().entries {
            work.report.entries += 1
            let isPossible = check(entry, after: before, &work.report)
            before = entry.key
            if isPossible, let unit = geometry.unit(at: entry.offset) {
                if work.units[Int(unit / 64)] >> (unit % 64) & 1 == 1 { work.found(.sharedPlace(offset: entry.offset)) }
                work.units[Int(unit / 64)] |= 1 << (unit % 64)
                if data, try !isWhole(entry) {
                    work.found(.damagedData(chunk: entry.key.chunk, end: entry.key.holder))
                }
            }
            if work.report.entries % 64 == 0 { progress(work.report.entries, max(total, work.report.entries)) }
        }
        progress(work.report.entries, work.report.entries)
    }

    /// About as many entries as there are.
    var savedChunks: UInt64 {
        state.windows.reduce(0) { $0 + ($1.kind == .data ? UInt64($1.used) : 0) }
    }

    /// False: it cannot be, so nothing more can be said of it.
    func check(_ entry: Entry, after before: EntryKey?, _ report: inout CheckReport) -> Bool {
        guard isPossible(entry) else {
            report.found(.impossibleEntry(chunk: entry.key.chunk, end: entry.key.holder))
            return false
        }
        if state.sweep == nil, !state.needs(entry.key, after: before) {
            report.found(.uselessEntry(chunk: entry.key.chunk, end: entry.key.holder))
        }
        return true
    }

    func isPossible(_ entry: Entry) -> Bool {
        guard entry.key.chunk < geometry.chunkCount(state.originSize), geometry.unit(at: entry.offset) != nil else {
            return false
        }
        if entry.key.branch == 0 { return entry.key.end > 0 && entry.key.end < state.generation }
        return entry.key.branch <= state.lastBranch && entry.key.write > 0 && entry.key.write <= state.lastWrite
    }

    /// Whether what lies there is what was saved; what cannot be read is not.
    mutating func isWhole(_ entry: Entry) throws(StoreError) -> Bool {
        do throws(BlockDeviceError) {
            let place = buffer.part(0..<Int(geometry.chunkSize))
            try device.read(into: place, at: entry.offset)
            return buffer.checksum(0..<Int(geometry.chunkSize)) == entry.checksum
        } catch {
            guard case .system = error else { throw .device(error) }
            return false
        }
    }

    private func checkNodeMap(_ work: inout CheckWork) {
        // What a running checkpoint has written is reached by the next anchor only.
        for offset in checkpoint?.allocated ?? [] { reach(offset, &work) }
        let windows = UInt32(geometry.windowCount)
        for window in 0..<windows {
            let count = state.nodes.count(in: window)
            if state.windows[Int(window)].kind == .nodes, Int(state.windows[Int(window)].used) != count {
                work.found(.wrongCount(window: window))
            }
            if state.nodes.map(of: window) == work.nodes.map(of: window) { continue }
            for index in 0..<geometry.nodesPerWindow {
                let offset = geometry.offset(ofWindow: window) + UInt64(index) * UInt64(geometry.nodeSize)
                switch (state.nodes.isUsed(window, index), work.nodes.isUsed(window, index)) {
                case (true, false): work.found(.lostPlace(offset: offset))
                case (false, true): work.found(.usedButFree(offset: offset))
                case (true, true), (false, false): break
                }
            }
        }
    }

    private mutating func checkSpace(_ work: inout CheckWork) throws(StoreError) {
        for window in state.windows.indices {
            var used: UInt32 = 0
            for index in 0..<geometry.unitsPerWindow {
                let unit = UInt64(window * geometry.unitsPerWindow + index)
                try loadSpace(of: unit)
                let isNamed = work.units[Int(unit / 64)] >> (unit % 64) & 1 == 1
                let isUsed = state.space.isUsed(unit)
                if isUsed { used += 1 }
                if isUsed, !isNamed { work.found(.lostPlace(offset: geometry.offset(ofUnit: unit))) }
                if !isUsed, isNamed { work.found(.usedButFree(offset: geometry.offset(ofUnit: unit))) }
            }
            let kind = state.windows[window].kind
            let counted = kind == .data ? state.windows[window].used : 0
            if counted != used { work.found(.wrongCount(window: UInt32(window))) }
        }
    }
}
