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
