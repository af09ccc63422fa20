import CsnapCore

/// How far the sweep has come that frees entries which serve no snapshot.
struct SweepState: Equatable, Sendable {
    /// The last entry looked at.
    var cursor: EntryKey?
    /// A snapshot was deleted since this sweep began: one more is needed.
    var again = false
    /// The same, of what branches held before they were overwritten.
    var againInBranches = false

    /// One that looks at branches alone.
    static let ofBranches = SweepState(cursor: .beforeBranches)
}

/// Everything of a store but the entries: what the catalog keeps, plus what the journal has changed since.
struct StoreState: Sendable {
    /// The number that the next snapshot gets.
    var generation: UInt64 = 1
    var originSize: UInt64
    /// By number.
    var snapshots: [Snapshot] = []
    /// By number.
    var branches: [Snapshot] = []
    /// Of the branch made last, and of the last write to any.
    var lastBranch: UInt32 = 0
    var lastWrite: UInt64 = 0
    var prepared: [PreparedSnapshot] = []
    /// Sorted.
    var writers: [WriterRecord] = []
    var windows: [Window]
    var space: SpaceMap
    var nodes: NodeMap
    var open = OpenWindows()
    var quarantine: [Quarantine] = []
    var revert: RevertState?
    /// None: every entry serves a snapshot.
    var sweep: SweepState?

    init(_ geometry: StoreGeometry) {
        originSize = geometry.originSize
        windows = [Window](repeating: Window(), count: geometry.windowCount)
        space = SpaceMap(geometry)
        nodes = NodeMap(nodesPerWindow: geometry.nodesPerWindow)
    }

    /// A live snapshot with low < number <= high.
    func hasSnapshot(above low: UInt64, upTo high: UInt64) -> Bool {
        guard low < high else { return false }
        let position = position(of: low + 1)
        return position < snapshots.count && snapshots[position].number.value <= high
    }

    /// A snapshot or a branch.
    func snapshot(_ number: SnapshotNumber) -> Snapshot? {
        if number.branch != nil { return branches.first { $0.number == number } }
        let position = position(of: number.value)
        guard position < snapshots.count, snapshots[position].number == number else { return nil }
        return snapshots[position]
    }

    /// The first snapshot whose number is not below this one.
    func position(of number: UInt64) -> Int {
        var low = 0
        var high = snapshots.count
        while low < high {
            let middle = (low + high) / 2
            if snapshots[middle].number.value < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Whether an entry serves a snapshot or a branch; `before`: the key that comes before it in the tree, or any of
    /// another chunk.
    func needs(_ key: EntryKey, after before: EntryKey?) -> Bool {
        let last = before.flatMap { $0.isSameChunk(as: key) ? $0.end : nil }
        if key.branch == 0 { return hasSnapshot(above: last ?? 0, upTo: key.end) }
        return last == nil && snapshot(SnapshotNumber(branch: key.branch)) != nil
    }

    func isQuarantined(_ window: UInt32) -> Bool {
        quarantine.contains { $0.windows.contains(window) }
    }
}

extension StoreState {
    /// Applies one record to all but the entries. Each is harmless when applied twice: a checkpoint may hold what
    /// the journal after its beginning says again. False: a record that cannot be, so the journal is damaged.
    mutating func apply(_ record: StoreRecord, _ geometry: StoreGeometry) -> Bool {
        switch record {
        case .put(let entry):
            // Of a branch: the number of a write, the last possible one left out.
            guard entry.key.branch == 0 || entry.key.end > 0 && entry.key.end < EntryKey.lastWrite else { return false }
            lastWrite = max(lastWrite, entry.key.write)
            return setUsed(entry.offset, true, geometry)
        case .remove(_, let offset): return setUsed(offset, false, geometry)
        case .created(let snapshot): return applyCreated(snapshot)
        case .deleted(let number):
            snapshots.removeAll { $0.number == number }
            branches.removeAll { $0.number == number }
            if sweep == nil { sweep = SweepState() } else { sweep?.again = true }
        case .overwritten:
            // However far it is: how far, only its records say, and a replay must come to the same.
            if sweep == nil { sweep = .ofBranches } else { sweep?.againInBranches = true }
        case .changed(let number, let name, let priority, let flags):
            guard var snapshot = snapshot(number) else { return false }
            snapshot.about.name = name
            snapshot.about.priority = priority
            snapshot.about.flags = flags
            replace(snapshot)
        case .prepared(let snapshot):
            prepared.removeAll { $0.about.uuid == snapshot.about.uuid }
            prepared.append(snapshot)
        case .abandoned(let uuid): prepared.removeAll { $0.about.uuid == uuid }
        case .writerAdded(let writer):
            if !writers.contains(writer) {
                writers.append(writer)
                writers.sort()
            }
        case .writerCleared(let writer): writers.removeAll { $0 == writer }
        case .opened(let kind, let window): return applyOpened(kind, window)
        case .settled(let tenure): quarantine.removeAll { $0.tenure == tenure }
        case .resized(let size): originSize = size
        case .swept(let key): sweep?.cursor = key
        case .sweepEnded:
            let ended = sweep ?? SweepState()
            sweep = ended.again ? SweepState() : ended.againInBranches ? .ofBranches : nil
        case .reverting(let revert): self.revert = revert
        case .generationRaised(let generation):
            guard generation < SnapshotNumber.branches else { return false }
            self.generation = max(self.generation, generation)
        }
        return true
    }

    private mutating func replace(_ snapshot: Snapshot) {
        for index in branches.indices where branches[index].number == snapshot.number { branches[index] = snapshot }
        let position = position(of: snapshot.number.value)
        if position < snapshots.count { snapshots[position] = snapshot }
    }

    private mutating func applyCreated(_ snapshot: Snapshot) -> Bool {
        prepared.removeAll { $0.about.uuid == snapshot.about.uuid }
        if self.snapshot(snapshot.number) == snapshot { return true }
        if let branch = snapshot.number.branch {
            guard branch > lastBranch else { return false }
            branches.append(snapshot)
            lastBranch = branch
            return true
        }
        guard snapshots.last.map({ $0.number < snapshot.number }) ?? true else { return false }
        snapshots.append(snapshot)
        generation = max(generation, snapshot.number.value + 1)
        return true
    }

    private mutating func applyOpened(_ kind: WindowKind, _ window: UInt32) -> Bool {
        guard window < windows.count else { return false }
        if windows[Int(window)].kind != kind {
            windows[Int(window)].kind = kind
            windows[Int(window)].used = 0
        }
        switch kind {
        case .free: return false
        case .data: open.data = window
        case .nodes:
            open.nodes = window
            windows[Int(window)].used = UInt32(nodes.count(in: window))
        case .journal:
            windows[Int(window)].used = 1
            if !open.journal.contains(window) { open.journal.append(window) }
        }
        return true
    }

    private mutating func setUsed(_ offset: UInt64, _ used: Bool, _ geometry: StoreGeometry) -> Bool {
        guard let unit = geometry.unit(at: offset) else { return false }
        let window = geometry.window(ofUnit: unit)
        guard windows[window].kind == .data else { return false }
        guard space.set(unit, used: used) else { return true }
        if used {
            windows[window].used += 1
        } else {
            guard windows[window].used > 0 else { return false }
            windows[window].used -= 1
        }
        return true
    }
}
