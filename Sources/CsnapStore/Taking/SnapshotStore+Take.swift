import CsnapCore

extension SnapshotStore {
    /// Takes the store: claims a slot, reads what the last tenure left, and stands before all others, or refuses.
    ///
    /// `settled`: what is known of dead servers; more can be said later (`settle`).
    package static func take(
        _ claim: StoreClaim, device: Device, origin: Device, settled: [SettleFact],
        pieceLimit: Int = StoreAnchor.pieceLimit
    ) throws(StoreRefusal) -> SnapshotStore {
        var device = device
        let format = try claimSlot(claim, &device)
        var store = SnapshotStore(
            device: device, origin: origin, format: format, owner: claim.owner, tenure: claim.tenure)
        do throws(StoreError) {
            let base = try store.findBase(below: claim.tenure)
            if let base {
                guard !format.isSamePlace(base.tenure, claim.tenure) else { throw .ended }
                let journal = try store.load(base)
                guard origin.size >= store.state.originSize else { throw .outOfRange }
                if !StoreMutants.active(.noFlushBeforeFirstAnchor) { try store.flush() }
                try store.stand(on: base, journal, settled, pieceLimit)
                store.readers = ReaderMemory(lastWrite: store.state.lastWrite)
            } else {
                try store.stand(on: nil, LoadedJournal(), settled, pieceLimit)
            }
        } catch {
            if error == .outOfRange {
                throw .originTruncated(origin: origin.size, recorded: store.state.originSize)
            }
            throw StoreRefusal(error, base: store.anchor.tenure)
        }
        return store
    }

    /// Reads a store without claiming it, past as much damage as can be; nothing is ever written. For checks while no
    /// server has it.
    package static func inspect(device: Device, origin: Device) throws(StoreRefusal) -> SnapshotStore {
        var device = device
        let format = try readFormat(&device)
        let nobody = StoreOwner(
            process: NodeBoot(node: NodeID(0), boot: Boot(0)), machineID: .zero, kernelBootID: .zero)
        var store = SnapshotStore(
            device: device, origin: origin, format: format, owner: nobody, tenure: .none)
        store.damage = LoadDamage()
        do throws(StoreError) {
            if let base = try store.findBase(below: nil) { _ = try store.load(base) }
        } catch {
            throw StoreRefusal(error, base: store.anchor.tenure)
        }
        store.isEnded = true
        return store
    }

    static func claimSlot(_ claim: StoreClaim, _ device: inout Device) throws(StoreRefusal) -> StoreFormat {
        var taking = StoreTaking(claim)
        var request = taking.first
        while true {
            switch taking.answered(device.perform(request)) {
            case .perform(let next): request = next
            case .taken: return try readFormat(&device)
            case .refused(let refusal): throw refusal
            }
        }
    }

    static func readFormat(_ device: inout Device) throws(StoreRefusal) -> StoreFormat {
        guard case .bytes(let bytes) = device.perform(.read(offset: 0, count: 2 * StoreLayout.blockSize)) else {
            throw .device(5)
        }
        switch StoreFormat.read(bytes) {
        case .blank: throw .blank
        case .other: throw .notAStore
        case .version(let version): throw .version(version)
        case .store(let format):
            guard device.size >= format.geometry.storeSize else {
                throw .truncated(device: device.size, store: format.geometry.storeSize)
            }
            return format
        }
    }

    init(device: Device, origin: Device, format: StoreFormat, owner: StoreOwner, tenure: Tenure) {
        let own = JournalPiece(tenure: tenure, windows: [], offset: 0, number: 1, predecessor: 0)
        self.device = device
        self.origin = origin
        self.format = format
        self.owner = owner
        self.tenure = tenure
        state = StoreState(format.geometry)
        tree = TreeRoot()
        journal = JournalWriter(piece: own)
        anchor = StoreAnchor(
            store: format.store, tenure: .none, owner: owner, sequence: 0, root: nil, rootLevel: 0, catalog: nil,
            catalogLength: 0, openWindows: OpenWindows(), pieces: [], quarantine: [])
        cache = NodeCache(nodeSize: format.geometry.nodeSize)
        buffer = AlignedBuffer(byteCount: max(1 << 20, Int(format.geometry.chunkSize)))
    }

    /// From the base to our own first anchor: what the dead may still write to is kept away, then we count.
    private mutating func stand(
        on base: StoreAnchor?, _ loaded: LoadedJournal, _ settled: [SettleFact], _ pieceLimit: Int
    ) throws(StoreError) {
        if let base {
            if StoreMutants.active(.quarantineNotInherited) { state.quarantine = [] }
            state.quarantine.append(Quarantine(tenure: base.tenure, owner: base.owner, windows: state.open.all))
            if StoreMutants.active(.windowsNotQuarantined) { state.quarantine = [] }
        }
        state.quarantine.removeAll { part in settled.contains { $0.settles(part) } }
        guard state.quarantine.count <= StoreLimits.unsettledTenures, loaded.pieces.count < pieceLimit
        else { throw .full }
        state.open = OpenWindows()
        freePassedJournals(needed: loaded.windows)
        guard let place = placeOfJournal(loaded.ends) else { throw .full }
        state.open.journal = [place.window]
        state.windows[Int(place.window)] = Window(kind: .journal, used: 1)
        journal.begin(at: place)
        isScarce = pick(.journal, leaving: reserve) == nil
        anchor = StoreAnchor(
            store: format.store, tenure: tenure, owner: owner, sequence: 1, root: tree.pointer, rootLevel: tree.level,
            catalog: base?.catalog, catalogLength: base?.catalogLength ?? 0, openWindows: state.open,
            pieces: loaded.pieces + [journal.piece], quarantine: state.quarantine)
        guard anchor.fitsBlock else { throw .full }
        try writeAnchor()
        try expectNotSurpassed()
        if anchor.pieces.count >= StoreAnchor.piecesForCheckpointInTaking { try checkpointInTaking() }
    }

    /// Each takeover adds a piece. A checkpoint may rewrite the whole tree, so the taking waits for it only if soon no
    /// next one would find room, and not for all of a large one: whoever waits too long for a server ends it, and the
    /// next one would begin anew. `maintain` begins it long before, and goes on with it.
    private mutating func checkpointInTaking() throws(StoreError) {
        beginCheckpoint()
        // In a full store there may be no room for it either; then the next takeover says so.
        do throws(StoreError) {
            for _ in 0..<StoreAnchor.checkpointStepsInTaking where checkpoint != nil { try stepCheckpoint() }
        } catch {
            if error.isFatal { throw error }
        }
    }
}

extension SnapshotStore {
    /// Where the journal of a new tenure begins. Of the last windows each takeover would take one away until a
    /// checkpoint, so there it goes on behind a dead one's, if nobody writes there any more.
    private func placeOfJournal(_ ends: [JournalEnd]) -> JournalEnd? {
        if let window = pick(.journal, leaving: lastReserve) { return JournalEnd(window: window, offset: 0) }
        // What a checkpoint needs must fit.
        let last = Int(geometry.windowSize) - 2 * StoreLayout.blockSize
        let settled = ends.filter { end in
            if StoreMutants.active(.journalBehindLiving) { return end.offset <= last }
            return end.offset <= last && !state.isQuarantined(end.window)
        }
        if !StoreMutants.active(.noJournalBehindDead), let end = settled.min(by: { $0.offset < $1.offset }) {
            return end
        }
        return pick(.journal).map { JournalEnd(window: $0, offset: 0) }
    }
}

extension SettleFact {
    func settles(_ part: Quarantine) -> Bool {
        switch self {
        case .tenure(let tenure): part.tenure == tenure
        case .process(let process): part.owner.process == process
        case .kernelGone(let kernel): WriterRecord(part.owner) == kernel
        case .own(let owner, let isKernelOld):
            part.owner.machineID == owner.machineID
                && (part.owner.kernelBootID == owner.kernelBootID
                    // Node 0: a repair without a configuration; it held the store's lock alone.
                    ? [owner.process.node, NodeID(0)].contains(part.owner.process.node)
                    : isKernelOld && part.owner.process.node == owner.process.node)
        case .node(let last): part.owner.process.node == last.node && part.owner.process.boot <= last.boot
        }
    }
}

extension BlockDevice {
    /// For the machine of the taking.
    mutating func perform(_ request: StoreRequest) -> StoreAnswer {
        do throws(BlockDeviceError) {
            switch request {
            case .read(let offset, let count):
                guard offset + UInt64(count) <= size else { return .bytes([]) }
                return .bytes(try read(count, at: offset))
            case .write(let offset, let bytes): try write(bytes, at: offset)
            case .flush: try flush()
            }
            return .done
        } catch {
            switch error {
            case .system(let code): return .failed(code)
            case .stopped: return .failed(125)
            }
        }
    }
}
