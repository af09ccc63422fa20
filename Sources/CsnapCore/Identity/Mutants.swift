/// A rule of the protocol that a mutant build can remove, so that a check proves it would notice (docs/testing.md).
///
/// The cases are named after what the mutated core does wrong.
package enum Mutant: String, CaseIterable, Sendable {
    // The lease core
    case oneAckIsEnough
    case noWaitForPromise
    case noRestartMute
    case voteNotPersisted
    case leaseFromAckReceipt
    case noDriftMargin
    case renewalWithoutNonce
    case sameEpochRetried
    case renewAfterHard
    // The barrier
    case admissionByHolderAlone
    case admissionAfterHigherPromise
    case admissionLostAtRestart
    case activeOnMajorityOfReady
    case evictWithoutLeaseWait
    case hearsayEndsBoot
    // Growth
    case oldVotersOnlyAfterPending
    case pendingVoterGrantsAlone
    case commitAtNewMajorityOnly
    case pendingConfigurationIgnored
    case candidateNeedsOldMajorityOnly
    case staleProposalAccepted
    case learnerCandidateNotPersisted
    case configurationHashIgnored
    // Client leases
    case noWaitAfterRelease
    case noWaitAtRestartInPlace
    case waitOnlyIfAllReleased
    case sameTreatedAsExpired
    case failedReleaseTreatedAsExpired
    case releasedForgottenAtRestart
    case nextRoundDropsWait
    case clientLeaseNotCapped
    // Admissions
    case noWriteBackBeforeActive
    case noEpochOrderInTable
    case lowTableAccepted
    case strikeBeforeEvictMajority
    case tableNotCarriedAtGrowth
    case tableNotRenewed
    // Votes that were lost
    case votesWithoutProposal
    case pendingVoterForgets
    case voteRecoveredAtOnce
    case voteRecoveredByOne
    case lateGrantCounted
    // Liveness
    case pendingInHash
    case lostVoterKept
    case resumeSentOnce
    case candidateNeverRetries
    case rejoinGivesUp
    case accusationTriggersElection
    case restartInPlaceWithoutNewRound
    case cloneReleasesPromise
}

/// Which rule, if any, this process runs without. Always none in a build without CSNAP_MUTANTS.
package enum Mutants {
    #if CSNAP_MUTANTS
        // Set once, before any core runs; then only read.
        nonisolated(unsafe) package static var removed: Mutant?

        @inline(__always)
        package static func active(_ mutant: Mutant) -> Bool { removed == mutant }
    #else
        @inline(__always)
        package static func active(_ mutant: Mutant) -> Bool { false }
    #endif
}
