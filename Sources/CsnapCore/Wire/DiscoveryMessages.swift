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
    package var pending: PendingVoterSet?
    package var highestEpoch: Epoch

    package init(
        nonce: UInt64, cluster: Bits128, records: [MemberRecord], claim: Claim?, configuration: VoterSet?,
        pending: PendingVoterSet?, highestEpoch: Epoch
    ) {
        self.nonce = nonce
        self.cluster = cluster
        self.records = records
        self.claim = claim
        self.configuration = configuration
        self.pending = pending
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
