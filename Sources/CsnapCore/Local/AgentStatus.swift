/// What an agent knows at one instant, for `status` and `why`. It never says what the agent does not know.
package struct AgentStatus: Equatable, Sendable {
    package var process: NodeBoot
    package var cluster: Bits128
    package var mayVote: Bool
    package var enabled: Bool
    package var serves: Bool
    /// The best claim heard of; the holder's own if this agent holds the lease.
    package var claim: Claim?
    /// Whether that claim is running for all this agent knows: its promise to it is unexpired, or it is mute.
    package var claimIsRunning: Bool
    /// This agent's own role.
    package var role: Role
    /// What is left of the holder's lease; only at the holder.
    package var leaseRemaining: Interval?
    package var promise: Promise?
    package var promiseRemaining: Interval
    package var committed: VoterSet?
    package var pending: VoterSet?
    /// This node first, then the others by id.
    package var members: [Member]
    /// The tenure this node's clients are in, and whether they may go on.
    package var adopted: Tenure
    package var clientsResumed: Bool
    package var clients: [LocalClientStatus]
    package var admissions: [AdmissionEntry]
    /// Stopped or left as asked: it hands over what it serves, and suspends its clients.
    package var isLeaving: Bool
    /// Where the other process that uses our node id lives.
    package var namesake: Address?
    /// Why the server process failed last, while this node backs off.
    package var serverFailure: ServerFailure?
    /// Whose store that was; empty: no volume's, or unknown.
    package var failedVolume: String
    /// Stores that this node's server fills, from 80 % on.
    package var filling: [FillingStore]
    package var waits: [Wait]

    package enum Role: Equatable, Sendable {
        case learner
        case voter
        case candidate(Epoch)
        case holder(ClaimPhase)
    }

    package struct Member: Equatable, Sendable {
        package var record: MemberRecord
        package var state: MemberState
        package var stateSince: Instant?
        package var isVoter: Bool
        package var accusers: [NodeID]
    }

    package struct LocalClientStatus: Equatable, Sendable {
        package var client: ClientID
        package var volume: String
        package var processID: UInt32
        package var suspended: Bool
        package var connected: Bool
        package var writesInFlight: UInt32
        /// Requests that have been at the origin's disk for too long, and since when the oldest has.
        package var hangingRequests: UInt32
        package var hangingSince: Instant
    }
}

/// A store that is about to be full, or is.
package struct FillingStore: Equatable, Sendable {
    /// Percent at which it is named, and at which it is urgent.
    package static let warning: UInt8 = 80
    package static let urgent: UInt8 = 95
    /// More volumes than anybody has on one node.
    static let limit = 256

    package var volume: String
    package var percent: UInt8
    /// Writes wait for room.
    package var isHolding: Bool
    package var since: Instant
}

/// Something is waited for: what, since when, and who is the culprit.
package struct Wait: Equatable, Sendable {
    package var kind: Kind
    package var since: Instant
    package var nodes: [NodeID]

    package init(kind: Kind, since: Instant, nodes: [NodeID]) {
        self.kind = kind
        self.since = since
        self.nodes = nodes
    }

    package enum Kind: UInt8, Sendable {
        /// No group yet: neither founded nor joined.
        case notInGroup = 0
        /// Too few voters are reachable; `nodes` are the missing ones.
        case noQuorum = 1
        /// An earlier promise, or the mute time after our start, has not run out.
        case promise = 2
        /// No eligible node can serve; `nodes` are reachable and have volumes.
        case noEligible = 3
        /// The holder waits for these nodes to answer Recover.
        case ready = 4
        /// The holder waits for voters to store the admission table.
        case table = 5
        /// The holder waits for its server process to take the store.
        case serverStart = 6
        /// The holder waits for these nodes' clients to reconnect.
        case reconnect = 7
        /// Nodes silent in a recovery, whose client leases have not surely ended yet.
        case leaseEnd = 8
        /// This node's clients are suspended.
        case suspended = 9
        /// This node's client processes have not answered yet.
        case localClients = 10
        /// The holder waits for its own server group to become empty.
        case serverStop = 11
        /// Another machine uses this node's id.
        case idConflict = 12
        /// The state cannot be written.
        case stateFile = 13
        /// The server process could not take the store.
        case store = 14
        /// Only one voter: its death stops service. A warning, nothing waits.
        case singleVoter = 15
        /// This node lost its state file and has no vote.
        case noVote = 16
        /// This node never serves, as an operator said. A warning.
        case disabled = 17
        /// `nodes` belong to another group with our name and key. A warning.
        case foreignGroup = 18
        /// Requests of this node's clients do not return from the origin's disk.
        case clientDisk = 19
        /// Another node recovers the group; it knows whom it waits for.
        case recovering = 20
        /// A store that this node serves is nearly full. A warning.
        case storeLow = 21
        /// Writes wait until a store has room for what snapshots need.
        case storeFull = 22
        /// A client of this node has no session with the server.
        case notConnected = 23
        /// Voters do not answer; the others are enough. A warning.
        case voterDown = 24
        /// Enough voters are reachable, but nobody is elected; `nodes` do not answer, or answer and cannot vote.
        case votersRefuse = 25
        /// No server process is loaded here, and none has said why.
        case serverLoad = 26
        /// The group cannot admit this node: its admission table is full.
        case notAdmitted = 27
        /// The holder cannot admit these nodes. A warning.
        case admissionsFull = 28
    }
}
