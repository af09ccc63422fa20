import CsnapCore
import CsnapRuntime
import CsnapSession
import CsnapStore
import CsnapStoreSimulation

/// One client process: `ClientCore`, its session, and the disk reads and writes that it let pass.
final class ClientShell {
    private unowned let world: DataWorld
    let node: DataNode
    let uuid: Bits128
    private var core: ClientCore
    private var connection: Connection?
    private(set) var isDead = false
    private var isStopping = false
    private var stopped: ((_ isHeard: Bool) -> Void)?
    /// Its session is open.
    private var isWelcome = false
    private var held: [OriginWrite] = []
    private var running: [OriginWrite] = []
    private var reads: [UInt64: SnapshotRead] = [:]
    /// What programs write to branches, and how many such writes were done before each.
    private var branchWrites: [UInt64: (data: BranchData, begun: Int)] = [:]
    private(set) var exports: [SnapshotEntry] = []
    private var lastTicket: UInt32 = 0
    private var lastRead = UInt64(1) << 63
    private var wakeAt: Instant?
    private lazy var load = DataLoad(world, self)

    init(_ world: DataWorld, _ node: DataNode, uuid: Bits128) {
        self.world = world
        self.node = node
        self.uuid = uuid
        core = ClientCore(
            client: uuid, volume: DataWorld.volume, processID: 1,
            machine: MachineIdentity(machineID: node.machineID, kernelBootID: node.kernelBootID),
            originSize: UInt64(DataWorld.chunks * DataWorld.chunkSize))
    }

    func begin() {
        world.note(30, uuid.high, uuid.low, "client \(name) starts")
        with { $0.agentConnected() }
        load.work()
    }

    var name: String { "\(uuid.high).\(uuid.low & 0xffff)" }

    var readCount: Int { reads.count }
    var branchWriteCount: Int { branchWrites.count }

    /// What has not ended here.
    var unrest: [String] {
        let queued = (held + running).map { "write \($0.ticket) of client \(name)" }
        return queued + reads.keys.sorted().map { "read \($0 & 0xffff) of client \(name)" }
            + branchWrites.keys.sorted().map { "write \($0 & 0xffff) to a branch of client \(name)" }
    }

    /// The writes it leaves at the disk.
    func die() -> [OriginWrite] {
        world.note(31, uuid.high, uuid.low, "client \(name) dies")
        isDead = true
        world.ledger.died(uuid)
        for write in branchWrites.values { world.branches.leave(write.data) }
        if node.isUp { connection?.outlive() } else { connection?.cut(isHalfOpen: true) }
        connection = nil
        let left = running
        dismantle()
        return left.filter { !$0.isOver }
    }

    /// The gate is closed for good; when nothing is at the disk any more, it says bye.
    func stop(_ stopped: @escaping (_ isHeard: Bool) -> Void) {
        guard !isDead, !isStopping else { return }
        isStopping = true
        self.stopped = stopped
        with { $0.close() }
        sayGoodbye()
    }

    private func sayGoodbye() {
        guard isStopping, !isDead, running.isEmpty else { return }
        world.statistics[.goodbyes] += 1
        connection?.send(.bye)
        connection?.close()
        connection = nil
        _ = die()
        stopped?(isWelcome)
    }

    func dismantle() {
        held = []
        running = []
        reads.removeAll()
        branchWrites.removeAll()
        connection = nil
    }

    // MARK: - The core

    func hear(_ message: AgentToClient) {
        guard !isDead else { return }
        with { $0.receive(message, now: world.instant) }
    }

    private func with(_ body: (inout ClientCore) -> Void) {
        body(&core)
        pump()
    }

    private func pump() {
        while !isDead, core.hasActions {
            for action in core.takeActions() where !isDead { perform(action) }
        }
        scheduleWake()
    }

    private func scheduleWake() {
        guard !isDead, let wake = core.nextWake, wakeAt.map({ wake < $0 }) ?? true else { return }
        wakeAt = wake
        world.after((wake - world.instant).nanoseconds) { [self] in
            guard wakeAt == wake, !isDead else { return }
            wakeAt = nil
            with { $0.wake(world.instant) }
        }
    }

    private func perform(_ action: ClientCore.Action) {
        switch action {
        case .tell(let message): world.director.hear(message, from: self)
        case .connect(let address): connect(address)
        case .disconnect:
            connection?.close()
            connection = nil
        case .send(let frame):
            world.note(32, uuid.high, uuid.low, "client \(name) says \(frame)")
            connection?.send(frame)
        case .wake: lookAgain()
        case .flushOrigin(let attempt): flush(attempt)
        case .readMapped(let id, let pieces):
            reads[id]?.start(pieces) { [self] in returned(id) }
        case .failed(let id, let code):
            guard let read = reads.removeValue(forKey: id) else { return branchWriteFailed(id, code) }
            read.failed(code)
        case .written(let id): wrote(id)
        case .exports(let entries, _, _): exports = entries
        case .changes, .readData, .grown, .offer: break
        case .note(let note): world.note(33, uuid.high, uuid.low, "client \(name): \(note.text)")
        }
    }

    private func connect(_ address: Address) {
        isWelcome = false
        connection?.close()
        guard let server = world.director.server, server.address == address, !node.isCut else {
            connection = nil
            return world.after(world.milliseconds(1, 20)) { [self] in
                if !isDead, connection == nil { with { $0.sessionLost(world.instant) } }
            }
        }
        connection = Connection(
            to: server, world,
            opened: { [self] in if !isDead { with { $0.sessionConnected() } } },
            received: { [self] frame in
                if case .welcome = frame { isWelcome = true }
                if !isDead { with { $0.receive(frame, now: world.instant) } }
            },
            lost: { [self] in
                connection = nil
                isWelcome = false
                if !isDead { with { $0.sessionLost(world.instant) } }
            })
    }

    /// Nothing gets through; half-open, the server does not notice; silent, the client does not either.
    func breakConnection(isHalfOpen: Bool, isSilent: Bool = false, stillArrives: Bool = false) {
        world.statistics[.brokenConnections] += 1
        connection?.cut(isHalfOpen: isHalfOpen, isSilent: isSilent, stillArrives: stillArrives)
    }

    private func flush(_ attempt: BarrierAttempt) {
        let time = world.chance(1, in: 6) ? world.milliseconds(1, world.plan.slowFlush) : world.milliseconds(0, 3)
        world.after(time) { [self] in
            guard !isDead else { return }
            let fails = world.isBusy && world.plan.has(.originErrors) && world.chance(1, in: 10)
            if !fails { world.origin.flush() }
            // As if others wrote meanwhile: what differs is looked at once more.
            let differs = world.isBusy && !world.plan.faults.isEmpty && world.chance(1, in: 8)
            let sample: UInt32 = differs ? 1 : 0
            with { $0.flushed(attempt, error: fails ? 5 : 0, sample: sample) }
        }
    }

    // MARK: - Writes

    func write(offset: Int, _ bytes: [UInt8], _ finished: @escaping (Bool) -> Void) {
        lastTicket += 1
        let write = OriginWrite(world, ticket: lastTicket, offset: offset, bytes: bytes, finished)
        enter(write)
        pump()
    }

    private func lookAgain() {
        let writes = held
        held = []
        for write in writes { enter(write) }
    }

    private func enter(_ write: OriginWrite) {
        guard !isStopping else { return }
        let admission = core.enter(
            write.ticket, offset: UInt64(write.offset), length: UInt64(write.bytes.count), now: world.instant)
        switch admission {
        case .hold: held.append(write)
        case .failed(let code):
            world.statistics[.failedWrites] += 1
            if !(code == SessionQueryError.originFailed.rawValue && world.plan.has(.originErrors)) {
                world.fail("D7", "write \(write.ticket) of client \(name) failed with \(code)")
            }
            write.finish(false)
        case .go:
            running.append(write)
            if DataRules.looksBeforeEntering { return goUncounted(write) }
            write.start { [self] in
                guard !isDead else { return }
                core.leave()
                left(write)
                pump()
            }
        }
    }

    private func left(_ write: OriginWrite) {
        running.removeAll { $0 === write }
        world.statistics[.writes] += 1
        write.finish(true)
        sayGoodbye()
    }

    /// Of a client that read the bitmap first and entered the count later: nobody saw it.
    private func goUncounted(_ write: OriginWrite) {
        core.leave()
        world.after(world.milliseconds(0, 3)) { [self] in
            guard !isDead else { return }
            write.start { [self] in if !isDead { left(write) } }
        }
    }

    // MARK: - Snapshots

    func read(_ snapshot: SnapshotEntry, _ chunks: ChunkRange) {
        guard !isStopping else { return }
        lastRead += 1
        let id = lastRead
        reads[id] = SnapshotRead(world, snapshot: snapshot, chunks: chunks)
        with { $0.read(id, snapshot: snapshot.number, chunks, now: world.instant) }
    }

    private func returned(_ id: UInt64) {
        guard !isDead, let read = reads[id] else { return }
        var holds = false
        with { holds = $0.finishRead(id, now: world.instant) }
        guard holds else { return }
        reads[id] = nil
        read.show(to: name)
    }

    // MARK: - Branches

    func write(_ data: BranchData) {
        guard !isStopping else { return }
        lastRead += 1
        let id = lastRead
        branchWrites[id] = (data, world.branches.clock)
        world.branches.begin(data)
        with { $0.writeBranch(id, data, now: world.instant) }
        guard world.chance(1, in: 20) else { return }
        world.after(world.milliseconds(0, 50)) { [self] in withdraw(id) }
    }

    /// D5: the program hears that its write is durable.
    private func wrote(_ id: UInt64) {
        guard let write = branchWrites.removeValue(forKey: id) else {
            return world.fail("D5", "client \(name) hears of a write to a branch that nobody waits for")
        }
        world.statistics[.branchWrites] += 1
        world.note(41, write.data.branch, write.data.offset, "client \(name) has written byte \(write.data.offset)")
        if let problem = world.branches.problem(answering: write.data, since: write.begun) { world.fail("D5", problem) }
        world.branches.end(write.data)
    }

    private func branchWriteFailed(_ id: UInt64, _ code: UInt16) {
        guard let write = branchWrites.removeValue(forKey: id) else { return }
        world.branches.end(write.data)
        switch SessionQueryError(rawValue: code) {
        case .unknownSnapshot where world.branches.isGone(SnapshotNumber(write.data.branch)): break
        // What a part of a chunk is merged with may be there.
        case .originFailed where world.plan.has(.originErrors): world.statistics[.failedWrites] += 1
        default: world.fail("D7", "a write to branch \(write.data.branch) failed with \(code)")
        }
    }

    /// The program goes without an answer.
    private func withdraw(_ id: UInt64) {
        guard !isDead, let write = branchWrites[id] else { return }
        var isOver = false
        with { isOver = $0.withdrawRead(id) }
        guard isOver, branchWrites.removeValue(forKey: id) != nil else { return }
        world.statistics[.withdrawnWrites] += 1
        world.branches.leave(write.data)
    }
}
