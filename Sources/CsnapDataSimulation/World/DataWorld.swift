import CsnapCore
import CsnapSession
package import CsnapSimulation
import CsnapStore
import CsnapStoreSimulation

/// One volume with its disks, the nodes that use it, and one server after the other, in virtual time.
///
/// What runs is production code: `ClientCore`, `SessionTable` and `SnapshotStore`. The world is their sockets, disks,
/// threads, clock, agents and people.
package final class DataWorld {
    static let chunks = 24
    static let chunkSize = 4096
    static let volume = "v"
    /// What lands late lands within this, as settling assumes.
    static let settle: Int64 = 3_000_000_000

    let plan: DataPlan
    var random: Generator
    private(set) var now: TrueTime = 1_000_000_000
    private var events = EventQueue<() -> Void>()
    package var trace = Trace()
    package var statistics = DataStatistics()
    private(set) package var violation: DataViolation?

    let origin: SharedDisk
    let store: SharedDisk
    private(set) var nodes: [DataNode] = []
    private(set) lazy var director = Director(self)
    private(set) lazy var injector = Injector(self)
    private(set) lazy var people = People(self)
    private(set) lazy var probes = Probes(self)
    let model = SnapshotModel()
    private(set) lazy var branches = BranchModel(model)
    var ledger = HoldLedger()
    private var version: UInt32 = 0
    private var lastConnection: UInt64 = 0
    /// Faults happen and new work begins.
    private(set) var isBusy = true

    package init(_ plan: DataPlan, seed: UInt64, recording: Bool = false) {
        self.plan = plan
        random = Generator(seed: seed)
        let geometry = StoreGeometry(
            originSize: UInt64(Self.chunks * Self.chunkSize),
            storeSize: StoreLayout.dataOffset + UInt64(plan.windows) << 15, chunkSize: UInt32(Self.chunkSize),
            windowSize: 32 << 10, nodeSize: 512)
        var image = DiskImage(size: Int(geometry.storeSize))
        do {
            let format = try StoreFormat(store: Bits128(high: 1, low: 2), geometry: geometry, slotCount: 16)
            for request in format.format() {
                if case .write(let offset, let bytes) = request {
                    image.write(DiskWrite(offset: Int(offset), bytes: bytes))
                }
            }
        } catch {
            preconditionFailure("the world's own format is refused: \(error)")
        }
        store = SharedDisk(image)
        origin = SharedDisk(DiskImage(size: Self.chunks * Self.chunkSize))
        nodes = (0..<plan.nodes).map { DataNode($0, self) }
        trace.isRecording = recording
    }

    var instant: Instant { Instant(nanoseconds: now) }

    func after(_ delay: Int64, _ body: @escaping () -> Void) { events.insert(body, at: now + max(0, delay)) }

    /// In `low..<high` milliseconds, by the microsecond.
    func milliseconds(_ low: Int, _ high: Int) -> Int64 {
        Int64(low * 1000 + random.next(below: max(1, (high - low) * 1000))) * 1000
    }

    func chance(_ part: Int, in whole: Int) -> Bool { random.next(below: whole) < part }

    /// How long a message is under way.
    func latency() -> Int64 {
        chance(1, in: 8) ? milliseconds(0, plan.slowMessages) : milliseconds(0, 2)
    }

    func nextVersion() -> UInt32 {
        version += 1
        return version
    }

    func nextConnection() -> ConnectionID {
        lastConnection += 1
        return ConnectionID(lastConnection)
    }

    /// What happens becomes part of the trace.
    func note(_ kind: UInt64, _ a: UInt64, _ b: UInt64, _ text: @autoclosure () -> String) {
        trace.mix(UInt64(now))
        trace.mix(kind << 56 ^ a << 32 ^ b)
        trace.line(now, text())
    }

    func fail(_ rule: String, _ text: @autoclosure () -> String) {
        guard violation == nil else { return }
        violation = DataViolation(rule: rule, time: now, text: text())
    }

    // MARK: - A run

    /// `seconds` with faults and work, then peace until all that was begun has ended.
    package func run(seconds: Int64) {
        director.begin(after: 0)
        for node in nodes { node.start() }
        people.work()
        probes.work()
        injector.work()
        advance(to: now + seconds * 1_000_000_000)
        isBusy = false
        injector.heal()
        let rest = now + 40_000_000_000
        while violation == nil, !isAtRest, now < rest { advance(to: now + 50_000_000) }
        if violation == nil, !isAtRest { fail("L2", "not at rest: \(unrest.prefix(4).joined(separator: ", "))") }
        if violation == nil { director.server?.sweep() }
        dismantle()
    }

    private func advance(to end: TrueTime) {
        while violation == nil, events.nextTime <= end, let event = events.pop() {
            now = max(now, event.time)
            statistics[.events] += 1
            event.payload()
        }
        now = max(now, end)
    }

    private var isAtRest: Bool { unrest.isEmpty }

    /// What has not ended.
    private var unrest: [String] {
        var unrest: [String] = []
        if director.phase != .active { unrest.append("no server is active") }
        for node in nodes {
            guard let client = node.client, !client.isDead else {
                if node.isAway { continue }
                unrest.append("node \(node.id.value) has no client")
                continue
            }
            if node.standing != .ready { unrest.append("node \(node.id.value) is \(node.standing)") }
            unrest += client.unrest
        }
        if !people.isDone { unrest.append("people wait for \(people.waitsFor)") }
        return unrest
    }

    /// So that nothing keeps the world in memory.
    private func dismantle() {
        events = EventQueue()
        director.dismantle()
        for node in nodes {
            node.client?.dismantle()
            node.ends.dismantle()
        }
        people.dismantle()
    }

    // MARK: - Late writes

    /// It lands within `longest`, or never; `landed` is called then.
    func lands(_ late: LateWrite, on disk: SharedDisk, longest: Int64, _ landed: @escaping () -> Void) {
        guard chance(3, in: 4) else {
            late.isOver = true
            return
        }
        after(Int64(random.next() % UInt64(max(1, longest)))) { [self] in
            guard !late.isOver else { return }
            late.isOver = true
            statistics[.lateWrites] += 1
            disk.write(late.write)
            landed()
        }
    }
}

package struct DataViolation: Sendable {
    package var rule: String
    package var time: TrueTime
    package var text: String

    package init(rule: String, time: TrueTime, text: String) {
        self.rule = rule
        self.time = time
        self.text = text
    }
}
