import CsnapCore
import CsnapSession
import CsnapStore

/// What the agreement does for the data path, as one that sees all: which server there is, who is admitted, whose lease
/// is over. The agreement itself has a world of its own (CsnapSimulation); here it is right by definition, and the
/// messages of the agents are late, lost with a cut, and repeated.
final class Director {
    enum Phase {
        /// No server.
        case between
        case taking
        /// Clients are on their way into the new tenure.
        case recovering
        case active
    }

    private static let period: Int64 = 50_000_000
    private static let lease: Int64 = 400_000_000
    /// Silence after which a node is given up.
    private static let suspicion: Int64 = 300_000_000
    /// Beyond the end of a lease.
    private static let margin: Int64 = 20_000_000

    private unowned let world: DataWorld
    private(set) var phase = Phase.between
    private(set) var server: ServerShell?
    private var tenure = Tenure.none
    private var isTicking = false

    init(_ world: DataWorld) { self.world = world }

    func dismantle() {
        server?.dismantle()
        server = nil
    }

    // MARK: - Tenures

    func begin(after delay: Int64) {
        world.after(delay) { [self] in choose() }
        guard !isTicking else { return }
        isTicking = true
        tick()
    }

    /// Another server: in place of the one that died, or on another node.
    private func choose() {
        guard phase == .between else { return }
        let able = world.nodes.filter { $0.isUp && !$0.isCut && !$0.hasDyingServer }
        guard !able.isEmpty else { return begin(after: world.milliseconds(20, 60)) }
        let again = able.first { $0 === server?.node && world.chance(1, in: 3) }
        let node = again ?? able[world.random.next(below: able.count)]
        tenure =
            again != nil && tenure != .none
            ? Tenure(epoch: tenure.epoch, round: tenure.round.next)
            : Tenure(epoch: Epoch(tenure.epoch.value + 1), round: Round(1))
        let next = ServerShell(world, tenure: tenure, node: node)
        server = next
        phase = .taking
        let admitted = world.nodes.filter { $0.standing != .evicted }.map { $0.process }
        for node in world.nodes {
            node.isConnected = false
            node.isSuspended = false
        }
        world.after(world.milliseconds(1, 40)) { if !next.isDead { next.take(admitted: admitted) } }
    }

    func started(_ server: ServerShell) {
        guard server === self.server else { return }
        world.statistics[.takeovers] += 1
        phase = .recovering
        for node in world.nodes where node.standing == .ready { node.standing = .joining }
        for node in world.nodes where node.standing == .joining { invite(node) }
    }

    func refused(_ server: ServerShell, _ refusal: StoreRefusal) {
        world.statistics[.refusedStores] += 1
        switch refusal {
        case .tenure(let other, _): tenure.epoch = max(tenure.epoch, other.epoch)
        case .unsettled: settle()
        case .device, .slotOfBase, .claimWasLost: break
        case .blank, .notAStore, .version, .truncated, .damagedSlot, .foreign, .stale, .damaged,
            .originTruncated, .originUnreadable, .noRoomToRepair, .ownedElsewhere:
            world.fail("D4", "the store is refused: \(refusal)")
        }
    }

    /// Dead servers that may still write keep all windows away: somebody looks after their machines and, in the end,
    /// settles them offline (`csnapctl volume check --repair --fenced`).
    private func settle() {
        for node in world.nodes { node.fence() }
        guard !world.isBusy || world.chance(1, in: 4), !world.nodes.contains(where: { $0.hasDyingServer }),
            let node = world.nodes.first(where: { $0.isUp })
        else { return }
        do throws(StoreRefusal) {
            _ = try SnapshotStore.settleAll(
                device: SimulatedPath(disk: world.store, path: DiskPath()),
                origin: SimulatedPath(disk: world.origin, path: DiskPath()), owner: node.owner)
            world.statistics[.settlements] += 1
        } catch {
            world.note(13, tenure.epoch.value, 0, "nothing is settled offline: \(error)")
        }
    }

    func serverDied(_ server: ServerShell) {
        guard server === self.server, phase != .between else { return }
        if phase == .recovering { world.statistics[.secondFailures] += 1 }
        phase = .between
        begin(after: world.milliseconds(20, 400))
    }

    func nodeDied(_ node: DataNode) {
        node.cutSince = world.now
        if let server, server.node === node { server.die(isAbrupt: true) }
    }

    // MARK: - Nodes

    private func tick() {
        world.after(Self.period) { [self] in
            for node in world.nodes { look(at: node) }
            if phase == .recovering, world.nodes.allSatisfy({ isBack($0) }) { activate() }
            tick()
        }
    }

    private func look(at node: DataNode) {
        guard let server, phase == .recovering || phase == .active else { return }
        let isHeard = node.isUp && !node.isCut
        if !isHeard {
            let isOver = world.now >= node.leaseUntil + Self.margin && world.now - node.cutSince > Self.suspicion
            if node.standing != .evicted, isOver { evict(node, server) }
            return
        }
        switch node.standing {
        case .evicted:
            guard phase == .active else { return }
            node.restartAgent()
            node.standing = .joining
            invite(node)
        case .joining: if phase == .active, isBack(node), hasClient(node) { admitBack(node) } else { invite(node) }
        case .ready:
            if node.resumedIn != tenure { tell(node, .resume(tenure)) }
            lease(node)
        }
    }

    private func hasClient(_ node: DataNode) -> Bool { node.client.map { !$0.isDead } ?? false }

    /// A node without a client counts as back.
    private func isBack(_ node: DataNode) -> Bool {
        switch node.standing {
        case .evicted, .ready: true
        case .joining: node.isUp && !node.isCut && (!hasClient(node) || node.isConnected && node.isSuspended)
        }
    }

    private func evict(_ node: DataNode, _ server: ServerShell) {
        world.note(10, UInt64(node.index), node.boot.value, "node \(node.id.value) is evicted")
        node.standing = .evicted
        node.isConnected = false
        server.with { $0.strike(node.process) }
    }

    /// Admitted, and told where the server is; again and again until it is there.
    private func invite(_ node: DataNode) {
        guard let server else { return }
        server.with { $0.admit(node.process) }
        guard hasClient(node) else { return }
        tell(node, .identity(node.process))
        tell(node, .suspend(tenure))
        tell(node, .server(tenure, server.address))
    }

    private func activate() {
        guard let server, !server.isDead else { return }
        world.note(11, tenure.epoch.value, UInt64(tenure.round.value), "server \(tenure) is active")
        phase = .active
        // Its clients may hear first that all are back.
        let delay = world.chance(1, in: 3) ? world.milliseconds(0, 40) : 0
        world.after(delay) { [world, tenure] in server.with { $0.activate(tenure, at: world.instant) } }
        for node in world.nodes where node.standing == .joining && hasClient(node) { admitBack(node) }
    }

    private func admitBack(_ node: DataNode) {
        node.standing = .ready
        node.resumedIn = .none
        tell(node, .resume(tenure))
        lease(node)
    }

    private func lease(_ node: DataNode) {
        node.leaseUntil = world.now + Self.lease
        tell(node, .lease(tenure, until: Instant(nanoseconds: node.leaseUntil)))
    }

    /// Strike by a person. Fenced: nothing of its dead kernels can reach a disk any more.
    func strike(_ node: DataNode, isFenced: Bool) {
        guard let server, phase == .active else { return }
        if isFenced {
            world.statistics[.fences] += 1
            guard !node.isUp else { return }
            node.fence()
            node.standing = .evicted
        } else {
            guard world.now >= node.leaseUntil + Self.margin else { return }
        }
        server.with { $0.strike(node.process, isFenced: isFenced) }
        node.standing = .evicted
    }

    // MARK: - Messages

    private func tell(_ node: DataNode, _ message: AgentToClient) {
        let client = node.client
        node.lastTold = max(node.lastTold, world.now + world.milliseconds(0, 2))
        world.after(node.lastTold - world.now) {
            guard node.isUp, !node.isCut, node.client === client else { return }
            if case .resume(let tenure) = message { node.resumedIn = tenure }
            client?.hear(message)
        }
    }

    func hear(_ message: ClientToAgent, from client: ClientShell) {
        let node = client.node
        node.lastHeard = max(node.lastHeard, world.now + world.milliseconds(0, 2))
        world.after(node.lastHeard - world.now) { [self] in
            guard node.isUp, !node.isCut, node.client === client, !client.isDead else { return }
            switch message {
            case .hello, .disk, .bye, .notServed: break
            case .suspended(let tenure, _): if tenure == self.tenure { node.isSuspended = true }
            case .connected(let tenure): if tenure == self.tenure { node.isConnected = true }
            case .lostServer(let tenure): if tenure == self.tenure { node.isConnected = false }
            }
        }
    }
}

extension ServerShell {
    var address: Address {
        let port = UInt16(tenure.epoch.value & 0xfff) << 4 | UInt16(tenure.round.value & 0xf)
        return .ipv4(127, 0, 0, UInt8(node.index + 1), port: port)
    }
}
