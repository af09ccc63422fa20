/// What an agent keeps on disk, as one record written anew each time (docs/protocol.md §1).
package struct StoredState: Equatable, Sendable {
    package var cluster: Bits128
    package var process: NodeBoot
    package var machineID: Bits128
    package var kernelBootID: Bits128
    /// Start bits of the process that wrote the record, for `server.lock` (§5.8).
    package var startBits: Bits128
    package var promise: Promise?
    package var highestEpoch: Epoch
    /// At or below it this node may have promised what it has forgotten (§5a).
    package var floor = Epoch.none
    package var committed: VoterSet?
    package var pending: PendingVoterSet?
    package var admissions: AdmissionTable
    /// False after a state file was lost: the node answers as a learner only.
    package var mayVote: Bool
    /// The operator's `disable` / `enable`.
    package var enabled: Bool
    package var peers: [Address]
    /// The last epoch known to have been active, of each volume: a store that has not seen it is an old copy.
    package var volumeEpochs: [VolumeEpoch] = []

    package init(process: NodeBoot, machineID: Bits128, kernelBootID: Bits128, startBits: Bits128) {
        cluster = .zero
        self.process = process
        self.machineID = machineID
        self.kernelBootID = kernelBootID
        self.startBits = startBits
        promise = nil
        highestEpoch = .none
        committed = nil
        pending = nil
        admissions = AdmissionTable()
        mayVote = true
        enabled = true
        peers = []
    }
}
