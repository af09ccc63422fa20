import CsnapCore
import CsnapSession
import CsnapStore
import CsnapStoreSimulation

/// One server process: its table of sessions, its store, and the thread that works on the store.
final class ServerShell {
    unowned let world: DataWorld
    let tenure: Tenure
    let node: DataNode
    let storePath = DiskPath()
    let originPath = DiskPath()
    private(set) var isDead = false
    private(set) var table: SessionTable?
    private(set) var volume: SimulatedVolume?
    private(set) var connections: [ConnectionID: Connection] = [:]
    /// Who speaks on a connection, as its hello says.
    private(set) var speakers: [ConnectionID: SessionHello] = [:]
    /// Write queries that are not answered, by connection and request.
    var asked: [ConnectionID: [UInt64: [ChunkRange]]] = [:]
    private var readsAsked: [ConnectionID: [UInt64: [ChunkRange]]] = [:]
    /// Writes to branches, and how many of them were done before each came.
    var branchesAsked: [ConnectionID: [UInt64: (data: BranchData, since: Int)]] = [:]
    var struck: [NodeBoot] = []
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
        let claim = StoreClaim(
            tenure: tenure, cluster: Bits128(high: 7, low: 7), owner: node.owner, lastActiveEpoch: .none,
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
            let problem =
                world.model.taken(volume.store.snapshots) ?? looking { world.branches.taken(&$0) } ?? nil
            if let problem { return world.fail("D4", problem) }
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
        case .cancel(_, let tickets): orders.removeAll { tickets.contains($0.ticket) }
        }
    }

    // MARK: - Connections

    func accept(_ connection: Connection) {
        connections[connection.id] = connection
        with { $0.opened(connection.id, at: world.instant) }
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
        branchesAsked[id] = nil
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
        case .writeBranch(let request, _, let data):
            branchesAsked[id, default: [:]][request] = (data, world.branches.clock)
        case .readData, .barrierAck, .listSnapshots, .queryChanges, .openImages, .command, .ping: break
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
        case .written(let request, _): judgeWritten(request, id)
        case .refused, .data, .barrierBegin, .barrierEnd, .snapshotsChanged, .snapshots, .changes, .outcome,
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

    /// As StoreKeeper: neighbouring write queries together, and neighbouring writes to branches; all else by itself,
    /// and its own work when there is no other.
    private func step() {
        guard var volume = volume.take() else { return }
        defer { self.volume = volume }
        world.store.recent = []
        world.origin.recent = []
        do throws(StoreError) {
            switch StoreWork(
                first: orders.lazy.map { $0.order }, chunkSize: volume.store.facts.geometry.chunkSize)
            {
            case .writeBranches(let writes):
                world.branches.begin(writes)
                world.note(12, orders[0].ticket, UInt64(writes.count), "store: \(writes.count) writes to branches")
                let results = try volume.write(writes)
                if let problem = world.branches.done(results) { world.fail("D5", problem) }
                for (order, result) in zip(orders, results) {
                    if result == .full { world.statistics[.fullBranches] += 1 }
                    tell(order.ticket, result)
                }
                orders.removeFirst(writes.count)
            case .copyOut(let group):
                let results = try volume.copyOut(group)
                for (order, result) in zip(orders, results) {
                    if result == .full { world.statistics[.fullStores] += 1 }
                    tell(order.ticket, result)
                }
                orders.removeFirst(group.count)
                if results.contains(.full) { try drop(&volume) }
            case .one:
                let order = orders.removeFirst()
                world.model.begin(order.order, origin: world.origin.image)
                world.branches.begin(order.order)
                world.note(7, order.ticket, 0, "store: \(order.order)")
                if case .map(let number, _) = order.order { volume.isRead(number, at: world.now) }
                let result = try volume.perform(order.order)
                judgeImages(order.order, volume)
                judgeCommit(order.order)
                tell(order.ticket, result)
            case nil:
                guard volume.store.needsMaintenance else { break }
                try volume.maintain()
                let freed = world.ledger.freed { volume.isUsed($0) }
                if let freed { world.fail("D9", freed) }
            }
        } catch {
            world.note(8, tenure.epoch.value, 0, "the store failed: \(error)")
            return die(isAbrupt: false)
        }
        if let read = world.ledger.overwritten(by: world.store.recent) { world.fail("D9", read) }
        if !world.origin.recent.isEmpty { world.fail("D1", "the server writes to the origin") }
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
        judgeImages(order, volume)
        news { $0.dropped(snapshot.number.value, volume: 0) }
        if world.isBusy, world.plan.followsDrops { world.injector.follow(self) }
    }

    private func tell(_ ticket: UInt64, _ result: StoreResult) {
        news { [world] in $0.completed(ticket, volume: 0, result, at: world.instant) }
    }

    /// In their order.
    private func news(_ body: @escaping (inout SessionTable) -> [SessionAction]) {
        lastNews = max(lastNews, world.now + world.milliseconds(0, 1))
        world.after(lastNews - world.now) { [self] in with(body) }
    }
}
