import CsnapCore

/// Several agents on a perfect network with instant disks and obedient servers, in virtual time.
struct AgentGroup {
    private(set) var agents: [UInt32: Agent] = [:]
    private(set) var reports: [UInt32: [Report]] = [:]
    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    private var disks: [UInt32: StoredState] = [:]
    private var clusters: [UInt32: Bits128] = [:]
    private var deliveries: [(due: Instant, node: UInt32, event: Event)] = []
    private var boots: [UInt32: UInt64] = [:]
    private var clients: [UInt32: AgentToClient?] = [:]
    let timing: Timing
    let nodes: [UInt32]
    /// Nodes whose state writes fail.
    var failingDisks: [UInt32] = []
    /// Nodes whose state writes do not return before `release`, and the last of them.
    var hangingDisks: [UInt32] = []
    private var hung: [UInt32: (state: StoredState, token: UInt64)] = [:]
    /// Nodes whose servers do not end, whatever they are told: their disk holds them in the kernel.
    var stuckServers: [UInt32] = []
    /// Machines that run under another's node id.
    var names: [UInt32: UInt32] = [:]
    /// Nodes that hear nobody and are heard by nobody.
    var isolated: Set<UInt32> = []
    /// Nodes whose next servers do not load: the path to a store hangs.
    var hangingLoads: [UInt32] = []
    /// What the server of each node says that it serves; nil: it names nothing.
    var servedVolumes: [UInt32: [String]] = [:]
    private(set) var starts: [UInt32: [StartServer]] = [:]
    /// Nodes whose clients have writes at the disk when they are suspended.
    var writing: Set<UInt32> = []
    /// Nodes that told their clients to say goodbye.
    private(set) var parted: Set<UInt32> = []

    init(nodes: [UInt32], timing: Timing = .fast) {
        self.nodes = nodes
        self.timing = timing
    }

    static func address(_ node: UInt32) -> Address { .ipv4(127, 0, 0, UInt8(node), port: 7411) }

    mutating func start(_ node: UInt32) {
        let boot = max(boots[node] ?? 0, disks[node]?.process.boot.value ?? 0) + 1
        boots[node] = boot
        let settings = AgentSettings(
            process: NodeBoot(node: NodeID(names[node] ?? node), boot: Boot(boot)),
            startBits: Bits128(high: UInt64(node), low: boot), machineID: Bits128(high: 7, low: UInt64(node)),
            kernelBootID: Bits128(high: 8, low: UInt64(node)), address: Self.address(node),
            peers: nodes.filter { $0 != node }.map(Self.address), serves: true, hasVolumes: true, timing: timing,
            maximumVoters: 5, seed: UInt64(node) * 1000 + boot, livingClients: [], previousServerProvenDead: false)
        agents[node] = Agent(settings: settings, stored: disks[node], at: now)
        load(node, after: .milliseconds(1))
        deliver(.wake, to: node)
    }

    private mutating func load(_ node: UInt32, after: Interval) {
        if !hangingLoads.contains(node) { deliver(.server(.inert), to: node, after: after) }
    }

    /// Power off: the agent, its server and its clients are gone.
    mutating func crash(_ node: UInt32) {
        agents[node] = nil
        deliveries.removeAll { $0.node == node }
    }

    /// Its state file is gone; for a node that is off.
    mutating func loseStateFile(_ node: UInt32) { disks[node] = nil }

    mutating func command(_ command: Command, at node: UInt32) {
        deliver(.command(id: Bits128(high: 1, low: UInt64(now.nanoseconds)), command), to: node)
    }

    /// All that the disk was given is durable now.
    mutating func release(_ node: UInt32) {
        hangingDisks.removeAll { $0 == node }
        guard let (state, token) = hung.removeValue(forKey: node) else { return }
        disks[node] = state
        deliver(.persisted(token: token), to: node)
    }

    mutating func attachClient(_ node: UInt32) {
        deliver(.client(ClientID(1), .hello(client: .zero, volume: "data", processID: 1)), to: node)
    }

    /// Of a volume that no server serves.
    mutating func attachLeftOutClient(_ node: UInt32) {
        deliver(.client(ClientID(2), .hello(client: .zero, volume: "logs", processID: 2)), to: node)
    }

    mutating func deliver(_ event: Event, to node: UInt32, after: Interval = .zero) {
        deliveries.append((now + after, node, event))
    }

    /// Runs until `condition` holds or `limit` has passed; says whether it held.
    mutating func run(_ limit: Interval, until condition: (AgentGroup) -> Bool = { _ in false }) -> Bool {
        let end = now + limit
        while now < end {
            if condition(self) { return true }
            let wakes = agents.map { (due: max(now, $0.value.nextWake), node: $0.key, event: Event.wake) }
            let next = (deliveries + wakes).min { ($0.due, $0.node) < ($1.due, $1.node) }
            guard let next, next.due <= end else {
                now = end
                break
            }
            if let index = deliveries.firstIndex(where: {
                $0.due == next.due && $0.node == next.node && $0.event == next.event
            }) {
                deliveries.remove(at: index)
            }
            now = max(now, next.due)
            guard let actions = agents[next.node]?.step(next.event, at: now) else { continue }
            for action in actions { perform(action, of: next.node) }
        }
        return condition(self)
    }

    private mutating func perform(_ action: Action, of node: UInt32) {
        switch action {
        case .send(let address, let messages):
            guard let process = agents[node]?.settings.process else { return }
            let target = UInt32(address.bits.low & 0xff)
            let sender = Sender(
                process: process, startBits: Bits128(high: UInt64(node), low: process.boot.value),
                cluster: clusters[node] ?? .zero, source: Self.address(node))
            guard agents[target] != nil, !isolated.contains(node), !isolated.contains(target) else { return }
            deliver(.packet(sender, messages), to: target, after: .microseconds(200))
        case .persist(_, let token) where failingDisks.contains(node):
            deliver(.persistFailed(token: token), to: node, after: .milliseconds(1))
        case .persist(let state, let token) where hangingDisks.contains(node): hung[node] = (state, token)
        case .persist(let state, let token):
            disks[node] = state
            deliver(.persisted(token: token), to: node, after: .milliseconds(1))
        case .toServer(.start(let start)):
            starts[node, default: []].append(start)
            let volumes = servedVolumes[node]?.map { VolumeDigest(name: $0) }
            deliver(.server(.started(start.tenure, port: 7412, volumes: volumes)), to: node, after: .milliseconds(2))
        case .toServer(.stop) where stuckServers.contains(node), .killServer where stuckServers.contains(node): break
        case .toServer(.stop), .killServer:
            deliver(.serverGone, to: node, after: .milliseconds(2))
            load(node, after: .milliseconds(20))
        case .toServer: break
        case .toClient(let client, .suspend(let tenure)):
            let writes: UInt32 = writing.contains(node) ? 3 : 0
            deliver(.client(client, .suspended(tenure, writesInFlight: writes)), to: node, after: .microseconds(100))
        case .toClient(let client, .server(let tenure, _)):
            let isServed = client == ClientID(1)
            let answer = isServed ? ClientToAgent.connected(tenure) : .notServed(tenure)
            deliver(.client(client, answer), to: node, after: .milliseconds(1))
        case .toClient(_, .part): parted.insert(node)
        case .toClient: break
        case .report(let report): reports[node, default: []].append(report)
        case .reply: break
        case .pin(let cluster): clusters[node] = cluster
        case .exit: agents[node] = nil
        }
    }

    /// How its next server is to be loaded.
    func leavesOut(_ node: UInt32) -> Bool? { agents[node]?.leavesOut }

    func status(_ node: UInt32) -> AgentStatus? { agents[node]?.status(at: now) }

    /// The one node that serves actively, if its lease is valid.
    var activeServers: [UInt32] {
        agents.keys.sorted().filter {
            status($0)?.role == .holder(.active) && (status($0)?.leaseRemaining ?? .zero) > .zero
        }
    }
}
