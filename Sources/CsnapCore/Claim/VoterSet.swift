/// The voters of a group: a version and an odd number of node ids in order (§5a).
package struct VoterSet: Equatable, Sendable {
    package var version: UInt64
    package var voters: [NodeID]

    package init(version: UInt64, voters: [NodeID]) {
        self.version = version
        self.voters = voters
    }

    /// Whether a version can have been reached by counting; from any other no holder could go on.
    package var isReachable: Bool { version <= Limits.countedFrom }

    package var quorum: Int { voters.count / 2 + 1 }

    /// 64 bits that stand for this set in messages (FNV-1a over version and ids).
    package var hash: UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func mix(_ word: UInt64) {
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                hash = (hash ^ ((word >> shift) & 0xff)) &* 0x0000_0100_0000_01b3
            }
        }
        mix(version)
        for voter in voters { mix(UInt64(voter.value)) }
        return hash
    }
}

/// A configuration on its way: proposed by the holder of `epoch`, not yet committed.
package struct PendingVoterSet: Equatable, Sendable {
    package var epoch: Epoch
    package var set: VoterSet

    package init(epoch: Epoch, set: VoterSet) {
        self.epoch = epoch
        self.set = set
    }
}
