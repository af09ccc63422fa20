package import CsnapCore

extension SnapshotStore {
    /// Makes free what is kept away because of dead servers, all of them, while nobody has the store: the way out of
    /// `StoreRefusal.unsettled` (docs/decisions/0083).
    ///
    /// The caller answers for it that none of them can write any more. A tenure of its own is claimed, so whatever this
    /// leaves behind is that of a dead server like any other. Returns the tenures that are settled now; empty: nobody
    /// ever took this store, and nothing was written.
    package static func settleAll(device: Device, origin: Device, owner: StoreOwner) throws(StoreRefusal) -> [Tenure] {
        let found = try inspect(device: device, origin: origin)
        guard found.lastOwner != nil else { return [] }
        let dead = found.state.quarantine.map { $0.tenure } + [found.anchor.tenure]
        var store: SnapshotStore
        do throws(StoreRefusal) {
            store = try take(
                try found.claim(for: owner), device: device, origin: origin, settled: dead.map { .tenure($0) },
                // A checkpoint of all follows, of which nobody grows tired. One that was cut short left a piece more.
                pieceLimit: StoreMutants.active(.settledOnce) ? StoreAnchor.pieceLimit + 1 : .max)
        } catch {
            throw error == .unsettled ? .noRoomToRepair : error
        }
        // It frees the journals of the dead, for whoever takes the store next. Where there is no room for it, what was
        // settled alone must do.
        do throws(StoreError) { try store.checkpointNow() } catch {
            if error.isFatal { throw StoreRefusal(error, base: store.anchor.tenure) }
            // Nobody could take it so.
            if store.anchor.pieces.count >= StoreAnchor.pieceLimit {
                throw error == .full ? .noRoomToRepair : StoreRefusal(error, base: store.anchor.tenure)
            }
        }
        return dead
    }

    private func claim(for owner: StoreOwner) throws(StoreRefusal) -> StoreClaim {
        var device = device
        guard
            case .bytes(let bytes) = device.perform(
                .read(offset: StoreLayout.slotsOffset, count: format.slotsByteCount))
        else { throw .device(5) }
        return claim(StoreSlots(bytes, format: format), for: owner)
    }

    /// Of work offline: the next epoch whose slot and anchors are not those that we rest on.
    func claim(_ slots: StoreSlots, for owner: StoreOwner) -> StoreClaim {
        var epoch = Epoch((slots.highest?.tenure.epoch.value ?? 0) + 1)
        if format.slot(of: epoch) == format.slot(of: anchor.tenure.epoch) { epoch = Epoch(epoch.value + 1) }
        return StoreClaim(
            tenure: Tenure(epoch: epoch, round: Round(1)), cluster: slots.pinnedCluster, owner: owner,
            lastActiveEpoch: .none, deviceSize: device.size)
    }
}
