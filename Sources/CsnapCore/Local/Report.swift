/// News for people and subscribers: one line of the journal, one item of the event stream each.
package enum Report: Equatable, Sendable {
    // The group
    case founded(cluster: Bits128)
    case joinedGroup(cluster: Bits128)
    case memberJoined(NodeBoot, Address)
    case memberSuspected(NodeBoot, by: NodeID)
    case memberAlive(NodeBoot)
    case memberUnreachable(NodeBoot)
    case memberLeft(NodeBoot)
    case foreignGroup(cluster: Bits128, from: NodeID)
    case idConflict(NodeID, other: Address)
    case votersChanging(VoterSet)
    case votersChanged(VoterSet)
    /// This node's promises are on no disk: it does not vote until every other voter has told what it knows.
    case voteLost
    case voteRestored
    // Claim
    case claiming(Epoch, ClaimReason)
    case claimFailed(Epoch)
    case elected(Epoch, by: [NodeID])
    case promised(Promise)
    case leaseSoft(Epoch)
    case leaseRegained(Epoch)
    case leaseLost(Epoch)
    case released(Epoch)
    // The server, as every member sees it: for each epoch `serverDown` of the one before comes first (invariant 20)
    case recovering(Tenure, server: NodeBoot)
    case serverActive(Tenure, server: NodeBoot)
    case serverDown(Epoch)
    /// Of the store of that volume; empty: of no volume.
    case serverFailed(ServerFailure, volume: String)
    // Stores of this node's server
    case storeSpace(volume: String, percent: UInt8, isHolding: Bool)
    case snapshotDropped(volume: String, name: String)
    // Recovery, as the holder sees it
    case waitingFor(Tenure, [NodeBoot])
    case nodeReady(Tenure, NodeBoot, writesInFlight: UInt32)
    case serverStarted(Tenure, Address)
    case nodeReconnected(Tenure, NodeBoot)
    case admitted(Tenure, NodeBoot)
    /// The table is as long as a datagram holds.
    case admissionRefused(NodeBoot)
    case evicted(Tenure, NodeBoot, EvictionCause)
    // This node's clients
    case clientsSuspended(Tenure)
    case clientsResumed(Tenure)
    case clientAttached(ClientID, volume: String)
    case clientGone(ClientID)
    /// Requests do not return from the origin's disk; or all have returned.
    case diskHangs(volume: String, requests: UInt32)
    case diskAnswers(volume: String)
    // Storage of the state
    case stateWriteFailed
}

/// Why the agent wants its process to end; the shell maps each to an exit code.
package enum ExitReason: UInt8, Sendable {
    /// Stopped, left or transferred as asked.
    case done = 0
    /// This boot is evicted or surpassed: start again with the next boot.
    case newBoot = 1
    /// A newer process of this node is alive; do not start again.
    case olderProcess = 2
}
