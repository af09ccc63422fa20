import CsnapCore

/// One agent whose peers, disk, server and clients are played by the test, in virtual time.
struct DrivenAgent {
    static let cluster = Bits128(high: 42, low: 42)

    private(set) var agent: Agent
    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    private(set) var sent: [(to: UInt32, message: Message, at: Instant)] = []
    private(set) var actions: [Action] = []
    private(set) var disk: StoredState?
    /// Whether writes are answered at once; else the test calls `storeAll`.
    var diskIsQuick = true
    /// Wakes after which the agent asked for the present again: it would spin.
    private(set) var busyWakes = 0
    private(set) var acknowledgedRenew = false
    private var waitingTokens: [UInt64] = []
    let process: NodeBoot
    var timing: Timing { agent.timing }

    init(
        node: UInt32, boot: UInt64 = 2, voters: [UInt32]? = nil, timing: Timing = .fast, serves: Bool = true,
        livingClients: [String] = [], change: (inout StoredState) -> Void = { _ in }
    ) {
        process = NodeBoot(node: NodeID(node), boot: Boot(boot))
        let bits = Bits128(high: 5, low: UInt64(node))
        var stored: StoredState?
        if let voters {
            var state = StoredState(process: process, machineID: bits, kernelBootID: bits, startBits: bits)
            state.cluster = Self.cluster
            state.committed = VoterSet(version: 2, voters: voters.map { NodeID($0) })
            change(&state)
            stored = state
        }
        disk = stored
        agent = Agent(
            settings: AgentSettings(
                process: process, startBits: bits, machineID: bits, kernelBootID: bits, address: Self.address(node),
                peers: (1...5).filter { $0 != node }.map(Self.address), serves: serves, hasVolumes: true,
                timing: timing, maximumVoters: 5, seed: UInt64(node), livingClients: livingClients,
                previousServerProvenDead: false), stored: stored, at: now)
        step(.wake)
    }

    static func address(_ node: UInt32) -> Address { .ipv4(127, 0, 0, UInt8(node), port: 7411) }

    static func record(_ node: UInt32, boot: UInt64 = 1, eligible: Bool = true) -> MemberRecord {
        MemberRecord(
            process: NodeBoot(node: NodeID(node), boot: Boot(boot)), incarnation: Incarnation(boot: Boot(boot)),
            state: .alive, address: address(node), eligible: eligible, hasVolumes: true, localHealth: 0)
    }

    mutating func step(_ event: Event) {
        for action in agent.step(event, at: now) {
            actions.append(action)
            switch action {
            case .send(let address, let messages):
                for message in messages { sent.append((UInt32(address.bits.low & 0xff), message, now)) }
            case .persist(let state, let token):
                disk = state
                waitingTokens.append(token)
            default: break
            }
        }
        if diskIsQuick { storeAll() }
    }

    /// Every write so far is durable.
    mutating func storeAll() {
        while !waitingTokens.isEmpty { step(.persisted(token: waitingTokens.removeFirst())) }
    }

    /// Every write so far failed.
    mutating func failWrites() {
        while !waitingTokens.isEmpty { step(.persistFailed(token: waitingTokens.removeFirst())) }
    }

    /// Lets time pass, serving timers when they are due; `each` runs after each of them.
    mutating func pass(_ interval: Interval, each: (inout DrivenAgent) -> Void = { _ in }) {
        let end = now + interval
        while agent.nextWake <= end, now < end, exits.isEmpty {
            now = max(now + .microseconds(200), agent.nextWake)
            step(.wake)
            if agent.nextWake <= now { busyWakes += 1 }
            each(&self)
        }
        now = end
        step(.wake)
    }

    /// Lets time pass unnoticed, as a paused process does.
    mutating func sleep(_ interval: Interval) { now = now + interval }

    mutating func hear(_ messages: Message..., from node: UInt32, boot: UInt64 = 1) {
        step(
            .packet(
                Sender(
                    process: NodeBoot(node: NodeID(node), boot: Boot(boot)),
                    startBits: Bits128(high: UInt64(node), low: boot), cluster: Self.cluster,
                    source: Self.address(node)), messages))
    }

    /// That node's Join: from now on this agent knows it.
    mutating func meet(
        _ node: UInt32, boot: UInt64 = 1, kernel: Bits128? = nil, eligible: Bool = true, highestEpoch: Epoch = .none
    ) {
        let bits = Bits128(high: 6, low: UInt64(node))
        hear(
            .join(
                Join(
                    nonce: 1, record: Self.record(node, boot: boot, eligible: eligible), machineID: bits,
                    kernelBootID: kernel ?? bits, configurationVersion: 2, highestEpoch: highestEpoch)),
            from: node, boot: boot)
    }

    /// The answer of that node to our newest Join.
    mutating func joinAnswered(
        by node: UInt32, configuration: VoterSet?, pending: PendingVoterSet? = nil
    ) {
        let nonces = sent.compactMap { if case .join(let join) = $0.message { join.nonce } else { nil } }
        guard let nonce = nonces.last else { return }
        hear(
            .joinAck(
                JoinAck(
                    nonce: nonce, cluster: Self.cluster, records: [Self.record(node)], claim: nil,
                    configuration: configuration, pending: pending, highestEpoch: .none)), from: node)
    }

    /// A Renew of that epoch; `acknowledgedRenew` says what came of it.
    mutating func renew(_ epoch: UInt64, of node: UInt32, boot: UInt64 = 1) {
        let before = sent.count
        hear(
            .renew(
                Renew(
                    epoch: Epoch(epoch), nonce: UInt64(sent.count) + 1, phase: .active,
                    configurationHash: status.committed.map(agent.hash) ?? 0)), from: node, boot: boot)
        acknowledgedRenew = sent[before...].contains { if case .renewAck = $0.message { true } else { false } }
    }

    /// That holder resumes our clients.
    mutating func resume(in tenure: Tenure, by node: UInt32) {
        hear(
            .resume(Resume(tenure: tenure, setHash: 0, address: Self.address(node), process: process)), from: node)
    }

    var status: AgentStatus { agent.status(at: now) }
    var reports: [Report] { actions.compactMap { if case .report(let report) = $0 { report } else { nil } } }
    var exits: [ExitReason] { actions.compactMap { if case .exit(let reason) = $0 { reason } else { nil } } }
    var starts: [StartServer] {
        actions.compactMap { if case .toServer(.start(let start)) = $0 { start } else { nil } }
    }
    var strikes: [(process: NodeBoot, cause: EvictionCause)] {
        actions.compactMap { if case .toServer(.strike(let process, let cause)) = $0 { (process, cause) } else { nil } }
    }
    var replies: [OperatorOutcome] {
        actions.compactMap { if case .reply(_, let outcome) = $0 { outcome } else { nil } }
    }

    mutating func startServer() {
        if let start = starts.last { step(.server(.started(start.tenure, port: 7412))) }
    }

    /// The server says that it failed (or ends without a word), and the next one is loaded.
    mutating func endServer(_ failure: ServerFailure? = nil) {
        if let failure { step(.server(.failed(failure, volume: "data", epochSeen: .none))) }
        step(.serverGone)
        step(.server(.inert))
    }

    func messages(to node: UInt32) -> [Message] { sent.filter { $0.to == node }.map(\.message) }

    /// What we asked that holder for our clients.
    func leaseRequests(to node: UInt32) -> [ClientLease] {
        messages(to: node).compactMap { if case .clientLease(let ask) = $0 { ask } else { nil } }
    }

    mutating func forgetSent() { sent = [] }
}
