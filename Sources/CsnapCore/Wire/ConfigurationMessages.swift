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
