package import CsnapCore

/// The snapshot store of one volume, taken for one tenure (docs/data-plane.md, "Snapshot store").
///
/// A value that runs on whichever thread owns its devices; each call returns when what it did is durable. One call at
/// a time. After a fatal error every call throws `ended`: nothing is written any more.
///
/// The caller's duties: read holds (no grant for a chunk that somebody reads from the origin), the gate (in the
/// device's `write`), the barrier around `create`, and `maintain` whenever there is nothing else to do.
package struct SnapshotStore<Device: BlockDevice> {
    var device: Device
    var origin: Device

    init(device: Device, origin: Device) {
        self.device = device
        self.origin = origin
    }
}

extension SnapshotStore {
    /// Takes the store: claims a slot, reads what the last tenure left, and stands before all others, or refuses.
    ///
    /// `settled`: what is known of dead servers; more can be said later (`settle`).
    package static func take(
        _ claim: StoreClaim, device: Device, origin: Device, settled: [SettleFact]
    ) throws(StoreRefusal) -> SnapshotStore { fatalError("not yet") }

    package var facts: VolumeFacts { fatalError("not yet") }

    /// By number, oldest first.
    package var snapshots: [Snapshot] { fatalError("not yet") }

    /// Snapshots of several volumes whose fate is open; to be committed or abandoned before the first grant.
    package var prepared: [PreparedSnapshot] { fatalError("not yet") }

    package var writers: [WriterRecord] { fatalError("not yet") }

    package var unsettled: [UnsettledTenure] { fatalError("not yet") }

    package var space: StoreSpace { fatalError("not yet") }

    /// Whether `maintain` has something to do.
    package var needsMaintenance: Bool { fatalError("not yet") }

    /// Saves each chunk of these queries that a snapshot lacks; one flush for all of them where they fit. One
    /// outcome for each query, in their order. A write that waited for a hold must be asked for again.
    package mutating func grant(_ queries: [[Range<UInt64>]]) throws(StoreError) -> [GrantOutcome] {
        fatalError("not yet")
    }

    /// Makes a snapshot; the caller's barrier is around this. Of a uuid that there is already: that snapshot.
    package mutating func create(_ request: SnapshotRequest) throws(StoreError) -> Snapshot { fatalError("not yet") }

    /// First step of a snapshot of several volumes: durable, may be committed by `commitPrepared`. Idempotent.
    package mutating func prepare(_ snapshot: PreparedSnapshot) throws(StoreError) { fatalError("not yet") }

    /// Second step; idempotent by the uuid. First in the store that decides, then in the others.
    package mutating func commitPrepared(_ uuid: Bits128) throws(StoreError) -> Snapshot { fatalError("not yet") }

    /// Forgets a prepared snapshot; nothing to do if there is none.
    package mutating func abandonPrepared(_ uuid: Bits128) throws(StoreError) { fatalError("not yet") }

    /// Durable on return. Its space comes back by `maintain`.
    package mutating func delete(_ number: SnapshotNumber) throws(StoreError) { fatalError("not yet") }

    /// Changes name, priority and flags; uuid and date stay.
    package mutating func change(
        _ number: SnapshotNumber, name: String, priority: Int32, flags: SnapshotFlags
    ) throws(StoreError) -> Snapshot { fatalError("not yet") }

    /// Where these chunks of a snapshot lie, in order, neighbours together; at most 1024 parts (the rest: ask again).
    package mutating func locate(
        _ number: SnapshotNumber, _ chunks: Range<UInt64>
    ) throws(StoreError) -> [ChunkLocation] { fatalError("not yet") }

    /// One chunk of a snapshot, checked against its checksum where it is in the store; for nodes that do not see
    /// the store. From the origin only under a hold.
    package mutating func read(_ number: SnapshotNumber, chunk: UInt64) throws(StoreError) -> [UInt8] {
        fatalError("not yet")
    }

    /// Chunks that differ between `from` and `to`, or between `from` and the present origin (nil), from a chunk on;
    /// at most `limit`.
    package mutating func diff(
        _ from: SnapshotNumber, _ to: SnapshotNumber?, startingAt chunk: UInt64, limit: Int
    ) throws(StoreError) -> DiffPart { fatalError("not yet") }

    /// The snapshot that the policy "drop" gives up next: lowest priority, then oldest; never a pinned one, nor one
    /// of `inUse`.
    package func dropCandidate(inUse: [SnapshotNumber]) -> SnapshotNumber? { fatalError("not yet") }

    /// Durable before the first WELCOME of this writer; nothing to do if it is there.
    package mutating func addWriter(_ writer: WriterRecord) throws(StoreError) { fatalError("not yet") }

    package mutating func clearWriter(_ writer: WriterRecord) throws(StoreError) { fatalError("not yet") }

    /// Gives back what was kept away because of tenures of which one of these is true.
    package mutating func settle(_ facts: [SettleFact]) throws(StoreError) { fatalError("not yet") }

    /// In a barrier: the origin has become larger.
    package mutating func resize(originSize: UInt64) throws(StoreError) { fatalError("not yet") }

    /// Raised whenever addresses that `locate` gave become free. The space is used again only after
    /// `readersForgot(freeStamp)`: every open session has then answered INVALIDATE with no older read running.
    package var freeStamp: UInt64 { fatalError("not yet") }

    package mutating func readersForgot(upTo stamp: UInt64) { fatalError("not yet") }

    /// One step of checkpoint or sweep: some ten milliseconds at most.
    package mutating func maintain() throws(StoreError) -> MaintenanceStep { fatalError("not yet") }

    /// Verifies everything that is reachable, while the store serves; `data`: the saved data as well.
    package mutating func check(data: Bool) throws(StoreError) -> CheckReport { fatalError("not yet") }
}
