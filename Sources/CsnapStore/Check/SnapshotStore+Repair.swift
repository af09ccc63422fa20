import CsnapCore

/// What a repair builds before it touches the store.
struct Rebuilt {
    var state: StoreState
    var entries: [Entry] = []
    var report: RepairReport
    /// Snapshots that a loss concerns.
    var damaged: [SnapshotNumber] = []

    mutating func lost(_ loss: RepairLoss) {
        report.lost(loss)
        for number in loss.snapshots where !damaged.contains(number) { damaged.append(number) }
    }

    func marked(_ snapshot: Snapshot) -> Snapshot {
        var snapshot = snapshot
        if damaged.contains(snapshot.number) { snapshot.about.flags.insert(.damaged) }
        return snapshot
    }
}

/// Repair, offline: all that can be read is written anew beside what is there, and counts from one anchor on.
///
/// A tenure of its own is claimed. Its first anchor changes nothing but names the windows that will be written, so that
/// a repair that dies is a dead tenure like any other; its second one makes the new tree, catalog and space map count.
/// Snapshots that lost something are marked `damaged`; the generation rises, so that no client trusts what it knew to
/// be unshared.
extension SnapshotStore {
    /// Nobody else may use the store meanwhile: that is the caller's duty. Nothing wrong: nothing is written.
    package static func repair(
        device: Device, origin: Device, owner: StoreOwner, progress: (UInt64, UInt64) -> Void = { _, _ in }
    ) throws(StoreRefusal) -> RepairReport {
        var found = try inspect(device: device, origin: origin)
        let rebuilt: Rebuilt
        let slots: StoreSlots
        do throws(StoreError) {
            let before = try found.check(data: true, progress: progress)
            if before.problems.isEmpty { return RepairReport(before: before, generation: found.state.generation) }
            rebuilt = try found.rebuild(before)
            found.isEnded = false
            slots = try found.mendSlots()
        } catch {
            throw StoreRefusal(error, base: found.anchor.tenure)
        }
        let claim = found.claim(slots, for: owner)
        _ = try claimSlot(claim, &found.device)
        do throws(StoreError) {
            try found.replace(by: rebuilt, claim)
        } catch {
            if error == .full { throw .noRoomToRepair }
            throw StoreRefusal(error, base: found.anchor.tenure)
        }
        return rebuilt.report
    }

    /// Who stood last; nil: nobody yet.
    package var lastOwner: StoreOwner? { anchor.sequence > 0 ? anchor.owner : nil }

    /// Of two inspections: nobody has written between them.
    package func isSame(as other: SnapshotStore) -> Bool {
        anchor == other.anchor && journal.liveBytes == other.journal.liveBytes
    }

    // MARK: What is left

    private mutating func rebuild(_ before: CheckReport) throws(StoreError) -> Rebuilt {
        // Where a lost journal ended a branch before its snapshot, or began both.
        state.branches.removeAll { branch in !state.snapshots.contains { $0.number == branch.base } }
        let live = images.map { $0.number }
        let salvage = try salvage()
        raiseCounters(above: salvage.entries)
        var rebuilt = Rebuilt(
            state: StoreState(geometry), report: RepairReport(before: before, generation: state.generation))
        rebuilt.report.isChanged = true
        rebuilt.state.generation = state.generation
        rebuilt.state.originSize = state.originSize
        rebuilt.state.lastBranch = state.lastBranch
        rebuilt.state.lastWrite = state.lastWrite
        rebuilt.state.prepared = state.prepared
        rebuilt.state.revert = state.revert
        rebuilt.state.writers = state.writers
        for part in salvage.lost {
            // Branches show what their base has where they were not written, but no snapshot shows a branch.
            let last = part.below?.branch ?? .max
            let holders = live.filter { number in
                part.from.branch == 0 || StoreMutants.active(.lossOfAll)
                    || number.branch.map { ($0 >= part.from.branch) && ($0 <= last) } ?? false
            }
            // Up to the next branch, or into it: of that one any chunk.
            let isOfOne = part.below?.branch == part.from.branch
            let first = isOfOne || state.branches.isEmpty ? part.from.chunk : 0
            let end = isOfOne ? part.below.map { $0.chunk < .max ? $0.chunk + 1 : .max } : nil
            if !holders.isEmpty { rebuilt.lost(.chunks(first: first, end: end, snapshots: holders)) }
        }
        for journal in damage?.journals ?? [] {
            rebuilt.lost(.journal(epoch: journal.tenure.epoch.value, group: journal.group, snapshots: live))
        }
        var previous: EntryKey?
        for entry in salvage.entries {
            let holders = holders(of: entry.key, after: previous)
            previous = entry.key
            try keep(entry, holders, &rebuilt)
        }
        rebuilt.state.snapshots = state.snapshots.map { rebuilt.marked($0) }
        rebuilt.state.branches = state.branches.map { rebuilt.marked($0) }
        return rebuilt
    }

    /// Numbers whose first use is lost are not given again either.
    private mutating func raiseCounters(above entries: [Entry]) {
        for entry in entries where entry.key.branch == 0 {
            state.generation = max(state.generation, min(entry.key.end, SnapshotNumber.branches >> 1) + 1)
        }
        for entry in entries where entry.key.branch > 0 {
            state.lastBranch = max(state.lastBranch, entry.key.branch)
            state.lastWrite = max(state.lastWrite, entry.key.write)
        }
        state.generation = min(state.generation + 1, SnapshotNumber.branches - 1)
        guard damage?.journals.isEmpty == false else { return }
        // Nobody knows how many there were in what is lost: fewer than this.
        state.generation = min(state.generation + 1 << 24, SnapshotNumber.branches - 1)
        state.lastBranch = UInt32(clamping: UInt64(state.lastBranch) + 1 << 16)
        state.lastWrite = min(state.lastWrite + 1 << 40, EntryKey.lastWrite - 1)
    }

    /// The live snapshots and branches that an entry serves.
    private func holders(of key: EntryKey, after before: EntryKey?) -> [SnapshotNumber] {
        guard state.needs(key, after: before) else { return [] }
        if key.branch > 0 { return [SnapshotNumber(branch: key.branch)] }
        let low = before.map { $0.isSameChunk(as: key) ? $0.end : 0 } ?? 0
        let snapshots = state.snapshots.map { $0.number }.filter { $0.value > low && $0.value <= key.end }
        return snapshots + state.branches.filter { $0.base.map { snapshots.contains($0) } ?? false }.map { $0.number }
    }

    private mutating func keep(
        _ entry: Entry, _ needed: [SnapshotNumber], _ rebuilt: inout Rebuilt
    ) throws(StoreError) {
        if needed.isEmpty { return }
        let (end, isEndless) = entry.key.chunk.addingReportingOverflow(1)
        let loss = RepairLoss.chunks(
            first: entry.key.chunk, end: isEndless ? .max : end, snapshots: needed)
        guard isPossible(entry), let unit = geometry.unit(at: entry.offset), !rebuilt.state.space.isUsed(unit) else {
            return rebuilt.lost(loss)
        }
        var kept = entry
        do throws(BlockDeviceError) {
            let range = 0..<Int(geometry.chunkSize)
            try device.read(into: buffer.part(range), at: entry.offset)
            // Some of it may be right; the snapshot is marked.
            kept.checksum = buffer.checksum(range)
            if kept.checksum != entry.checksum { rebuilt.lost(loss) }
        } catch {
            guard case .system = error else { throw .device(error) }
            return rebuilt.lost(loss)
        }
        let window = geometry.window(ofUnit: unit)
        rebuilt.state.windows[window].kind = .data
        rebuilt.state.windows[window].used += 1
        _ = rebuilt.state.space.set(unit, used: true)
        rebuilt.entries.append(kept)
    }

    // MARK: What takes its place

    private mutating func replace(by rebuilt: Rebuilt, _ claim: StoreClaim) throws(StoreError) {
        let (tenure, owner) = (claim.tenure, claim.owner)
        var next = SnapshotStore(device: device, origin: origin, format: format, owner: owner, tenure: tenure)
        let windows = try freeWindows(for: rebuilt)
        next.anchor = anchor
        next.anchor.tenure = tenure
        next.anchor.owner = owner
        next.anchor.sequence = 1
        next.anchor.openWindows = OpenWindows()
        let kept = Quarantine(tenure: anchor.tenure, owner: anchor.owner, windows: state.open.all)
        next.anchor.quarantine = state.quarantine + [kept]
        let quarantine = next.anchor.quarantine
        next.anchor.quarantine += [Quarantine(tenure: tenure, owner: owner, windows: windows)]
        guard next.anchor.quarantine.count <= StoreLimits.unsettledTenures else { throw .full }
        try next.writeAnchor()
        try next.expectNotSurpassed()
        // From here on those windows are written to, and nothing else.
        next.state = rebuilt.state
        next.state.quarantine = quarantine
        for window in usedNow where next.state.windows[Int(window)].used == 0 {
            next.state.windows[Int(window)] = Window(kind: .nodes, used: UInt32(geometry.nodesPerWindow))
        }
        next.openForRepair(windows)
        for entry in rebuilt.entries { next.overlay.set(Overlay.Item(entry: entry, isRemoved: false)) }
        try next.checkpointNow()
        try next.mendFormat()
    }

    private mutating func openForRepair(_ windows: [UInt32]) {
        state.open.journal = [windows[0]]
        state.windows[Int(windows[0])] = Window(kind: .journal, used: 1)
        journal.piece.windows = [windows[0]]
        for window in windows.dropFirst() {
            state.windows[Int(window)] = Window(kind: .nodes)
            let start = geometry.offset(ofWindow: window)
            freeNodes += (0..<geometry.nodesPerWindow).map { start + UInt64($0) * UInt64(geometry.nodeSize) }
        }
        freeNodes.reverse()
    }

    /// Windows that the store as it was rests on.
    private var usedNow: [UInt32] {
        var windows = state.open.all + anchor.pieces.flatMap { $0.windows } + state.quarantine.flatMap { $0.windows }
        for index in state.windows.indices where state.windows[index].kind != .data && state.windows[index].used > 0 {
            windows.append(UInt32(index))
        }
        return windows
    }

    /// One for a journal, and as many as the new nodes need.
    private func freeWindows(for rebuilt: Rebuilt) throws(StoreError) -> [UInt32] {
        let cells = TreeNode.capacity(Int(geometry.nodeSize)) / 2
        var nodes = 0
        var count = rebuilt.entries.count
        while count > 0 {
            count = count > 1 ? (count + cells - 1) / cells : 0
            nodes += count
        }
        let catalog =
            StoreCatalog.encode(rebuilt.state, nodes: rebuilt.state.nodes).count
            + 16 * (rebuilt.state.space.pointers.count + geometry.windowCount)
        nodes += rebuilt.state.space.pointers.count + catalog / (Int(geometry.nodeSize) - MetaPage.headerSize) + 8
        let wanted = 1 + (nodes + geometry.nodesPerWindow - 1) / geometry.nodesPerWindow
        let used = usedNow
        var windows: [UInt32] = []
        for index in rebuilt.state.windows.indices
        where windows.count < wanted && rebuilt.state.windows[index].used == 0 && !used.contains(UInt32(index)) {
            windows.append(UInt32(index))
        }
        guard windows.count == wanted, wanted <= StoreAnchor.quarantineWindowLimit else { throw .full }
        return windows
    }

    /// Slots of which no copy is whole say again what is known of them.
    private mutating func mendSlots() throws(StoreError) -> StoreSlots {
        let pinned = StoreSlots(
            try readBytes(format.slotsByteCount, at: StoreLayout.slotsOffset), format: format
        ).pinnedCluster
        for (slot, stood) in damage?.slots ?? [] {
            var superblock = Superblock.empty(of: format, slot: slot)
            if let stood {
                superblock.cluster = pinned
                superblock.tenure = stood.tenure
                superblock.owner = stood.owner
                superblock.sequence = 1
            }
            for copy in 0..<2 {
                try write(superblock.encoded(copy: copy), at: format.offset(ofSlot: slot, copy: copy))
                try flush()
            }
        }
        return StoreSlots(try readBytes(format.slotsByteCount, at: StoreLayout.slotsOffset), format: format)
    }

    private mutating func mendFormat() throws(StoreError) {
        let block = StoreLayout.blockSize
        for copy in 0..<2 {
            let offset = UInt64(copy * block)
            if StoreFormat.read(try readBytes(block, at: offset)) == .store(format) { continue }
            try write(format.encoded, at: offset)
            try flush()
        }
    }
}
