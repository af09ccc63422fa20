import CsnapCore

extension SnapshotStore {
    func expectAlive() throws(StoreError) {
        guard !isEnded else { throw .ended }
    }

    /// The answer to a broken device: this store writes nothing any more.
    mutating func end(_ error: StoreError) -> StoreError {
        isEnded = true
        return error
    }

    mutating func write(_ bytes: [UInt8], at offset: UInt64) throws(StoreError) {
        do throws(BlockDeviceError) { try device.write(bytes, at: offset) } catch { throw end(.device(error)) }
    }

    mutating func flush() throws(StoreError) {
        do throws(BlockDeviceError) { try device.flush() } catch { throw end(.device(error)) }
    }

    mutating func readBytes(_ count: Int, at offset: UInt64) throws(StoreError) -> [UInt8] {
        do throws(BlockDeviceError) {
            return try device.read(count, at: offset)
        } catch {
            // Whoever only looks goes past a bad sector.
            if damage != nil, case .system = error { throw .damaged(offset: offset) }
            throw end(.device(error))
        }
    }

    /// Of the tree or the space map, which no taking needs as a whole: where the store can be read but for a sector of
    /// these, it is damaged there, and every successor would end at it. Whatever lasts for a moment is tried again.
    mutating func nodeBytes(_ pointer: NodePointer) throws(StoreError) -> [UInt8] {
        guard geometry.node(at: pointer.offset) != nil else { throw .damaged(offset: pointer.offset) }
        do throws(BlockDeviceError) {
            return try device.read(Int(geometry.nodeSize), at: pointer.offset)
        } catch {
            guard case .system = error, !StoreMutants.active(.badSectorEnds) else { throw end(.device(error)) }
            if damage == nil { _ = try readBytes(format.slotsByteCount, at: StoreLayout.slotsOffset) }
        }
        do throws(BlockDeviceError) {
            return try device.read(Int(geometry.nodeSize), at: pointer.offset)
        } catch {
            guard case .system = error else { throw end(.device(error)) }
            throw .damaged(offset: pointer.offset)
        }
    }

    /// A page of the catalog or the space map.
    mutating func page(_ pointer: NodePointer, _ kind: MetaPage.Kind) throws(StoreError) -> MetaPage {
        guard geometry.node(at: pointer.offset) != nil else { throw .damaged(offset: pointer.offset) }
        // A store whose catalog cannot be read may be one that is read in vain just now: its taking is tried again.
        let bytes =
            kind == .space ? try nodeBytes(pointer) : try readBytes(Int(geometry.nodeSize), at: pointer.offset)
        guard let page = MetaPage(bytes, pointer, kind: kind) else { throw .damaged(offset: pointer.offset) }
        return page
    }

    /// Reads the page of the space map that holds this unit, if it is not there.
    mutating func loadSpace(of unit: UInt64) throws(StoreError) {
        let index = state.space.page(of: unit)
        guard let pointer = state.space.missing(index) else { return }
        // Each try may take long.
        if damagedPages.contains(index) { throw .damaged(offset: pointer.offset) }
        let words = state.space.unitsPerPage / 64
        let payload: [UInt8]
        do throws(StoreError) {
            payload = try page(pointer, .space).payload
        } catch {
            guard noteDamage(error) else {
                if !error.isFatal { damagedPages.append(index) }
                throw error
            }
            state.space.load(index, [UInt64](repeating: 0, count: words))
            return
        }
        guard payload.count == words * 8 else {
            damagedPages.append(index)
            throw .damaged(offset: pointer.offset)
        }
        state.space.load(
            index, payload.withUnsafeBytes { raw in (0..<words).map { raw.little64($0 * 8) } })
    }

    /// The slots as they are now; any tenure above ours is the end, and so is a store that does not know us any more.
    mutating func expectNotSurpassed() throws(StoreError) {
        if StoreMutants.active(.noSlotReadBeforeReuse) { return }
        let bytes = try readBytes(format.slotsByteCount, at: StoreLayout.slotsOffset)
        let slots = StoreSlots(bytes, format: format)
        // Our own claim stands there as long as this is the disk that we took.
        guard let highest = slots.highest, highest.tenure >= tenure else { throw end(.device(.system(5))) }
        if highest.tenure > tenure { throw end(.surpassed(highest.tenure, highest.owner.process)) }
    }

    /// Both copies, one after the other: one of them is whole whatever tears the other.
    mutating func writeAnchor() throws(StoreError) {
        for copy in 0..<2 {
            try write(anchor.encoded(copy: copy), at: format.anchorOffset(of: tenure, copy: copy))
            if copy == 1 || !StoreMutants.active(.anchorCopiesTogether) { try flush() }
        }
    }
}
