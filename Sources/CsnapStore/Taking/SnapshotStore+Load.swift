import CsnapCore

/// The journal that a base left.
struct LoadedJournal {
    /// What a successor would have to replay.
    var pieces: [JournalPiece] = []
    /// All windows that they lie in.
    var windows: [UInt32] = []
    /// Of these, where there is room behind what was written.
    var ends: [JournalEnd] = []
}

extension SnapshotStore {
    /// The highest anchor that stands; nil: nobody ever stood in this store.
    mutating func findBase(below own: Tenure?) throws(StoreError) -> StoreAnchor? {
        let bytes = try readBytes(format.slotsByteCount, at: StoreLayout.slotsOffset)
        let slots = StoreSlots(bytes, format: format)
        var claims: [(tenure: Tenure, slot: Int)] = []
        var best: StoreAnchor?
        for slot in 0..<format.slotCount {
            guard let claim = slots.newest(in: slot) else {
                guard damage != nil else { throw .damaged(offset: format.offset(ofSlot: slot, copy: 0)) }
                // Its anchors still say who stood here.
                let stood = try anchors(inSlot: slot).max { $0.tenure < $1.tenure }
                damage?.slots.append((slot, stood))
                if let stood, best.map({ $0.tenure < stood.tenure }) ?? true { best = stood }
                continue
            }
            if claim.tenure != .none { claims.append((claim.tenure, slot)) }
        }
        claims.sort { $0.tenure > $1.tenure }
        for claim in claims {
            // Whoever claimed below the best cannot have an anchor above it.
            if let best, best.tenure >= claim.tenure { break }
            for anchor in try anchors(inSlot: claim.slot) where best.map({ $0.tenure < anchor.tenure }) ?? true {
                best = anchor
            }
            if StoreMutants.active(.highestSlotIsBase), claim.tenure != own { break }
            // What cannot be read there may have been the base.
            if let place = damage?.anchors.last, place.slot == claim.slot, best?.tenure ?? .none < claim.tenure {
                throw .damaged(offset: place.offset)
            }
        }
        // Neither its slot nor its anchor says who stood there.
        for place in damage?.anchors ?? [] where damage?.slots.contains(where: { $0.slot == place.slot }) == true {
            throw .damaged(offset: place.offset)
        }
        if StoreMutants.active(.allCutsHonoured), let base = best {
            for claim in claims where claim.tenure < base.tenure {
                for other in try anchors(inSlot: claim.slot) { best?.honour(other) }
            }
        }
        return best
    }

    /// The whole anchors of a slot, one per parity of the round.
    private mutating func anchors(inSlot slot: Int) throws(StoreError) -> [StoreAnchor] {
        let block = StoreLayout.blockSize
        let bytes = try readBytes(StoreAnchor.slotByteCount, at: format.anchorsOffset(ofSlot: slot))
        var found: [StoreAnchor] = []
        for parity in 0..<2 {
            let blocks = (0..<2).map { Array(bytes[(parity * 2 + $0) * block..<(parity * 2 + $0 + 1) * block]) }
            let whole = (0..<2).compactMap { copy in
                StoreAnchor(blocks[copy], format: format, copy: copy).flatMap { anchor in
                    let place = format.anchorOffset(of: anchor.tenure, copy: 0)
                    let isHere = place == format.anchorsOffset(ofSlot: slot) + UInt64(parity * 2 * block)
                    return isHere ? anchor : nil
                }
            }
            if let newest = whole.max(by: { ($0.tenure, $0.sequence) < ($1.tenure, $1.sequence) }) {
                found.append(newest)
            } else if blocks[1].contains(where: { $0 != 0 }) {
                // The second copy is written only after the first was durable: something has destroyed both.
                let offset = format.anchorsOffset(ofSlot: slot) + UInt64(parity * 2 * block)
                guard damage != nil else { throw .damaged(offset: offset) }
                damage?.anchors.append((slot, offset))
            }
        }
        return found
    }

    /// Takes over what a base left: catalog, tree, journal.
    mutating func load(_ base: StoreAnchor) throws(StoreError) -> LoadedJournal {
        anchor = base
        if let catalog = base.catalog { state = try loadCatalog(catalog, length: Int(base.catalogLength)) }
        tree = TreeRoot(pointer: base.root, level: base.rootLevel)
        state.quarantine = base.quarantine
        freePassedJournals(needed: [])
        var loaded = LoadedJournal()
        for piece in base.pieces {
            let isOwn = piece.tenure == base.tenure
            if isOwn { openAgain(base.openWindows) }
            let outcome = try replay(piece)
            journal.liveBytes += outcome.bytes
            if isOwn { state.open.journal = outcome.tail }
            guard let last = outcome.last else { continue }
            var replayed = piece
            replayed.cut = last
            loaded.pieces.append(replayed)
            loaded.windows += outcome.windows
            // Who began where an earlier one had ended has written there.
            loaded.ends.removeAll { outcome.windows.contains($0.window) }
            if let end = outcome.end { loaded.ends.append(end) }
        }
        // A repair that died before its tree counted: its quarantine names what it and its base had open.
        if !base.pieces.contains(where: { $0.tenure == base.tenure }), !StoreMutants.active(.repairInheritsWindows) {
            state.open = OpenWindows()
        }
        // Only now: a window may have held data when an earlier piece began, and be a later one's journal.
        for window in base.pieces.flatMap({ $0.windows }) + loaded.windows {
            // No journal is opened where nodes lie.
            guard damage != nil || state.nodes.count(in: window) == 0 else {
                throw .damaged(offset: base.catalog?.offset ?? 0)
            }
            state.windows[Int(window)] = Window(kind: .journal, used: 1)
        }
        return loaded
    }

    private mutating func openAgain(_ windows: OpenWindows) {
        state.open = windows
        for (window, kind) in [(windows.data, WindowKind.data), (windows.nodes, .nodes)] {
            guard let window, state.windows[Int(window)].used == 0 else { continue }
            state.windows[Int(window)].kind = kind
        }
    }

    private mutating func loadCatalog(_ first: NodePointer, length: Int) throws(StoreError) -> StoreState {
        var bytes: [UInt8] = []
        var next: NodePointer? = first
        catalogPages = []
        while let pointer = next, bytes.count < length {
            let page = try page(pointer, .catalog)
            catalogPages.append(pointer.offset)
            guard !page.payload.isEmpty else { break }
            bytes += page.payload
            next = page.next
        }
        guard bytes.count == length else { throw .damaged(offset: first.offset) }
        do throws(WireError) {
            return try StoreCatalog.decode(bytes, geometry)
        } catch {
            throw .damaged(offset: first.offset)
        }
    }
}
