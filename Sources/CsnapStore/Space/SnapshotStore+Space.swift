import CsnapCore

extension SnapshotStore {
    /// Windows kept for takeovers and deletion.
    var reserve: Int {
        let count = geometry.windowCount
        return count < 64 ? max(2, count / 8) : max(8, count / 100)
    }

    /// The last of these: no journal grows into them by what could wait as well. Checkpoints need them, and what frees
    /// space, admits or clears writers.
    var lastReserve: Int { reserve / 2 }

    /// Nobody uses it, nobody may be writing there.
    private func isFree(_ index: Int) -> Bool {
        state.windows[index].used == 0 && isSettled(index)
    }

    /// No tenure writes there.
    private func isSettled(_ index: Int) -> Bool {
        !state.open.contains(UInt32(index)) && !state.isQuarantined(UInt32(index))
    }

    /// The window to open next: a free one, if then at least `kept` are left, or the sealed one of this kind with the
    /// most room. Nil: none. `besides` is being opened just now. `isReadable`: for data only one whose part of the
    /// space map may be read.
    func pick(
        _ kind: WindowKind, besides: UInt32? = nil, leaving kept: Int = 0, isReadable: Bool = true
    ) -> UInt32? {
        let mayBeBarred = kind == .data && isReadable && !damagedPages.isEmpty
        let free = state.windows.indices.filter {
            isFree($0) && UInt32($0) != besides && !(mayBeBarred && isBarred($0))
        }
        let isAmple = free.count > kept
        let partial = kind == .journal ? nil : roomiest(kind, mayBeBarred)
        // Nodes fill holes first: the tree would otherwise scatter over the store. Data does when few windows are free:
        // it would leave none, though much room, for journals and for the tenures after this one, which may not use its
        // windows for a while.
        let fillsHoles = kind == .nodes || free.count < geometry.windowCount / 4
        if fillsHoles, let partial, partial.room >= capacity(kind) / 4 { return partial.window }
        if isAmple, let first = free.first { return UInt32(first) }
        return partial?.window
    }

    private func isBarred(_ index: Int) -> Bool {
        let units = units(of: UInt32(index))
        let pages = state.space.page(of: units.lowerBound)...state.space.page(of: units.upperBound - 1)
        return damagedPages.contains { pages.contains($0) }
    }

    /// Chunks or nodes of a window.
    private func capacity(_ kind: WindowKind) -> Int {
        kind == .data ? geometry.unitsPerWindow : geometry.nodesPerWindow
    }

    private func roomiest(_ kind: WindowKind, _ mayBeBarred: Bool) -> (window: UInt32, room: Int)? {
        var best: (window: UInt32, room: Int)?
        for index in state.windows.indices {
            let window = state.windows[index]
            let room = capacity(kind) - Int(window.used)
            guard window.kind == kind, window.used > 0, room > (best?.room ?? 0), isSettled(index) else { continue }
            if mayBeBarred, isBarred(index) { continue }
            best = (UInt32(index), room)
        }
        return best
    }

    /// Free places for nodes: in the open window, and in those that may be opened.
    var nodePlaces: Int {
        var places = freeNodes.count
        for index in state.windows.indices where isSettled(index) {
            let window = state.windows[index]
            if window.used == 0 || window.kind == .nodes { places += geometry.nodesPerWindow - Int(window.used) }
        }
        return places
    }

    /// A free place for one chunk, in a window of this tenure.
    mutating func allocateUnit() throws(StoreError) -> UInt64 {
        if let unit = freeUnits.popLast() { return unit }
        guard let window = try pickForData() else {
            // What was freed in the open one.
            if let open = state.open.data, !StoreMutants.active(.openWindowNotRefilled) {
                let free = units(of: open).reversed().filter { !state.space.isUsed($0) }
                // As before all that was in use once is written anew: who takes the store may still look there.
                if !free.isEmpty, !StoreMutants.active(.noSlotReadBeforeReuse) { try expectNotSurpassed() }
                freeUnits = free
            }
            if let unit = freeUnits.popLast() { return unit }
            isShort = true
            try expectReadableRoom()
            throw .full
        }
        try sealBefore(.data)
        try append([.opened(.data, window)])
        freeUnits = units(of: window).reversed().filter { !state.space.isUsed($0) }
        guard let unit = freeUnits.popLast() else { throw .full }
        return unit
    }

    /// With its part of the space map in memory. Where that cannot be read nothing is saved.
    private mutating func pickForData() throws(StoreError) -> UInt32? {
        while let window = pick(.data, leaving: unreserved) {
            do throws(StoreError) {
                try loadSpace(ofWindow: window)
                return window
            } catch {
                guard case .damaged = error, !StoreMutants.active(.onePageStopsCopies) else { throw error }
            }
        }
        return nil
    }

    /// Windows that copies leave.
    private var unreserved: Int { StoreMutants.active(.reserveUsed) ? 0 : reserve }

    /// There is room, but all of it where the space map cannot be read.
    private func expectReadableRoom() throws(StoreError) {
        guard let page = damagedPages.first, let pointer = state.space.pointers[page],
            pick(.data, leaving: unreserved, isReadable: false) != nil
        else { return }
        throw .damaged(offset: pointer.offset)
    }

    private mutating func loadSpace(ofWindow window: UInt32) throws(StoreError) {
        let units = units(of: window)
        for unit in stride(from: units.lowerBound, to: units.upperBound, by: state.space.unitsPerPage) {
            try loadSpace(of: unit)
        }
        try loadSpace(of: units.upperBound - 1)
    }

    private func units(of window: UInt32) -> Range<UInt64> {
        let first = UInt64(window) * UInt64(geometry.unitsPerWindow)
        return first..<first + UInt64(geometry.unitsPerWindow)
    }

    /// The record that opens the next window seals the one before it: what was written there must not land any more.
    private mutating func sealBefore(_ kind: WindowKind) throws(StoreError) {
        let isOpen = kind == .data ? state.open.data != nil : state.open.nodes != nil
        if isOpen, !StoreMutants.active(.sealedUnwritten) { try flush() }
    }

    /// A free place for a node, in a window of this tenure; it counts as used at once.
    mutating func allocateNode() throws(StoreError) -> UInt64 {
        if freeNodes.isEmpty {
            guard let window = pick(.nodes) else { throw .full }
            try sealBefore(.nodes)
            try append([.opened(.nodes, window)])
            let start = geometry.offset(ofWindow: window)
            freeNodes = (0..<geometry.nodesPerWindow).reversed()
                .filter { !state.nodes.isUsed(window, $0) }
                .map { start + UInt64($0) * UInt64(geometry.nodeSize) }
        }
        guard let offset = freeNodes.popLast() else { throw .full }
        setNode(offset, used: true)
        return offset
    }

    mutating func setNode(_ offset: UInt64, used: Bool) {
        guard let (window, index) = geometry.node(at: offset) else { preconditionFailure("no node can lie there") }
        if state.nodes.set(window, index, used: used) {
            if used { state.windows[Int(window)].used += 1 } else { state.windows[Int(window)].used -= 1 }
        }
    }

    /// Whether something is saved at a place that `locate` gave.
    package mutating func isUsed(_ offset: UInt64) throws(StoreError) -> Bool {
        guard let unit = geometry.unit(at: offset) else { return false }
        try loadSpace(of: unit)
        return state.space.isUsed(unit)
    }

    package var space: StoreSpace {
        let windowSize = UInt64(geometry.windowSize)
        var used: UInt64 = 0
        var quarantined: UInt64 = 0
        for index in state.windows.indices {
            let window = state.windows[index]
            let bytes = bytesUsed(window)
            used += bytes
            if state.isQuarantined(UInt32(index)) { quarantined += windowSize - min(bytes, windowSize) }
        }
        return StoreSpace(
            total: UInt64(geometry.windowCount) * windowSize, used: used, quarantined: quarantined,
            reserve: UInt64(reserve) * windowSize)
    }

    /// No chunk finds room in a window of nodes or journal, however little is in it.
    private func bytesUsed(_ window: Window) -> UInt64 {
        switch window.kind {
        case .free: 0
        case .data: UInt64(window.used) * UInt64(geometry.chunkSize)
        case .nodes, .journal: window.used > 0 ? UInt64(geometry.windowSize) : 0
        }
    }

    /// Space of deleted snapshots is on its way: the sweep runs, waits for readers, or is due.
    package var awaitsSpace: Bool { state.sweep != nil || leftUnderPages == .readable }

    /// Journals that no piece needs any more are free.
    mutating func freePassedJournals(needed: [UInt32]) {
        for index in state.windows.indices
        where state.windows[index].kind == .journal && !needed.contains(UInt32(index)) {
            state.windows[index] = Window()
        }
    }
}
