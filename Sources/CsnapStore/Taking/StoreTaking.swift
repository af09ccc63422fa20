package import CsnapCore

/// Who wants the store, and what it knows of the past.
package struct StoreClaim: Equatable, Sendable {
    package var tenure: Tenure
    package var cluster: Bits128
    package var owner: StoreOwner
    /// A store that has not seen this epoch is an old copy.
    package var lastActiveEpoch: Epoch
    /// Bytes of the device, as the system says.
    package var deviceSize: UInt64

    package init(
        tenure: Tenure, cluster: Bits128, owner: StoreOwner, lastActiveEpoch: Epoch, deviceSize: UInt64
    ) {
        self.tenure = tenure
        self.cluster = cluster
        self.owner = owner
        self.lastActiveEpoch = lastActiveEpoch
        self.deviceSize = deviceSize
    }
}

/// Why a store was not taken. Up to `claimWasLost` nothing was written; from there on our claim may stand in its slot,
/// where it does no harm.
package enum StoreRefusal: Error, Equatable, Sendable {
    case blank
    case notAStore
    case version(UInt32)
    /// The device is smaller than the store on it.
    case truncated(device: UInt64, store: UInt64)
    case damagedSlot(Int)
    case foreign(cluster: Bits128)
    /// The origin is smaller than it was when the store last recorded it.
    case originTruncated(origin: UInt64, recorded: UInt64)
    /// Nothing of the origin can be read: an errno.
    case originUnreadable(Int32)
    case stale(highest: Epoch, lastActive: Epoch)
    /// A tenure that is not below ours was there, or came while we claimed.
    case tenure(Tenure, owner: NodeBoot)
    /// Our slot still holds the store's newest superblock, of an epoch 256 or a multiple of it below ours.
    case slotOfBase(Tenure)
    /// After writing and flushing, our slot does not say what we wrote.
    case claimWasLost
    /// A block that the store rests on is not what was written; its offset.
    case damaged(offset: UInt64)
    /// No room for a takeover: too much is kept away because of servers that may still be writing.
    case unsettled
    /// Of a repair: the new tree and catalog find no place beside the old ones.
    case noRoomToRepair
    /// Of a repair: the last server was on another machine, so no lock here shows that it is gone.
    case ownedElsewhere(NodeBoot)
    case device(Int32)
}

extension StoreRefusal {
    /// What the agent is told.
    package var failure: ServerFailure {
        switch self {
        case .blank, .notAStore: .storeFormat
        case .version: .storeVersion
        case .truncated: .storeTruncated
        case .originTruncated: .originTruncated
        case .originUnreadable: .originIO
        case .damagedSlot, .damaged: .storeDamaged
        case .foreign: .storeForeign
        case .stale: .storeStale
        case .tenure, .slotOfBase, .claimWasLost: .storeTenure
        case .unsettled: .storeUnsettled
        case .noRoomToRepair, .ownedElsewhere, .device: .storeIO
        }
    }

    /// Of a taking that has claimed its slot.
    package init(_ error: StoreError, base: Tenure) {
        switch error {
        case .device(.system(let code)): self = .device(code)
        case .device(.stopped): self = .device(125)
        case .surpassed(let tenure, let owner): self = .tenure(tenure, owner: owner)
        case .damaged(let offset): self = .damaged(offset: offset)
        case .full: self = .unsettled
        case .ended: self = .slotOfBase(base)
        case .noSuchSnapshot, .noSuchPrepared, .nameTaken, .impossibleName, .tooManySnapshots, .tooManyWriters, .pinned,
            .hasBranch, .isBranch, .isNoBranch, .outOfRange, .wouldShrink, .damagedData, .originRead, .originFlush:
            preconditionFailure("a taking makes no snapshots")
        }
    }

    /// For ServerToAgent.failed: the agent claims an epoch above it.
    package func epochSeen(by tenure: Tenure) -> Epoch {
        switch self {
        case .tenure(let other, _): max(other.epoch, tenure.epoch)
        case .slotOfBase, .claimWasLost: tenure.epoch
        case .blank, .notAStore, .version, .truncated, .damagedSlot, .foreign, .originTruncated, .originUnreadable,
            .stale, .damaged, .unsettled, .noRoomToRepair, .ownedElsewhere, .device:
            .none
        }
    }
}

/// Takes a store for a tenure (docs/data-plane.md, "Taking"): a pure machine that asks its shell for one request at
/// a time.
///
/// Format block → all slots → refuse, or claim: first copy → flush → second copy → flush → all slots again →
/// taken only if both copies are ours and no tenure is higher. The flush between the copies keeps one of them whole
/// whatever tears the other. Whoever has claimed before our second reading is seen by it; whoever claims after it
/// sees us. So of several claimers of different slots only the one that nobody surpasses stays in possession. (One
/// that slept through 256 epochs would meet its successor's slot: its lease, checked before each write, stops it.)
///
/// Settling of older tenures, base and journal belong between the second reading and `taken`; format version 1 has
/// no journal yet.
package struct StoreTaking: Equatable, Sendable {
    package enum Step: Equatable, Sendable {
        case perform(StoreRequest)
        case taken(Superblock)
        case refused(StoreRefusal)
    }

    private enum State: Equatable, Sendable {
        case readingFormat
        case readingSlots(StoreFormat)
        case claiming(Claiming)
        case verifying(StoreFormat, Superblock)
        case ended(Step)
    }

    private struct Claiming: Equatable, Sendable {
        var format: StoreFormat
        var superblock: Superblock
        var rest: [StoreRequest]
    }

    package let claim: StoreClaim
    private var state: State = .readingFormat

    package init(_ claim: StoreClaim) { self.claim = claim }

    /// The first request.
    package var first: StoreRequest { .read(offset: 0, count: 2 * StoreLayout.blockSize) }

    /// Takes the answer to the request before, gives the next one or the end. After the end it repeats the end.
    package mutating func answered(_ answer: StoreAnswer) -> Step {
        if case .ended(let step) = state { return step }
        if case .failed(let code) = answer { return end(.refused(.device(code))) }
        switch (state, answer) {
        case (.readingFormat, .bytes(let bytes)): return tookFormat(bytes)
        case (.readingSlots(let format), .bytes(let bytes)): return tookSlots(StoreSlots(bytes, format: format), format)
        case (.claiming(let claiming), .done): return advance(claiming)
        case (.verifying(let format, let superblock), .bytes(let bytes)):
            return verify(StoreSlots(bytes, format: format), superblock)
        case (.readingFormat, _), (.readingSlots, _), (.claiming, _), (.verifying, _), (.ended, _):
            preconditionFailure("an answer that does not fit the request")
        }
    }

    private mutating func tookFormat(_ bytes: [UInt8]) -> Step {
        switch StoreFormat.read(bytes) {
        case .blank: return end(.refused(.blank))
        case .other: return end(.refused(.notAStore))
        case .version(let version): return end(.refused(.version(version)))
        case .store(let format):
            let size = format.geometry.storeSize
            guard claim.deviceSize >= size else {
                return end(.refused(.truncated(device: claim.deviceSize, store: size)))
            }
            state = .readingSlots(format)
            return .perform(readSlots(format))
        }
    }

    private mutating func tookSlots(_ slots: StoreSlots, _ format: StoreFormat) -> Step {
        if let slot = slots.damagedSlot { return end(.refused(.damagedSlot(slot))) }
        if let cluster = slots.foreignCluster(to: claim.cluster) { return end(.refused(.foreign(cluster: cluster))) }
        guard let base = slots.highest else { return end(.refused(.damagedSlot(0))) }
        if let refusal = refusal(of: base, format) { return end(.refused(refusal)) }
        let slot = format.slot(of: claim.tenure.epoch)
        let superblock = Superblock(
            store: format.store, cluster: claim.cluster, tenure: claim.tenure, sequence: 1, owner: claim.owner,
            geometry: base.geometry, generation: base.generation, slot: slot)
        return advance(
            Claiming(
                format: format, superblock: superblock,
                rest: (0..<2).flatMap { copy -> [StoreRequest] in
                    let bytes = superblock.encoded(copy: copy)
                    let write = StoreRequest.write(offset: format.offset(ofSlot: slot, copy: copy), bytes: bytes)
                    return copy == 0 && StoreMutants.active(.claimCopiesTogether) ? [write] : [write, .flush]
                }))
    }

    /// Nil: this store is ours to claim.
    private func refusal(of base: Superblock, _ format: StoreFormat) -> StoreRefusal? {
        // A store that nobody has taken was made on purpose; it has seen no epoch and holds nothing.
        if base.tenure == .none { return nil }
        if let refusal = surpassed(by: base) { return refusal }
        if base.tenure.epoch < claim.lastActiveEpoch {
            return .stale(highest: base.tenure.epoch, lastActive: claim.lastActiveEpoch)
        }
        let sameSlot = format.slot(of: base.tenure.epoch) == format.slot(of: claim.tenure.epoch)
        return sameSlot && base.tenure.epoch != claim.tenure.epoch ? .slotOfBase(base.tenure) : nil
    }

    private func surpassed(by other: Superblock) -> StoreRefusal? {
        let sameEpochOfAnother = other.tenure.epoch == claim.tenure.epoch && other.owner != claim.owner
        return other.tenure >= claim.tenure || sameEpochOfAnother
            ? .tenure(other.tenure, owner: other.owner.process) : nil
    }

    private mutating func advance(_ claiming: Claiming) -> Step {
        var claiming = claiming
        guard !claiming.rest.isEmpty else {
            state = .verifying(claiming.format, claiming.superblock)
            return .perform(readSlots(claiming.format))
        }
        let next = claiming.rest.removeFirst()
        state = .claiming(claiming)
        return .perform(next)
    }

    private mutating func verify(_ slots: StoreSlots, _ ours: Superblock) -> Step {
        if let slot = slots.damagedSlot { return end(.refused(.damagedSlot(slot))) }
        if let cluster = slots.foreignCluster(to: claim.cluster) { return end(.refused(.foreign(cluster: cluster))) }
        if let highest = slots.highest, highest != ours, let refusal = surpassed(by: highest) {
            return end(.refused(refusal))
        }
        guard slots.holdTwice(ours) else { return end(.refused(.claimWasLost)) }
        invariant(.noStaleService, slots.highest == ours, "a store taken below a higher tenure")
        return end(.taken(ours))
    }

    private func readSlots(_ format: StoreFormat) -> StoreRequest {
        .read(offset: StoreLayout.slotsOffset, count: format.slotsByteCount)
    }

    private mutating func end(_ step: Step) -> Step {
        state = .ended(step)
        return step
    }
}
