import CsnapCore
import CsnapSession
import CsnapStore
import CsnapStoreSimulation

/// One machine: what of it outlives its processes, and what the agreement knows of it.
final class DataNode {
    /// In the eyes of the others.
    enum Standing {
        /// Its client is on its way into the present tenure.
        case joining
        /// Resumed, with a lease.
        case ready
        case evicted
    }

    let index: Int
    let id: NodeID
    let machineID: Bits128
    private unowned let world: DataWorld
    private(set) var boot = Boot(1)
    private(set) var kernel: UInt64 = 1
    private(set) var isUp = true
    private var bootedAt: Int64 = 0
    /// Its agent and its client reach nobody.
    var isCut = false
    var cutSince: Int64 = 0
    private(set) var client: ClientShell?
    private var lastClient: UInt64 = 0
    /// Its client has ended and is not started again.
    private(set) var isAway = false
    private(set) lazy var ends = ClientEnds(world, self)

    // What the agreement knows.
    var standing = Standing.joining
    var isConnected = false
    var isSuspended = false
    /// The tenure in which its client was last told to go on.
    var resumedIn = Tenure.none
    /// The end of the last client lease that was given to it.
    var leaseUntil: Int64 = 0
    /// What agent and client say to each other stays in its order.
    var lastTold: Int64 = 0
    var lastHeard: Int64 = 0

    /// Writes to the origin of clients that are gone, and to the store of servers that are; by kernel.
    private var lateOrigin: [(kernel: UInt64, write: OriginWrite)] = []
    private var lateStore: [(kernel: UInt64, write: LateWrite)] = []

    init(_ index: Int, _ world: DataWorld) {
        self.index = index
        self.world = world
        id = NodeID(UInt32(index + 1))
        machineID = Bits128(high: 100, low: UInt64(index + 1))
    }

    var isKernelOld: Bool { world.now - bootedAt >= DataWorld.settle }
    var process: NodeBoot { NodeBoot(node: id, boot: boot) }
    var kernelBootID: Bits128 { Bits128(high: UInt64(index + 1), low: kernel) }
    var owner: StoreOwner { StoreOwner(process: process, machineID: machineID, kernelBootID: kernelBootID) }
    /// Numbers the uses of this node's blocks: a rebooted machine's load writes elsewhere than its late writes land.
    var generation: Int { Int(kernel % 2) }

    // MARK: - The client's life

    /// The byte of the origin: of a client, and of whatever its predecessors left at the disk.
    var isByteHeld: Bool {
        !(client?.isDead ?? true) || lateOrigin.contains { $0.kernel == kernel && !$0.write.isOver }
    }

    func start() {
        guard isUp, !isAway, client?.isDead ?? true else { return }
        guard !isByteHeld, !ends.holdsByte else {
            return world.after(world.milliseconds(20, 40)) { [self] in start() }
        }
        lastClient += 1
        let uuid = Bits128(high: UInt64(index + 1), low: kernel << 32 | lastClient)
        let client = ClientShell(world, self, uuid: uuid)
        self.client = client
        ends.isHere()
        if standing == .ready { standing = .joining }
        isConnected = false
        isSuspended = false
        client.begin()
    }

    /// kill -9: what is at the disk stays there until it has landed.
    func killClient() {
        guard let client, !client.isDead else { return }
        world.statistics[.clientDeaths] += 1
        for write in client.die() { lateOrigin.append((kernel, write)) }
        lateOrigin.removeAll { $0.write.isOver }
        hasEnded(client, mayStayAway: world.plan.proves)
        world.after(world.milliseconds(20, 600)) { [self] in start() }
    }

    /// SIGTERM: the client drains and says goodbye; it is started again later.
    func stopClient() {
        guard let client else { return }
        client.stop { [self] isHeard in
            hasEnded(client, mayStayAway: isHeard || world.plan.proves)
            world.after(world.milliseconds(100, 900)) { [self] in start() }
        }
    }

    /// Where agents prove nothing, only a client whose goodbye was heard may stay away: snapshots would wait for any
    /// other until a person fences its machine.
    private func hasEnded(_ client: ClientShell, mayStayAway: Bool) {
        if standing == .ready { standing = .joining }
        ends.isGone(client.uuid)
        guard world.plan.staysAway, mayStayAway, world.isBusy, world.chance(1, in: 3) else { return }
        world.statistics[.farewells] += 1
        world.note(22, UInt64(index), client.uuid.low, "client \(client.name) stays away")
        isAway = true
    }

    /// The kernel is gone, and with it whoever could call a write back.
    func crash(reboot: Int64) {
        guard isUp else { return }
        isUp = false
        world.note(20, UInt64(index), kernel, "node \(id.value) crashes")
        world.statistics[.nodeDeaths] += 1
        if let client, !client.isDead {
            for write in client.die() {
                lateOrigin.append((kernel, write))
                write.linger(DataWorld.settle)
            }
            hasEnded(client, mayStayAway: world.plan.proves)
        }
        ends.crash()
        world.director.nodeDied(self)
        world.after(reboot) { [self] in
            isUp = true
            kernel += 1
            bootedAt = world.now
            boot = Boot(boot.value + 1)
            world.note(21, UInt64(index), kernel, "node \(id.value) boots")
            // The blocks of the kernel before the last are used again.
            for late in lateOrigin where late.kernel + 1 < kernel { late.write.drop() }
            if standing == .ready { standing = .joining }
            ends.isGone(.zero)
            start()
        }
    }

    /// A new boot of the agent: the old one was evicted.
    func restartAgent() {
        boot = Boot(boot.value + 1)
        if client?.isDead ?? true { ends.isGone(.zero) }
    }

    // MARK: - Late writes

    /// A server of this node died in this write.
    func leave(_ write: LateWrite, isServer: Bool) {
        lateStore.append((kernel, write))
        let longest = isUp ? 400_000_000 : DataWorld.settle
        world.lands(write, on: world.store, longest: longest) {}
    }

    /// Whether a server of this kernel is not reaped yet.
    var hasDyingServer: Bool { lateStore.contains { $0.kernel == kernel && !$0.write.isOver } }

    /// Power is off, or its paths are cut, for all kernels but one that runs.
    func fence() {
        for late in lateOrigin where late.kernel < kernel || !isUp { late.write.drop() }
        for late in lateStore where late.kernel < kernel || !isUp { late.write.isOver = true }
        lateOrigin.removeAll { $0.write.isOver }
        lateStore.removeAll { $0.write.isOver }
    }
}
