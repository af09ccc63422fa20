import CShims
import CsnapCore
import CsnapSession
import CsnapStore
import Glibc
import Synchronization

/// What the thread of a store tells the main thread, in its order.
enum StoreNews {
    case taken(SessionVolume)
    case refused(StoreRefusal)
    /// The order of that ticket is carried out.
    case completed(ticket: UInt64, StoreResult)
    /// Addresses that readers may know became free; SessionTable says when they are forgotten.
    case freed(UInt64)
    /// How full the store is has become worth saying.
    case space(percent: UInt8, isHolding: Bool)
    /// A snapshot was deleted for room, as the configuration says.
    case dropped(SnapshotEntry)
    /// The store is damaged, and serves on as far as it can.
    case damaged(String)
    /// The store is lost to this server; a successor finds out what became of its last writes.
    case failed(ServerFailure, String, epochSeen: Epoch)
}

/// The store of one volume and the one thread that touches it.
final class StoreKeeper: Sendable {
    /// Between two steps of the store's own work, so that it takes no more than half of the disk.
    private static let pause: Int32 = 5

    private struct Order {
        var ticket: UInt64
        var order: StoreOrder
    }

    private struct Inbox {
        var claim: StoreClaim?
        /// Nobody waits for the taking any more.
        var isLeftOut = false
        /// Not begun yet.
        var orders: [Order] = []

        /// The first orders, as many as go together.
        mutating func takeWork(_ chunkSize: UInt32) -> (work: StoreWork, tickets: [UInt64])? {
            guard let work = StoreWork(first: orders.lazy.map { $0.order }, chunkSize: chunkSize) else { return nil }
            let tickets = orders.prefix(work.count).map { $0.ticket }
            orders.removeFirst(work.count)
            return (work, tickets)
        }
    }

    let about: CsnapConfiguration.Volume
    private let gate: ServiceGate
    private let record: ServiceRecord
    private let done: Doorbell
    private let work: Doorbell
    private let inbox = Mutex(Inbox())
    private let news = Mutex<[StoreNews]>([])
    /// Since when the thread is at one piece of work, in nanoseconds; 0: at none.
    private let busySince = Atomic<Int64>(0)
    /// When it was last said that it hangs: of which piece of work.
    private let saidHanging = Atomic<Int64>(0)
    /// A piece of work is done much sooner by a disk that answers.
    private static let patience = Interval.seconds(2)

    /// Safe to hand over: they are used by the store's thread alone.
    private struct Devices: @unchecked Sendable {
        let store: StoreDevice
        let origin: StoreDevice
    }

    /// Opens the store and starts its thread; `done` is rung when `takeNews` has something to say.
    init(
        _ volume: CsnapConfiguration.Volume, gate: ServiceGate, record: ServiceRecord, done: Doorbell
    ) throws(SystemError) {
        about = volume
        self.gate = gate
        self.record = record
        self.done = done
        work = try Doorbell(blocking: true)
        let store = try StoreDevice(path: volume.store)
        try store.lock(exclusively: false)
        let devices = Devices(store: store, origin: try StoreDevice(path: volume.origin, writable: false))
        try ServerThread.start("store") { [self] in run(devices) }
    }

    var volume: String { about.name }
    var path: String { about.store }

    /// Begins the taking; at most once in a process.
    func take(_ claim: StoreClaim) {
        inbox.withLock { $0.claim = claim }
        work.ring()
    }

    /// It hangs: should the taking come to its end, nothing follows.
    func leaveOut() { inbox.withLock { $0.isLeftOut = true } }

    /// For a store that is taken. Orders are carried out in their order.
    func submit(_ order: StoreOrder, ticket: UInt64) {
        inbox.withLock { $0.orders.append(Order(ticket: ticket, order: order)) }
        work.ring()
    }

    /// What of these is not begun is not done, and never answered.
    func cancel(_ tickets: [UInt64]) {
        let cancelled = Set(tickets)
        inbox.withLock { $0.orders.removeAll { cancelled.contains($0.ticket) } }
    }

    func takeNews() -> [StoreNews] {
        news.withLock { news in
            defer { news = [] }
            return news
        }
    }

    /// For how long the thread has been at one piece of work, if that is too long.
    func hanging(_ now: Instant) -> Interval? {
        let since = busySince.load(ordering: .acquiring)
        let age = now - Instant(nanoseconds: since)
        return since != 0 && age >= Self.patience ? age : nil
    }

    /// True once for each piece of work that hangs.
    func takeHanging(_ now: Instant) -> Bool {
        let since = busySince.load(ordering: .acquiring)
        guard hanging(now) != nil else { return false }
        return saidHanging.exchange(since, ordering: .relaxed) != since
    }

    private func noteBusy() { busySince.store(BootClock.now().nanoseconds, ordering: .releasing) }

    private func watched<Result>(_ body: () throws(StoreError) -> Result) throws(StoreError) -> Result {
        noteBusy()
        defer { busySince.store(0, ordering: .releasing) }
        return try body()
    }

    private func tell(_ some: [StoreNews]) {
        if some.isEmpty { return }
        news.withLock { $0 += some }
        done.ring()
    }

    // MARK: The thread

    private func run(_ devices: Devices) {
        var claim = StoreClaim?.none
        while claim == nil {
            work.wait()
            claim = inbox.withLock { $0.claim }
        }
        guard var claim else { return }
        // They may have grown since they were opened. What cannot be measured is refused by the store.
        for device in [devices.store, devices.origin] { try? device.measure() }
        claim.deviceSize = devices.store.size
        do throws(StoreRefusal) {
            let gate = GatedStore(gate: gate, record: record) { [self] in
                if busySince.load(ordering: .relaxed) != 0 { noteBusy() }
            }
            var store = try VolumeStore(claim, about, store: devices.store, origin: devices.origin, gate: gate)
            if inbox.withLock({ $0.isLeftOut }) { return }
            tell([.taken(store.about)])
            serve(&store)
        } catch {
            tell([.refused(error)])
        }
    }

    /// Until the process ends, or the store fails.
    private func serve(_ store: inout VolumeStore) {
        var freed = store.freeStamp
        let chunkSize = store.about.chunkSize
        var watch = SpaceWatch()
        while true {
            var polled = pollfd(fd: work.descriptor, events: Int16(POLLIN), revents: 0)
            let patience = min(UInt32(bitPattern: store.rest), UInt32(bitPattern: watch.patience))
            let isRung = poll(&polled, 1, store.needsMaintenance ? Self.pause : Int32(bitPattern: patience)) > 0
            if isRung { work.wait() }
            // What comes meanwhile waits for a step of the store's own work.
            var left = inbox.withLock { $0.orders.count }
            watch.isDue = watch.isDue || left > 0 || store.needsMaintenance
            do throws(StoreError) {
                while left > 0, let (work, tickets) = inbox.withLock({ $0.takeWork(chunkSize) }) {
                    left -= tickets.count
                    let results = try watched { () throws(StoreError) in try Self.carryOut(work, &store) }
                    tell(zip(tickets, results).map { .completed(ticket: $0, $1) })
                }
                if store.needsMaintenance { try watched { () throws(StoreError) in try store.maintain() } }
            } catch {
                return tell([.failed(error.failure, error.sentence(about), epochSeen: error.epochSeen)])
            }
            tell(store.takeDropped().map { .dropped(SnapshotEntry($0)) })
            if let damage = store.takeDamage() { tell([.damaged(damage.sentence(about))]) }
            if let news = watch.news(of: store, at: BootClock.now()) { tell([news]) }
            guard store.freeStamp != freed else { continue }
            freed = store.freeStamp
            tell([.freed(freed)])
        }
    }

    /// One result for each order.
    private static func carryOut(
        _ work: StoreWork, _ store: inout VolumeStore
    ) throws(StoreError) -> [StoreResult] {
        switch work {
        case .copyOut(let copies): try store.copyOut(copies)
        case .writeBranches(let writes): try store.write(writes)
        case .one(let order): [try store.perform(order)]
        }
    }
}

/// Says when a store crosses 80, 95 or 100 %, and when writes begin or cease to wait for room.
struct SpaceWatch {
    /// At most one look in this time: it counts all windows.
    private static let interval = Interval.seconds(1)
    /// So far below a mark the store must be before it is said to have left it.
    private static let slack = 2

    /// Something was done since the last look.
    var isDue = true
    private var level = StoreLevel.ample
    private var wasHolding = false
    private var nextLook = Instant.distantPast

    /// For poll(2).
    var patience: Int32 { isDue || wasHolding ? Int32(Self.interval.nanoseconds / 1_000_000) : -1 }

    mutating func news(of store: VolumeStore, at now: Instant) -> StoreNews? {
        let isHolding = store.isHolding(now)
        guard isHolding != wasHolding || isDue && now >= nextLook else { return nil }
        isDue = false
        nextLook = now + Self.interval
        let percent = store.space.percent
        var level = StoreLevel(percent: percent)
        if level < self.level { level = min(self.level, StoreLevel(percent: percent + Self.slack)) }
        guard level != self.level || isHolding != wasHolding else { return nil }
        self.level = level
        wasHolding = isHolding
        return .space(percent: UInt8(percent), isHolding: isHolding)
    }
}

/// Lets no store write begin past soft, and records each. Past hard the process ends while a thread waits here.
struct GatedStore: Sendable {
    let gate: ServiceGate
    let record: ServiceRecord
    /// Called again and again meanwhile: it is not the disk that is waited for.
    let whileClosed: @Sendable () -> Void

    func waitToWrite() {
        while !gate.mayServe(BootClock.now()) {
            whileClosed()
            csnap_pause(1)
        }
    }

    func written() { record.served(at: BootClock.now()) }
}
