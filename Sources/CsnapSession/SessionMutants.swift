/// A rule between client and server that a mutant build can remove, so that a check proves it would notice
/// (docs/testing.md).
///
/// The cases are named after what the mutated machines do wrong.
package enum SessionMutant: String, CaseIterable, Sendable {
    // The server's barrier
    case ackOfAnyAttempt
    case lostClientCounted
    case lostWritersIgnored
    case welcomeInBarrier
    case grantInBarrier
    case waitingWriteNotLookedAtAgain
    // Writers
    case welcomeBeforeRecord
    case writerClearedAtDisconnect
    case surpassedWriterClearedAtOnce
    // Grants
    case failedCopyGranted
    case fullStoreGranted
    case grantDespiteHold
    case answeredBeforeActivation
    // Holds
    case holdsEndWithConnection
    case holdsKeptAtHello
    case holdsKeptAtBye
    case anybodyEndsRead
    case strikeKeepsHolds
    case strikeKeepsSessions
    case reuseUnderReaders
    case forgottenBeforeActivation
    // Branches
    /// A write to a branch is answered when it is given to the store, not when the store has it.
    case branchWriteAnsweredAtOnce
    /// It is given to the store as soon as it comes, whoever else is on the way back.
    case branchWrittenBeforeActivation
    /// What comes late on a client's earlier connection is done, though it was sent again on the next one.
    case earlierSessionKept
    /// A client that has ended is welcome when its greeting comes after its successor's.
    case lateClientHeard
    /// The client waits for an answer that its earlier session would have brought.
    case branchWriteNotSentAgain
    /// A full store is an error to the program.
    case fullBranchWriteFailed
    // The client
    case ackBeforeDrained
    case ackBeforeFlushed
    case goOnAfterAck
    case bitmapKeptAtEnd
    case bitmapKeptAtWelcome
    case oneGrantedChunkIsEnough
    case readNotCheckedAfterwards
    case voidReadShown
}

/// Which rule, if any, this process runs without. Always none in a build without CSNAP_MUTANTS.
package enum SessionMutants {
    #if CSNAP_MUTANTS
        // Set once, before any session runs; then only read.
        nonisolated(unsafe) package static var removed: SessionMutant?

        @inline(__always)
        package static func active(_ mutant: SessionMutant) -> Bool { removed == mutant }
    #else
        @inline(__always)
        package static func active(_ mutant: SessionMutant) -> Bool { false }
    #endif
}
