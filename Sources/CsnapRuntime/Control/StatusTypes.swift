/// What `GetStatus` of `io.csnap.Agent` answers and `csnapctl status --json` prints; the keys are stable.
///
/// Times are seconds, ages count from now on CLOCK_BOOTTIME. What is not known is left out, never guessed.
package struct StatusReport: Codable, Equatable, Sendable {
    /// The configured name of the group.
    package var cluster: String
    /// Drawn by `found`; null until this node belongs to a group.
    package var clusterUUID: String?
    package var node: UInt32
    package var boot: UInt64
    package var agentPid: Int32
    package var serverPid: Int32?
    /// `learner`, `voter`, `candidate` or `holder`.
    package var role: String
    /// False after the state file was lost.
    package var mayVote: Bool
    /// False after `disable`.
    package var enabled: Bool
    /// Of the newest claim this node knows; 0 before the first.
    package var epoch: UInt64
    package var round: UInt32
    /// `none` unless that claim is running for all this node knows; else `recovering`, `active`, `releasing` or
    /// `released`.
    package var phase: String
    /// The node that serves or is about to; null if nobody does for all this node knows.
    package var server: UInt32?
    package var serverBoot: UInt64?
    package var serviceAddress: String?
    /// The (epoch, round) this node's clients are in, and whether they may go on.
    package var adoptedEpoch: UInt64
    package var adoptedRound: UInt32
    package var clientsResumed: Bool
    /// Only on the server's node.
    package var leaseRemaining: Double?
    /// `L1` or `L2` (docs/protocol.md §5.7).
    package var fencing: String
    package var configurationVersion: UInt64
    package var voters: [UInt32]
    package var pendingVoters: [UInt32]?
    package var quorum: Int
    package var members: [MemberStatus]
    package var admissions: [AdmissionReport]
    package var clients: [ClientStatus]
    package var volumes: [VolumeStatus]
    package var waits: [WaitReport]
    package var promise: PromiseReport?

    package init(cluster: String, node: UInt32, boot: UInt64) {
        self.cluster = cluster
        self.node = node
        self.boot = boot
        agentPid = 0
        role = "learner"
        mayVote = true
        enabled = true
        adoptedEpoch = 0
        adoptedRound = 0
        clientsResumed = false
        epoch = 0
        round = 0
        phase = "none"
        fencing = "L1"
        configurationVersion = 0
        voters = []
        quorum = 0
        members = []
        admissions = []
        clients = []
        volumes = []
        waits = []
    }
}

package struct MemberStatus: Codable, Equatable, Sendable {
    package var node: UInt32
    package var boot: UInt64
    package var address: String
    /// `alive`, `suspect`, `unreachable` or `left`.
    package var state: String
    package var voter: Bool
    package var eligible: Bool
    package var localHealth: Int
    /// How long it has been in that state; null if unknown.
    package var stateSeconds: Double?
    package var suspectedBy: [UInt32]

    package init(
        node: UInt32, boot: UInt64, address: String, state: String, voter: Bool, eligible: Bool, localHealth: Int,
        stateSeconds: Double?, suspectedBy: [UInt32]
    ) {
        self.node = node
        self.boot = boot
        self.address = address
        self.state = state
        self.voter = voter
        self.eligible = eligible
        self.localHealth = localHealth
        self.stateSeconds = stateSeconds
        self.suspectedBy = suspectedBy
    }
}

/// One line of the admission table, as this node's disk has it.
package struct AdmissionReport: Codable, Equatable, Sendable {
    package var node: UInt32
    package var boot: UInt64
    package var epoch: UInt64
    /// `admitted`, `left`, `lease passed` or `fenced`.
    package var status: String

    package init(node: UInt32, boot: UInt64, epoch: UInt64, status: String) {
        self.node = node
        self.boot = boot
        self.epoch = epoch
        self.status = status
    }
}

/// One `csnap-client` process of this node.
package struct ClientStatus: Codable, Equatable, Sendable {
    package var volume: String
    package var pid: Int32
    package var suspended: Bool
    package var connected: Bool
    package var writesInFlight: Int
    /// At the origin's disk for more than 5 s, and for how long the oldest; null if there are none.
    package var hangingRequests: Int
    package var hangingSeconds: Double?

    package init(
        volume: String, pid: Int32, suspended: Bool, connected: Bool, writesInFlight: Int, hangingRequests: Int,
        hangingSeconds: Double?
    ) {
        self.volume = volume
        self.pid = pid
        self.suspended = suspended
        self.connected = connected
        self.writesInFlight = writesInFlight
        self.hangingRequests = hangingRequests
        self.hangingSeconds = hangingSeconds
    }
}

package struct VolumeStatus: Codable, Equatable, Sendable {
    package var name: String
    package var origin: String
    package var store: String

    package init(name: String, origin: String, store: String) {
        self.name = name
        self.origin = origin
        self.store = store
    }
}

/// Something waits: since when, for whom, and what a person can do.
package struct WaitReport: Codable, Equatable, Sendable {
    package var kind: String
    package var seconds: Double
    package var nodes: [UInt32]
    package var text: String
    package var remedy: String
    /// Nothing waits for it now; it may become trouble.
    package var warning: Bool

    package init(
        kind: String, seconds: Double, nodes: [UInt32], text: String, remedy: String, warning: Bool = false
    ) {
        self.kind = kind
        self.seconds = seconds
        self.nodes = nodes
        self.text = text
        self.remedy = remedy
        self.warning = warning
    }
}

/// This node's own promise, as its disk has it.
package struct PromiseReport: Codable, Equatable, Sendable {
    package var epoch: UInt64
    package var node: UInt32
    package var boot: UInt64
    package var released: Bool
    /// Seconds; 0 when it has ended.
    package var remaining: Double

    package init(epoch: UInt64, node: UInt32, boot: UInt64, released: Bool, remaining: Double) {
        self.epoch = epoch
        self.node = node
        self.boot = boot
        self.released = released
        self.remaining = remaining
    }
}
