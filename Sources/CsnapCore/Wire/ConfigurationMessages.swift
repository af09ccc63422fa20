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

/// A node that lost its vote asks what it may have promised (§5a); its boot is the packet's.
package struct VoteRecover: Equatable, Sendable {
    package var nonce: UInt64

    package init(nonce: UInt64) { self.nonce = nonce }
}

/// All that an intact voter, or the holder, knows: whatever the asker's promise ever counted for is in one of these.
package struct VoteRecoverAck: Equatable, Sendable {
    package var nonce: UInt64
    package var highestEpoch: Epoch
    package var promise: Promise?
    /// Above this, and above the promise, its promises were never forgotten.
    package var floor: Epoch
    package var admissions: [AdmissionEntry]
    package var committed: VoterSet
    package var pending: PendingVoterSet?

    package init(
        nonce: UInt64, highestEpoch: Epoch, promise: Promise?, floor: Epoch, admissions: [AdmissionEntry],
        committed: VoterSet, pending: PendingVoterSet?
    ) {
        self.nonce = nonce
        self.highestEpoch = highestEpoch
        self.promise = promise
        self.floor = floor
        self.admissions = admissions
        self.committed = committed
        self.pending = pending
    }
}
