/// The agent: one event in, ordered actions out (docs/architecture.md).
///
/// It owns no clock, no randomness, no socket and no file: time comes with each event, randomness from a seeded
/// generator in its state. Its parts, each in a folder of its own:
///
/// - `membership`: who is there (Membership/)
/// - `voter`: this node's promises; what voters do for a holder (Claim/Voter.swift)
/// - `candidacy`: this node's way to a majority of grants (Claim/Candidacy.swift)
/// - `holder`: what the holder does with its lease: renewals, the barrier, admissions, voter changes (Claim, Recovery)
/// - `node`: this node's clients: suspended, leased, resumed (Recovery/LocalNode.swift)
/// - `discovery`: joining and rejoining the group (Discovery/)
package struct Agent: Sendable {
    package private(set) var settings: AgentSettings
    package var timing: Timing { settings.timing }

    var now: Instant
    var stored: StoredState
    var persistence: Persistence
    var membership: Membership
    var generator: Generator
    var voter: Voter
    var voteRecovery = VoteRecovery()
    var candidacy = Candidacy.idle
    var holder: Holder?
    var server: ServerProcess
    var node: LocalNode
    var discovery: Discovery
    var departure: Departure?
    /// When an operator last said `enable` or `disable`, or our start.
    var enabledSince: Instant
    /// Commands typed here on their way to the holder, and the holder's last answers.
    var forwarded: [ForwardedCommand] = []
    var answered: [OperatorReply] = []
    var releasing: ReleaseAnnouncement?
    /// The best claim heard of, or our own.
    var claim: Claim?
    /// What the event stream has said of the server, so that it says each thing once and in order (invariant 20).
    var told = ServerNews()
    /// When to send `wake` next; distantFuture when there is nothing to wait for. Stored, as is the next: a getter of
    /// ours would be given a copy of all of this, at every event.
    package private(set) var nextWake = Instant.distantFuture
    /// How a server that is loaded now is to take a store that fails: true: leave its volume out, and serve the others;
    /// false: end, for another node may see it; nil: as it was loaded, since this node holds the lease.
    package private(set) var leavesOut: Bool?
    var actions: [Action] = []
    /// Messages of this node to itself: the holder is also a voter and a node with clients.
    var loopback: [Message] = []

    /// `stored` is what the state file held, with the new boot already in it and on disk; nil when there was none.
    package init(settings: AgentSettings, stored: StoredState?, at now: Instant) {
        self.settings = settings
        self.now = now
        var generator = Generator(seed: settings.seed)
        var state =
            stored
            ?? StoredState(
                process: settings.process, machineID: settings.machineID, kernelBootID: settings.kernelBootID,
                startBits: settings.startBits)
        state.process = settings.process
        state.startBits = settings.startBits
        if Mutants.active(.admissionLostAtRestart) { state.admissions = AdmissionTable() }
        self.stored = state
        let own = MemberRecord(
            process: settings.process, incarnation: Incarnation(boot: settings.process.boot), state: .alive,
            address: settings.address, eligible: settings.serves && state.enabled, hasVolumes: settings.hasVolumes,
            localHealth: 0)
        membership = Membership(own: own, timing: settings.timing, seed: generator.next(), at: now)
        self.generator = generator
        persistence = Persistence(durablePromise: state.promise)
        server = ServerProcess(at: now)
        voter = Voter(stored: state, hadFile: stored != nil, timing: settings.timing, at: now)
        node = LocalNode(livingClients: settings.livingClients, timing: settings.timing, at: now)
        discovery = Discovery(at: now)
        enabledSince = now
        told.activeEpochs = ActiveEpochs(state.volumeEpochs)
        if let committed = state.committed { membership.announce(configuration: committed) }
        if state.cluster != .zero { actions.append(.pin(cluster: state.cluster)) }
        releaseOwnPromiseOfDeadBoot()
        nextWake = earliestWake
        leavesOut = false
    }

    var own: NodeBoot { settings.process }

    /// We hold an epoch. To compare the holder with nil would copy it, since it is Equatable.
    var isHolder: Bool { if case .some = holder { true } else { false } }

    /// Takes one event, returns what to do, in order.
    package mutating func step(_ event: Event, at now: Instant) -> [Action] {
        self.now = max(self.now, now)
        switch event {
        case .packet(let sender, let messages): receive(messages, from: sender)
        case .wake: break
        case .persisted(let token): didPersist(token)
        case .persistFailed(let token): didFailToPersist(token)
        case .server(let message): receive(message)
        case .serverGone: serverIsGone()
        case .client(let client, let message): receive(message, from: client)
        case .clientGone(let client): clientIsGone(client)
        case .command(let id, let command): run(command, id: id)
        case .peers(let peers):
            settings.peers = peers
            discovery.nextJoin = min(discovery.nextJoin, self.now)
        }
        settle()
        nextWake = earliestWake
        leavesOut = isHolder ? nil : server.leavesOut
        return takeActions()
    }

    private var earliestWake: Instant {
        var next = min(membership.nextWake, persistence.retryAt, discovery.nextWake(node.mayTalk))
        next = min(next, candidateWake, nodeWake, forwardedWake, voteRecoveryWake)
        if let holder { next = min(next, holderWake(holder)) }
        if let releasing { next = min(next, releasing.nextSend) }
        if let departure { next = min(next, departure.nextWake) }
        return next
    }

    /// Runs every timer that is due, then delivers what this node said to itself, until both are quiet.
    private mutating func settle() {
        var rounds = 0
        repeat {
            deliverLoopback()
            advance()
            rounds += 1
            invariant(.bounds, rounds < 64, "the agent's own messages to itself must come to rest")
        } while !loopback.isEmpty
    }

    private mutating func advance() {
        runMembership { membership, now, effects in membership.advance(to: now, into: &effects) }
        retryPersist()
        tickDiscovery()
        tickVoteRecovery()
        tickNode()
        tickCandidate()
        tickHolder()
        tickRelease()
        tickDeparture()
        tickForwarded()
    }

    private mutating func deliverLoopback() {
        while !loopback.isEmpty {
            let messages = loopback
            loopback = []
            for message in messages { dispatch(message, from: own) }
        }
    }

    /// Joins the sends to one peer into one, in the place of the first.
    private mutating func takeActions() -> [Action] {
        if actions.count < 2 {
            defer { actions = [] }
            return actions
        }
        var merged: [Action] = []
        merged.reserveCapacity(actions.count)
        for action in actions {
            guard case .send(let address, let messages) = action else {
                merged.append(action)
                continue
            }
            let place = merged.firstIndex {
                if case .send(let other, _) = $0 { other == address } else { false }
            }
            if let place, case .send(_, let earlier) = merged[place] {
                merged[place] = .send(to: address, earlier + messages)
            } else {
                merged.append(action)
            }
        }
        actions = []
        return merged
    }
}
