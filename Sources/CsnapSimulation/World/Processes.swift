import CsnapCore

/// One machine: a clock, a disk that survives crashes, and processes that do not.
final class SimNode {
    let id: NodeID
    let index: Int
    let address: Address
    let machineID: Bits128
    var kernelBootID: Bits128
    var clock: NodeClock
    /// The durable state file; nil when there is none.
    var disk: StoredState?
    /// What a lost state file held: it was counted, and its node does not count before its vote is restored.
    var lostDisk: StoredState?
    /// A state file that named this node as a voter, or held a promise, is gone: it must not vote.
    var lostVote = false
    /// A state file with a proposal that names this node is gone: it is a learner again until it has one anew, and if
    /// the set is committed without that, it must not vote.
    var lostProposal = false
    var agent: SimAgent?
    var server: SimServer?
    var peers: [Address]
    var serves = true
    var hasVolumes: Bool
    /// Nothing runs and nothing restarts until the machine is switched on.
    var isOff = false
    /// The last agent exited on purpose; nobody restarts it by itself.
    var isStopped = false
    /// Start bits that the last server wrote into `server.lock`.
    var lockBits: Bits128 = .zero
    /// Disk behaviour of the state file.
    var stateLatency: Int64 = 2_000_000
    var stateFailures = 0
    /// True time until which the state disk answers nothing.
    var stateStallUntil: TrueTime = 0
    var killLatency: Int64 = 5_000_000
    var timerLateness: Int64 = 0

    init(index: Int, clock: NodeClock, kernelBootID: Bits128, hasVolumes: Bool) {
        self.index = index
        id = NodeID(UInt32(index + 1))
        address = World.address(of: index)
        machineID = Bits128(high: 0xabc, low: UInt64(index + 1))
        self.kernelBootID = kernelBootID
        self.clock = clock
        self.hasVolumes = hasVolumes
        peers = []
    }
}

/// A running csnap-agent: the production core and what its shell would keep.
final class SimAgent {
    let life: Int
    let process: NodeBoot
    let startBits: Bits128
    let startedAt: Instant
    /// What the state file held at the start, for the rule of mute voters.
    let stored: StoredState?
    let previousServerProvenDead: Bool
    private(set) var core: Agent
    var nextWake: Instant { core.nextWake }
    var pinned: Bits128
    var isPaused = false
    var backlog: [Event] = []
    /// Local instant of the wake already in the queue.
    var scheduledWake: Instant = .distantFuture
    /// The newest state that the core has asked to be written.
    var submitted: StoredState?
    var writes: [(state: StoredState, token: UInt64)] = []
    var isWriting = false
    /// Counts the connections of local clients.
    var connections: UInt32 = 0
    let ledger: LeaseLedger

    init(
        life: Int, settings: AgentSettings, stored: StoredState?, at now: Instant, previousServerProvenDead: Bool
    ) {
        self.life = life
        process = settings.process
        startBits = settings.startBits
        startedAt = now
        self.stored = stored
        self.previousServerProvenDead = previousServerProvenDead
        pinned = stored?.cluster ?? .zero
        core = Agent(settings: settings, stored: stored, at: now)
        ledger = LeaseLedger(process: settings.process, life: life)
    }

    func step(_ event: Event, at now: Instant) -> [Action] {
        core.step(event, at: now)
    }
}

/// A running csnap-server, as data-plane.md describes it, without the data.
final class SimServer {
    enum State: Equatable {
        case loading
        case inert
        /// START is here; the store is being taken.
        case taking
        /// Sessions are accepted.
        case listening
        case active
    }

    let life: Int
    let parent: SimAgent
    var state: State = .loading
    var tenure: Tenure = .none
    var soft: Instant = .distantPast
    var hard: Instant = .distantPast
    var admitted: [NodeBoot] = []
    var sessions: [(client: Int, clientLife: Int, process: NodeBoot)] = []
    var isPaused = false
    var backlog: [ServerInput] = []
    var isAlive = true
    var isDying = false

    init(life: Int, parent: SimAgent) {
        self.life = life
        self.parent = parent
    }
}

/// A running csnap-client with one volume and a user that never stops asking.
final class SimClient {
    let index: Int
    let node: Int
    var life: Int
    var uuid: Bits128
    var isAlive = true
    var isPaused = false
    var backlog: [ClientInput] = []
    var agentLife = 0
    var connection = ClientID(0)
    var identity: NodeBoot?
    var adopted: Tenure = .none
    /// The tenure in which the gate is open.
    var gate: Tenure?
    var leaseUntil: Instant = .distantPast
    var serverAddress: Address?
    var hasSession = false
    /// The tenure whose server does not serve its volume.
    var notServedIn: Tenure?
    var nextRequest: UInt64 = 0
    var outstanding: UInt64?
    var writesInFlight: UInt32 = 0
    var owesDrained = false
    var diskLatency: Int64 = 500_000
    var completions = 0
    var lastCompletion: TrueTime = 0

    init(index: Int, node: Int, life: Int, uuid: Bits128) {
        self.index = index
        self.node = node
        self.life = life
        self.uuid = uuid
    }
}

/// What a server process is given.
enum ServerInput {
    case agent(AgentToServer)
    case loaded
    case deadline
    case claimed(Tenure)
    case taken(Tenure)
    case hello(client: Int, clientLife: Int, process: NodeBoot, tenure: Tenure)
    case query(client: Int, clientLife: Int, request: UInt64, tenure: Tenure)
    case clientClosed(client: Int, clientLife: Int)
}

/// What a client process is given.
enum ClientInput {
    case agent(AgentToClient)
    case agentLost(life: Int)
    case tick
    case written
    case welcome(Tenure)
    case notServed(Tenure)
    case reply(request: UInt64, tenure: Tenure)
    case serverClosed(Tenure)
}
