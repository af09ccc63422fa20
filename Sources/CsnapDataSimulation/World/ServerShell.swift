import CsnapCore
import CsnapSession
import CsnapStore
import CsnapStoreSimulation

/// One server process: its table of sessions, its store, and the thread that works on the store.
final class ServerShell {
    private static let groupLimit = 64

    private unowned let world: DataWorld
    let tenure: Tenure
    let node: DataNode
    let storePath = DiskPath()
    let originPath = DiskPath()
    private(set) var isDead = false
    private(set) var table: SessionTable?
    private var volume: SimulatedVolume?
    private(set) var connections: [ConnectionID: Connection] = [:]
    /// Who speaks on a connection, as its hello says.
    private(set) var speakers: [ConnectionID: SessionHello] = [:]
    /// Write queries that are not answered, by connection and request.
    private var asked: [ConnectionID: [UInt64: [ChunkRange]]] = [:]
    private var readsAsked: [ConnectionID: [UInt64: [ChunkRange]]] = [:]
    private var struck: [NodeBoot] = []
    private var orders: [(ticket: UInt64, order: StoreOrder)] = []
    private var isWorking = false
    private var lastNews: Int64 = 0
    private var freed: UInt64 = 0
    private var wakeAt: Instant?

    init(_ world: DataWorld, tenure: Tenure, node: DataNode) {
        self.world = world
        self.tenure = tenure
        self.node = node
        originPath.hasOwnCache = world.plan.hasOwnCaches
    }

    var isListening: Bool { table != nil }

    // MARK: - Life

    /// START.
    func take(admitted: [NodeBoot]) {
        let owner = StoreOwner(
            process: node.process, machineID: node.machineID, kernelBootID: node.kernelBootID)
        let claim = StoreClaim(
            tenure: tenure, cluster: Bits128(high: 7, low: 7), owner: owner, lastActiveEpoch: .none,
            deviceSize: UInt64(world.store.image.size))
        do throws(StoreRefusal) {
            let volume = try SimulatedVolume(
                claim, store: SimulatedPath(disk: world.store, path: storePath),
                origin: SimulatedPath(disk: world.origin, path: originPath), isKernelOld: node.isKernelOld)
            self.volume = volume
            freed = volume.store.freeStamp
            var limits = SessionLimits()
            limits.barrierPatience = .milliseconds(Int64(world.plan.patience))
            limits.settle = Interval(nanoseconds: DataWorld.settle)
            table = SessionTable(tenure: tenure, volumes: [volume.about], admitted: admitted, limits: limits)
            world.note(1, tenure.epoch.value, UInt64(tenure.round.value), "server \(tenure) has the store")
            world.ledger.serverGone()
            if let problem = world.model.taken(volume.store.snapshots) { return world.fail("D4", problem) }
            sweep()
            scheduleWake()
            world.director.started(self)
        } catch {
            world.note(2, tenure.epoch.value, 0, "server \(tenure) refused: \(error)")
            die(isAbrupt: false)
            world.director.refused(self, error)
        }
    }

    /// The process is gone. What it was just writing lands later, or never.
    func die(isAbrupt: Bool) {
        guard !isDead else { return }
        isDead = true
        world.note(3, tenure.epoch.value, UInt64(tenure.round.value), "server \(tenure) dies")
        storePath.isDead = true
        originPath.isDead = true
        for write in storePath.uncertain { node.leave(LateWrite(write), isServer: true) }
        for connection in connections.values.sorted(by: { $0.id < $1.id }) {
            if isAbrupt { connection.cut(isHalfOpen: true) } else { connection.closeAtServer() }
        }
        world.director.serverDied(self)
    }

    func dismantle() {
        connections.removeAll()
        volume = nil
        table = nil
    }

    // MARK: - The table

    func with(_ body: (inout SessionTable) -> [SessionAction]) {
        guard !isDead, var table = table.take() else { return }
        let actions = body(&table)
        self.table = table
        for action in actions where !isDead { perform(action) }
        scheduleWake()
    }

    private func scheduleWake() {
        guard let wake = table?.nextWake, wakeAt.map({ wake < $0 }) ?? true else { return }
        wakeAt = wake
        world.after((wake - world.instant).nanoseconds) { [self] in
            guard wakeAt == wake else { return }
            wakeAt = nil
            with { $0.wake(world.instant) }
        }
    }

    private func perform(_ action: SessionAction) {
        switch action {
        case .send(let frame, let id): send(frame, id)
        case .close(let id, let end):
            world.note(4, id.value, 0, "connection \(id.value) ended: \(end)")
            guard let connection = connections[id] else { return }
            forget(id)
            connection.closeAtServer()
        case .sessions: break
        case .struck(let process): judgeStrike(process)
        case .store(_, let ticket, let order):
            orders.append((ticket, order))
            work()
        }
    }

    // MARK: - Connections

    func accept(_ connection: Connection) {
        connections[connection.id] = connection
        with { $0.opened(connection.id) }
    }

    func lost(_ connection: Connection) {
        guard !isDead, connections[connection.id] != nil else { return }
        forget(connection.id)
        with { $0.closed(connection.id, at: world.instant) }
    }

    private func forget(_ id: ConnectionID) {
        connections[id] = nil
        speakers[id] = nil
        asked[id] = nil
        readsAsked[id] = nil
    }

    func receive(_ frame: ClientFrame, on connection: Connection) {
        let id = connection.id
        guard !isDead, connections[id] != nil else { return }
        world.note(5, id.value, UInt64(frame.epoch.value), "server hears on \(id.value): \(frame)")
        switch frame {
        case .hello(let hello):
            speakers[id] = hello
            if hello.image == SessionHello.origin { world.ledger.anew(hello) }
        case .queryWrite(let request, _, let ranges): asked[id, default: [:]][request] = ranges
        case .queryRead(let request, _, _, let ranges): readsAsked[id, default: [:]][request] = ranges
        case .endRead(let request, _):
            if let speaker = speakers[id] { world.ledger.ended(speaker, request) }
        case .bye:
            if let speaker = speakers[id], speaker.image == SessionHello.origin { world.ledger.anew(speaker) }
        case .clientGone(_, _, _, let client):
            if let speaker = speakers[id] { world.ledger.gone(speaker.process, client) }
        case .readData, .writeBranch, .barrierAck, .listSnapshots, .queryChanges, .command, .ping: break
        }
        with { $0.received(frame, on: id, at: world.instant) }
    }

    /// Judges what leaves before it does.
    private func send(_ frame: ServerFrame, _ id: ConnectionID) {
        guard let connection = connections[id] else { return }
        world.note(6, id.value, 0, "server says on \(id.value): \(frame)")
        judgeStruck(frame, id)
        switch frame {
        case .grant(let request, _, _): judgeGrant(request, id)
        case .error(let request, _, _):
            if asked[id]?[request] != nil { asked[id]?[request] = nil } else { readsAsked[id]?[request] = nil }
        case .map(let request, _, let pieces):
            if let speaker = speakers[id], let ranges = readsAsked[id]?[request] {
                world.ledger.mapped(speaker, request, ranges, pieces)
                readsAsked[id]?[request] = nil
            }
        case .welcome: judgeWelcome(id)
        case .refused, .data, .written, .barrierBegin, .barrierEnd, .snapshotsChanged, .snapshots, .changes, .outcome,
            .pong, .goAway:
            break
        }
        connection.send(frame)
    }

    // MARK: - The store's thread

    private func work() {
        guard !isDead, !isWorking else { return }
        guard !orders.isEmpty else {
            if volume?.store.needsMaintenance == true { schedule(world.milliseconds(4, 6)) }
            return
        }
        schedule(world.chance(1, in: 10) ? world.milliseconds(1, world.plan.slowStore) : world.milliseconds(0, 2))
    }

    private func schedule(_ delay: Int64) {
        isWorking = true
        world.after(delay) { [self] in
            guard !isDead else { return }
            isWorking = false
            step()
            work()
        }
    }

    /// As StoreKeeper: neighbouring write queries together, all else by itself; its own work when there is no other.
    private func step() {
        guard var volume = volume.take() else { return }
        defer { self.volume = volume }
        world.store.recent = []
        do throws(StoreError) {
            var group: [[ChunkRange]] = []
            for order in orders.prefix(Self.groupLimit) {
                guard case .copyOut(let ranges) = order.order else { break }
                group.append(ranges)
            }
            if !group.isEmpty {
                let results = try volume.copyOut(group)
                for (order, result) in zip(orders, results) { tell(order.ticket, result) }
                orders.removeFirst(group.count)
                if results.contains(.full) { try drop(&volume) }
            } else if !orders.isEmpty {
                let order = orders.removeFirst()
                world.model.begin(order.order, origin: world.origin.image)
                world.note(7, order.ticket, 0, "store: \(order.order)")
                if case .map(let number, _) = order.order { volume.isRead(number, at: world.now) }
                let result = try volume.perform(order.order)
                if let problem = world.model.done(order.order, volume.store.snapshots) { world.fail("D5", problem) }
                judgeCommit(order.order)
                tell(order.ticket, result)
            } else if volume.store.needsMaintenance {
                try volume.maintain()
                let freed = world.ledger.freed { volume.isUsed($0) }
                if let freed { world.fail("D9", freed) }
            }
        } catch {
            world.note(8, tenure.epoch.value, 0, "the store failed: \(error)")
            return die(isAbrupt: false)
        }
        if let read = world.ledger.overwritten(by: world.store.recent) { world.fail("D9", read) }
        guard volume.store.freeStamp != freed else { return }
        freed = volume.store.freeStamp
        let stamp = freed
        news { $0.freed(stamp, volume: 0) }
    }

    /// As the policy says.
    private func drop(_ volume: inout SimulatedVolume) throws(StoreError) {
        guard world.plan.drops, let snapshot = volume.dropCandidate(at: world.now) else { return }
        let order = StoreOrder.delete(name: snapshot.about.name, inUse: [])
        world.model.begin(order, origin: world.origin.image)
        guard case .changed = try volume.perform(order) else { return }
        world.statistics[.drops] += 1
        world.note(9, snapshot.number.value, 0, "the full store drops snapshot \(snapshot.number.value)")
        if let problem = world.model.done(order, volume.store.snapshots) { world.fail("D5", problem) }
        news { $0.dropped(snapshot.number.value, volume: 0) }
        if world.isBusy, world.plan.followsDrops { world.injector.follow(self) }
    }

    private func tell(_ ticket: UInt64, _ result: StoreResult) {
        if case .full = result { world.statistics[.fullStores] += 1 }
        news { [world] in $0.completed(ticket, volume: 0, result, at: world.instant) }
    }

    /// In their order.
    private func news(_ body: @escaping (inout SessionTable) -> [SessionAction]) {
        lastNews = max(lastNews, world.now + world.milliseconds(0, 1))
        world.after(lastNews - world.now) { [self] in with(body) }
    }
}

// MARK: - Oracles

extension ServerShell {
    /// Reads with the store's own eyes, of which nothing is hidden.
    private func looking<Result>(_ body: (inout SnapshotStore<SimulatedPath>) -> Result) -> Result? {
        guard var store = volume?.store else { return nil }
        storePath.isOracle = true
        originPath.isOracle = true
        defer {
            storePath.isOracle = false
            originPath.isOracle = false
        }
        return body(&store)
    }

    /// D1 for every chunk of every snapshot.
    func sweep() {
        guard !isDead else { return }
        let problem = looking { world.model.difference(&$0) } ?? nil
        world.statistics[.sweeps] += 1
        if let problem { world.fail("D1", problem) }
    }

    /// D1: new data on the origin, where a snapshot still looks.
    func landed(_ chunk: UInt64) {
        let problem = looking { world.model.exposed(chunk, &$0) } ?? nil
        if let problem { world.fail("D1", problem) }
    }

    /// D2: causes before their effects; and nobody's write is at the disk.
    fileprivate func judgeCommit(_ order: StoreOrder) {
        guard case .commit(_, let uuid, _) = order, let image = world.model.image(of: uuid) else { return }
        world.statistics[.snapshots] += 1
        if let problem = world.probes.problem(in: image) { world.fail("D2", problem) }
    }

    /// D3, D5, D6, D10.
    fileprivate func judgeGrant(_ request: UInt64, _ id: ConnectionID) {
        guard let ranges = asked[id]?[request], let speaker = speakers[id] else {
            return world.fail("D5", "a grant of request \(request) that nobody waits for")
        }
        asked[id]?[request] = nil
        world.statistics[.grants] += 1
        if let holder = world.ledger.holder(of: ranges) {
            return world.fail("D6", "node \(speaker.process.node.value) is granted a chunk that \(holder) reads")
        }
        guard let newest = world.model.newest else { return }
        world.statistics[.grantsUnderSnapshot] += 1
        let isDurable = world.store.unsynced.isEmpty
        for chunk in ranges.flatMap({ $0.first..<$0.end }) {
            let place = looking { try? $0.locate(newest, chunk..<chunk + 1).first?.place }
            guard case .store(let offset)?? = place else {
                return world.fail("D3", "chunk \(chunk) is granted, and snapshot \(newest.value) does not have it")
            }
            let bytes = world.store.durable.bytes(DataWorld.chunkSize, at: Int(offset))
            if let problem = world.model.difference(newest, Int(chunk), bytes) { return world.fail("D3", problem) }
        }
        if !isDurable, let problem = durableProblem(ranges, newest) { world.fail("D3", problem) }
    }

    /// What a successor would find if the power failed now.
    private func durableProblem(_ ranges: [ChunkRange], _ newest: SnapshotNumber) -> String? {
        let path = DiskPath()
        path.isOracle = true
        do {
            var store = try SnapshotStore.inspect(
                device: SimulatedPath(disk: SharedDisk(world.store.durable), path: path),
                origin: SimulatedPath(disk: world.origin, path: path))
            for chunk in ranges.flatMap({ $0.first..<$0.end }) {
                guard case .store = try store.locate(newest, chunk..<chunk + 1).first?.place else {
                    return "chunk \(chunk) is granted, and its place is not durable"
                }
            }
            return nil
        } catch {
            return "a grant, and the durable store says \(error)"
        }
    }

    /// The writer's record is durable before its first WELCOME.
    fileprivate func judgeWelcome(_ id: ConnectionID) {
        guard let hello = speakers[id], hello.image == SessionHello.origin, let store = volume?.store else { return }
        world.statistics[.welcomes] += 1
        let record = WriterRecord(
            node: hello.process.node, machineID: hello.machineID, kernelBootID: hello.kernelBootID)
        if !store.writers.contains(record) {
            world.fail("writer", "node \(hello.process.node.value) is welcome, and the store does not know its writer")
        }
    }

    /// D11.
    fileprivate func judgeStrike(_ process: NodeBoot) {
        struck.append(process)
        world.statistics[.strikes] += 1
        // In the same step: what the table says now is what is left.
        world.ledger.struck(process)
        guard let table else { return }
        if table.sessions(of: process) > 0 { world.fail("D11", "a session of \(process) is left after its strike") }
        if table.reads(of: process) > 0 { world.fail("D11", "a hold of \(process) is left after its strike") }
    }

    fileprivate func judgeStruck(_ frame: ServerFrame, _ id: ConnectionID) {
        guard let speaker = speakers[id] else { return }
        if case .goAway = frame { return }
        if case .refused = frame { return }
        if struck.contains(where: { $0.node == speaker.process.node && speaker.process.boot <= $0.boot }) {
            world.fail("D11", "the struck \(speaker.process) is told \(frame)")
        }
    }
}
