/// Everything one agent says to another (docs/protocol.md §4). The header (node, boot, start bits, cluster) is the
/// packet's; see `PacketHeader`.
package enum Message: Equatable, Sendable {
    // Membership
    case ping(Ping)
    case ack(Ack)
    case pingRequest(PingRequest)
    case news([GossipItem])
    case syncDigest(SyncDigest)
    case syncPage(SyncPage)
    // Discovery
    case join(Join)
    case joinAck(JoinAck)
    case bootTooOld(BootTooOld)
    case foreignGroup(ForeignGroup)
    case idConflict(IdConflict)
    // Claim
    case preClaim(PreClaim)
    case preGrant(PreGrant)
    case preDeny(PreDeny)
    case voteRequest(VoteRequest)
    case grant(Grant)
    case deny(Deny)
    case renew(Renew)
    case renewAck(RenewAck)
    case renewNak(RenewNak)
    case release(Release)
    case transfer(Transfer)
    // Configuration
    case configPropose(ConfigPropose)
    case configAck(ConfigAck)
    case configCommit(ConfigCommit)
    case configCommitAck(ConfigCommitAck)
    // Admission and recovery
    case clientLease(ClientLease)
    case clientLeaseAck(ClientLeaseAck)
    case evicted(Evicted)
    case table(Table)
    case tableAck(TableAck)
    case recover(Recover)
    case ready(Ready)
    case started(Started)
    case reconnected(Reconnected)
    case resume(Resume)
    case resumeAck(ResumeAck)
    // Operators
    case operatorRequest(OperatorRequest)
    case operatorReply(OperatorReply)
}

/// News that rides on probes and acknowledgements.
package enum GossipItem: Equatable, Sendable {
    case member(MemberRecord)
    /// `accuser` suspects `process` at that incarnation.
    case accusation(accuser: NodeID, process: NodeBoot, incarnation: Incarnation)
    case claim(Claim)
    case configuration(VoterSet)
}

package struct Ping: Equatable, Sendable {
    package var sequence: UInt64
    package var target: NodeBoot
    package var incarnation: Incarnation
    package var localHealth: UInt8
    /// The sender's clock, echoed in the Ack so that it can measure the round trip.
    package var sentAt: Instant
    package var gossip: [GossipItem]

    package init(
        sequence: UInt64, target: NodeBoot, incarnation: Incarnation, localHealth: UInt8, sentAt: Instant,
        gossip: [GossipItem]
    ) {
        self.sequence = sequence
        self.target = target
        self.incarnation = incarnation
        self.localHealth = localHealth
        self.sentAt = sentAt
        self.gossip = gossip
    }
}

package struct Ack: Equatable, Sendable {
    package var sequence: UInt64
    /// Who was probed; not the sender when a relay passes the Ack on.
    package var target: NodeBoot
    package var incarnation: Incarnation
    package var localHealth: UInt8
    package var echo: Instant
    package var gossip: [GossipItem]

    package init(
        sequence: UInt64, target: NodeBoot, incarnation: Incarnation, localHealth: UInt8, echo: Instant,
        gossip: [GossipItem]
    ) {
        self.sequence = sequence
        self.target = target
        self.incarnation = incarnation
        self.localHealth = localHealth
        self.echo = echo
        self.gossip = gossip
    }
}

package struct PingRequest: Equatable, Sendable {
    package var sequence: UInt64
    package var target: NodeBoot
    package var address: Address
    package var budget: Interval

    package init(sequence: UInt64, target: NodeBoot, address: Address, budget: Interval) {
        self.sequence = sequence
        self.target = target
        self.address = address
        self.budget = budget
    }
}

/// Hashes over the records, for comparison once per anti-entropy period.
package struct SyncDigest: Equatable, Sendable {
    /// One hash per range of 16 node ids (by rank of the id's range), in order of `firstNode`.
    package var ranges: [RangeHash]
    package var configurationHash: UInt64
    package var claimHash: UInt64

    package struct RangeHash: Equatable, Sendable {
        package var firstNode: NodeID
        package var lastNode: NodeID
        package var hash: UInt64

        package init(firstNode: NodeID, lastNode: NodeID, hash: UInt64) {
            self.firstNode = firstNode
            self.lastNode = lastNode
            self.hash = hash
        }
    }

    package init(ranges: [RangeHash], configurationHash: UInt64, claimHash: UInt64) {
        self.ranges = ranges
        self.configurationHash = configurationHash
        self.claimHash = claimHash
    }
}

package struct SyncPage: Equatable, Sendable {
    package var records: [MemberRecord]
    package var claim: Claim?
    package var configuration: VoterSet?
    /// Whether the receiver should send its records of the same range back.
    package var wantsAnswer: Bool

    package init(records: [MemberRecord], claim: Claim?, configuration: VoterSet?, wantsAnswer: Bool) {
        self.records = records
        self.claim = claim
        self.configuration = configuration
        self.wantsAnswer = wantsAnswer
    }
}

/// Asks to become a member; padded on the wire so that no answer is larger.
package struct Join: Equatable, Sendable {
    package var nonce: UInt64
    package var record: MemberRecord
    package var machineID: Bits128
    package var kernelBootID: Bits128
    package var configurationVersion: UInt64
    package var highestEpoch: Epoch

    package init(
        nonce: UInt64, record: MemberRecord, machineID: Bits128, kernelBootID: Bits128,
        configurationVersion: UInt64, highestEpoch: Epoch
    ) {
        self.nonce = nonce
        self.record = record
        self.machineID = machineID
        self.kernelBootID = kernelBootID
        self.configurationVersion = configurationVersion
        self.highestEpoch = highestEpoch
    }
}

package struct JoinAck: Equatable, Sendable {
    package var nonce: UInt64
    package var cluster: Bits128
    /// The answering member first, then as many others as fit one datagram; anti-entropy brings the rest.
    package var records: [MemberRecord]
    package var claim: Claim?
    package var configuration: VoterSet?
    package var highestEpoch: Epoch

    package init(
        nonce: UInt64, cluster: Bits128, records: [MemberRecord], claim: Claim?, configuration: VoterSet?,
        highestEpoch: Epoch
    ) {
        self.nonce = nonce
        self.cluster = cluster
        self.records = records
        self.claim = claim
        self.configuration = configuration
        self.highestEpoch = highestEpoch
    }
}

/// Answers a Join whose boot some member has seen surpassed.
package struct BootTooOld: Equatable, Sendable {
    package var nonce: UInt64
    package var highest: Boot

    package init(nonce: UInt64, highest: Boot) {
        self.nonce = nonce
        self.highest = highest
    }
}

package struct ForeignGroup: Equatable, Sendable {
    package var nonce: UInt64
    package var cluster: Bits128

    package init(nonce: UInt64, cluster: Bits128) {
        self.nonce = nonce
        self.cluster = cluster
    }
}

/// Two live machines use one node id.
package struct IdConflict: Equatable, Sendable {
    package var nonce: UInt64
    package var node: NodeID
    /// Where the one that was heard first lives.
    package var address: Address

    package init(nonce: UInt64, node: NodeID, address: Address) {
        self.nonce = nonce
        self.node = node
        self.address = address
    }
}

/// Why a candidate wants a new epoch.
package enum ClaimReason: UInt8, Sendable {
    case noHolder = 0
    case promiseEnded = 1
    case successor = 2
    case storeTenure = 3
}

/// Why a voter would not, or did not, grant.
package enum DenyReason: UInt8, Sendable {
    case promised = 0
    case mute = 1
    case lowEpoch = 2
    case configuration = 3
    case noVote = 4
    case preGranted = 5
    case idConflict = 6
}

/// Asks whether a vote would be granted; spends no epoch (§5.3).
package struct PreClaim: Equatable, Sendable {
    package var epoch: Epoch
    package var nonce: UInt64
    package var configurationHash: UInt64
    package var reason: ClaimReason

    package init(epoch: Epoch, nonce: UInt64, configurationHash: UInt64, reason: ClaimReason) {
        self.epoch = epoch
        self.nonce = nonce
        self.configurationHash = configurationHash
        self.reason = reason
    }
}

package struct PreGrant: Equatable, Sendable {
    package var epoch: Epoch
    package var nonce: UInt64

    package init(epoch: Epoch, nonce: UInt64) {
        self.epoch = epoch
        self.nonce = nonce
    }
}

/// Carries the Claim: so a late lowest id that missed all gossip still discovers the server.
package struct PreDeny: Equatable, Sendable {
    package var nonce: UInt64
    package var reason: DenyReason
    package var claim: Claim?
    package var remaining: Interval
    package var highestEpoch: Epoch
    /// The committed one, where the hashes differ.
    package var configuration: VoterSet?

    package init(
        nonce: UInt64, reason: DenyReason, claim: Claim?, remaining: Interval, highestEpoch: Epoch,
        configuration: VoterSet?
    ) {
        self.nonce = nonce
        self.reason = reason
        self.claim = claim
        self.remaining = remaining
        self.highestEpoch = highestEpoch
        self.configuration = configuration
    }
}

package struct VoteRequest: Equatable, Sendable {
    package var epoch: Epoch
    package var nonce: UInt64
    package var configurationHash: UInt64

    package init(epoch: Epoch, nonce: UInt64, configurationHash: UInt64) {
        self.epoch = epoch
        self.nonce = nonce
        self.configurationHash = configurationHash
    }
}

package struct Grant: Equatable, Sendable {
    package var epoch: Epoch
    package var nonce: UInt64
    package var promiseWas: PromiseEnd
    /// How long ago the old promise was released; zero if unknown or `same`.
    package var sinceRelease: Interval
    package var admissions: [AdmissionEntry]
    package var committed: VoterSet
    package var pending: PendingVoterSet?

    package init(
        epoch: Epoch, nonce: UInt64, promiseWas: PromiseEnd, sinceRelease: Interval, admissions: [AdmissionEntry],
        committed: VoterSet, pending: PendingVoterSet?
    ) {
        self.epoch = epoch
        self.nonce = nonce
        self.promiseWas = promiseWas
        self.sinceRelease = sinceRelease
        self.admissions = admissions
        self.committed = committed
        self.pending = pending
    }
}

package struct Deny: Equatable, Sendable {
    package var nonce: UInt64
    package var reason: DenyReason
    package var promised: Promise?
    package var remaining: Interval
    package var highestEpoch: Epoch
    package var configuration: VoterSet?

    package init(
        nonce: UInt64, reason: DenyReason, promised: Promise?, remaining: Interval, highestEpoch: Epoch,
        configuration: VoterSet?
    ) {
        self.nonce = nonce
        self.reason = reason
        self.promised = promised
        self.remaining = remaining
        self.highestEpoch = highestEpoch
        self.configuration = configuration
    }
}

package struct Renew: Equatable, Sendable {
    package var epoch: Epoch
    package var nonce: UInt64
    package var phase: ClaimPhase
    package var configurationHash: UInt64

    package init(epoch: Epoch, nonce: UInt64, phase: ClaimPhase, configurationHash: UInt64) {
        self.epoch = epoch
        self.nonce = nonce
        self.phase = phase
        self.configurationHash = configurationHash
    }
}

package struct RenewAck: Equatable, Sendable {
    package var epoch: Epoch
    package var nonce: UInt64

    package init(epoch: Epoch, nonce: UInt64) {
        self.epoch = epoch
        self.nonce = nonce
    }
}

package struct RenewNak: Equatable, Sendable {
    package var epoch: Epoch
    package var promised: Promise

    package init(epoch: Epoch, promised: Promise) {
        self.epoch = epoch
        self.promised = promised
    }
}

/// The holder's server process group is empty: its promise may end now.
package struct Release: Equatable, Sendable {
    package var epoch: Epoch
    package var holder: NodeBoot

    package init(epoch: Epoch, holder: NodeBoot) {
        self.epoch = epoch
        self.holder = holder
    }
}

/// A Release that names who should serve next.
package struct Transfer: Equatable, Sendable {
    package var epoch: Epoch
    package var holder: NodeBoot
    package var successor: NodeID

    package init(epoch: Epoch, holder: NodeBoot, successor: NodeID) {
        self.epoch = epoch
        self.holder = holder
        self.successor = successor
    }
}

package struct ConfigPropose: Equatable, Sendable {
    package var epoch: Epoch
    package var committed: VoterSet
    package var proposed: VoterSet
    package var admissions: [AdmissionEntry]

    package init(epoch: Epoch, committed: VoterSet, proposed: VoterSet, admissions: [AdmissionEntry]) {
        self.epoch = epoch
        self.committed = committed
        self.proposed = proposed
        self.admissions = admissions
    }
}

package struct ConfigAck: Equatable, Sendable {
    package var epoch: Epoch
    package var version: UInt64

    package init(epoch: Epoch, version: UInt64) {
        self.epoch = epoch
        self.version = version
    }
}

package struct ConfigCommit: Equatable, Sendable {
    package var epoch: Epoch
    package var committed: VoterSet

    package init(epoch: Epoch, committed: VoterSet) {
        self.epoch = epoch
        self.committed = committed
    }
}

package struct ConfigCommitAck: Equatable, Sendable {
    package var epoch: Epoch
    package var version: UInt64

    package init(epoch: Epoch, version: UInt64) {
        self.epoch = epoch
        self.version = version
    }
}

/// A node asks the holder to let its clients go on.
package struct ClientLease: Equatable, Sendable {
    package var nonce: UInt64
    package var tenure: Tenure
    package var clients: UInt32
    package var suspended: Bool

    package init(nonce: UInt64, tenure: Tenure, clients: UInt32, suspended: Bool) {
        self.nonce = nonce
        self.tenure = tenure
        self.clients = clients
        self.suspended = suspended
    }
}

package struct ClientLeaseAck: Equatable, Sendable {
    package var nonce: UInt64
    package var tenure: Tenure
    /// What is left of the holder's own lease; the client lease never outlives it.
    package var remaining: Interval

    package init(nonce: UInt64, tenure: Tenure, remaining: Interval) {
        self.nonce = nonce
        self.tenure = tenure
        self.remaining = remaining
    }
}

/// Tells a boot that it is no longer admitted; final for that boot.
package struct Evicted: Equatable, Sendable {
    package var tenure: Tenure
    package var process: NodeBoot
    package var cause: EvictionCause

    package init(tenure: Tenure, process: NodeBoot, cause: EvictionCause) {
        self.tenure = tenure
        self.process = process
        self.cause = cause
    }
}

/// Admissions and evictions for the voters' disks (Admit, Evict and Table of §4 in one message).
package struct Table: Equatable, Sendable {
    package var epoch: Epoch
    package var sequence: UInt64
    package var entries: [AdmissionEntry]

    package init(epoch: Epoch, sequence: UInt64, entries: [AdmissionEntry]) {
        self.epoch = epoch
        self.sequence = sequence
        self.entries = entries
    }
}

/// That sequence, and so all it said, is on this voter's disk. A refusal is silent.
package struct TableAck: Equatable, Sendable {
    package var epoch: Epoch
    package var sequence: UInt64

    package init(epoch: Epoch, sequence: UInt64) {
        self.epoch = epoch
        self.sequence = sequence
    }
}

/// Close the gates, drop connections of older tenures, adopt this one, answer Ready (§6).
package struct Recover: Equatable, Sendable {
    package var tenure: Tenure
    package var setHash: UInt64

    package init(tenure: Tenure, setHash: UInt64) {
        self.tenure = tenure
        self.setHash = setHash
    }
}

package struct Ready: Equatable, Sendable {
    package var tenure: Tenure
    package var setHash: UInt64
    package var clients: UInt32
    package var writesInFlight: UInt32

    package init(tenure: Tenure, setHash: UInt64, clients: UInt32, writesInFlight: UInt32) {
        self.tenure = tenure
        self.setHash = setHash
        self.clients = clients
        self.writesInFlight = writesInFlight
    }
}

package struct Started: Equatable, Sendable {
    package var tenure: Tenure
    package var setHash: UInt64
    package var address: Address

    package init(tenure: Tenure, setHash: UInt64, address: Address) {
        self.tenure = tenure
        self.setHash = setHash
        self.address = address
    }
}

package struct Reconnected: Equatable, Sendable {
    package var tenure: Tenure
    package var setHash: UInt64
    package var clients: UInt32

    package init(tenure: Tenure, setHash: UInt64, clients: UInt32) {
        self.tenure = tenure
        self.setHash = setHash
        self.clients = clients
    }
}

/// Only this resumes clients, never gossip. It names the service address, for a node admitted after the recovery.
package struct Resume: Equatable, Sendable {
    package var tenure: Tenure
    package var setHash: UInt64
    package var address: Address
    /// The boot that was Ready or admitted; a later boot of that node asks anew.
    package var process: NodeBoot

    package init(tenure: Tenure, setHash: UInt64, address: Address, process: NodeBoot) {
        self.tenure = tenure
        self.setHash = setHash
        self.address = address
        self.process = process
    }
}

package struct ResumeAck: Equatable, Sendable {
    package var tenure: Tenure
    package var setHash: UInt64

    package init(tenure: Tenure, setHash: UInt64) {
        self.tenure = tenure
        self.setHash = setHash
    }
}

/// A command typed on another node, for the holder.
package struct OperatorRequest: Equatable, Sendable {
    package var command: Bits128
    package var verb: OperatorVerb

    package init(command: Bits128, verb: OperatorVerb) {
        self.command = command
        self.verb = verb
    }
}

package enum OperatorVerb: Equatable, Sendable {
    case transfer(NodeID)
    case strike(NodeID, fenced: Bool)
    case voters([NodeID])
}

package struct OperatorReply: Equatable, Sendable {
    package var command: Bits128
    package var outcome: OperatorOutcome

    package init(command: Bits128, outcome: OperatorOutcome) {
        self.command = command
        self.outcome = outcome
    }
}

package enum OperatorOutcome: Equatable, Sendable {
    case done
    case refused(RefusalCode)
}

/// Why an operator's command was refused; the runtime words it for a person.
package enum RefusalCode: UInt8, Sendable {
    case noServer = 0
    case notMember = 1
    case notEligible = 2
    case alreadyServing = 3
    case notFounded = 4
    case alreadyInGroup = 5
    case notHolder = 6
    case busy = 7
    case badVoters = 8
    case isSelf = 9
    case answersStill = 10
    case notStored = 11
    case groupHeard = 12
}
