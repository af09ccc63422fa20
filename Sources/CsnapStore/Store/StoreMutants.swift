/// A rule of the store that a mutant build can remove, so that a check proves it would notice (docs/testing.md).
package enum StoreMutant: String, CaseIterable, Sendable {
    /// Groups of an earlier use of a journal's window are taken for the present one's.
    case noRunningNumber
    /// A dead tenure's groups behind the cut of its successor count.
    case cutsIgnored
    /// Whoever claimed last is the base, whether it ever stood or not.
    case highestSlotIsBase
    /// No reading of the slots before a window is used.
    case noSlotReadBeforeReuse
    /// Nodes are free before the anchor that no longer reaches them is durable.
    case reuseBeforeAnchor
    /// A journal that was destroyed in its middle is taken for one that ends there.
    case damagedJournalEnds
    /// A group whose data never arrived is replayed.
    case dataNotVerifiedAtReplay
    /// A dead tenure's open windows are ordinary space.
    case windowsNotQuarantined
    /// The next window is opened while writes to the one before may still land.
    case sealedUnwritten
    /// The grant comes before the flush.
    case grantBeforeFlush
    /// The flush of the nodes before the anchor is left out.
    case anchorBeforeNodes
    /// What was read of the dead tenure is not made durable before it is relied upon.
    case noFlushBeforeFirstAnchor
    /// A copy-out that could not read its origin is granted.
    case failedCopyGranted
    /// The space of a deleted snapshot is free at once, whoever may still read there.
    case sweptUnderReaders
    /// Entries are kept for the newest snapshot only.
    case sweepTooMuch
    /// Checksums of saved data are not looked at.
    case dataNotVerifiedAtReading
    /// A deletion is answered before it is durable: the next grant skips copies that are needed after all.
    case deletionNotFlushed
    /// A writer is welcomed before its record is durable.
    case writerNotFlushed
    /// A snapshot's new name and priority are acknowledged, but not written.
    case changeNotWritten
    /// A command that is repeated after a fail-over makes a second snapshot.
    case uuidForgotten
    /// What an earlier dead tenure may still write to is ordinary space for the next but one.
    case quarantineNotInherited
    /// The journal that a checkpoint will pass is free before its anchor is durable.
    case journalFreedBeforeAnchor
    /// Both copies of an anchor are written before the first is durable.
    case anchorCopiesTogether
    /// The same, of a claim.
    case claimCopiesTogether
    /// Copy-out takes the windows that are kept for takeovers and deletion.
    case reserveUsed
    /// Any record takes the last windows and the last half of the journal.
    case reserveForAll
    /// At the journal's cap nothing is recorded before a checkpoint has found room.
    case capHoldsAll
    /// A snapshot of several volumes that is decided waits for room as any other.
    case decisionAwaitsRoom
    /// A repair that died counts as having open whatever the journal that it read ever opened.
    case repairInheritsWindows
    /// A checkpoint that found no room is tried again with each step, though no room came.
    case vainCheckpoints
    /// A checkpoint that meets damage is begun again with each step.
    case damageTriedAgain
    /// What a checkpoint once could not read is never looked at again.
    case damageRemembered
    /// What a sweep could not free under a page of the space map waits for the next deletion.
    case leftUnderPage
    /// Where damage is in its way a checkpoint is tried again when room comes.
    case roomAgainstDamage
    /// The sweep goes on however long the journal gets.
    case sweptPastCap
    /// The sweep begins again and again at what it cannot read.
    case sweepStopsAtDamage
    /// A page of the space map that cannot be read stops all copies.
    case onePageStopsCopies
    /// A node is joined with the one behind it, or not written.
    case damagedNeighbourStops
    /// Who settles all takes one piece of a journal more than others, and never another one.
    case settledOnce
    /// What is lost of a branch is lost of each snapshot and of each later branch, too.
    case lossOfAll
    /// A server ends at a node that cannot be read, and so does its successor.
    case badSectorEnds
    /// What is free in the open window is used by later tenures alone.
    case openWindowNotRefilled
    /// A full journal is asked for room when the chunks are copied already.
    case copiedInVain
    /// What may use the reserve opens a journal's next window as early there as elsewhere.
    case lastWindowsTakenEarly
    /// A takeover takes a window for its journal, or is refused.
    case noJournalBehindDead
    /// A journal goes on behind one that its dead owner may still write to.
    case journalBehindLiving
    /// What was kept away comes back only where the journal has room for the word of it.
    case settledByJournalAlone
    /// The last blocks of a journal hold no word that a checkpoint needs.
    case noBlockForNodes
    /// In a scarce store the journals of the dead are kept as long as in any other.
    case scarceStoreWaits
    /// The checksum of a group of the journal is not looked at.
    case journalNotVerified
    /// The checksum of a tree node is not looked at.
    case nodesNotVerified
    /// An interrupted deletion is not taken up again.
    case sweepNotResumed
    /// What a tenure listed that never counted is honoured, too.
    case allCutsHonoured
    /// A branch is written where its chunk lies already.
    case branchWrittenInPlace
    /// What one write to a chunk of a branch did not cover comes from the snapshot, whatever was written before.
    case mergedWithBase
    /// A snapshot is deleted under its branches.
    case baseDeleted
    /// Nobody sweeps what a branch held before it was overwritten.
    case overwritingNotSwept
    /// The same, of what a sweep went past because readers looked at it.
    case leftoverForgotten
    /// What a branch held before it was overwritten is free at once, whoever may still read there.
    case overwrittenUnderReaders
    /// An answer about an earlier stamp stands for what was overwritten since.
    case overwrittenWithoutStamp
    /// Readers of earlier servers are taken for gone before anybody has said so.
    case forgottenAtTaking
}

extension StoreAnchor {
    /// Of the mutant `allCutsHonoured`: the lower cut of the two wins.
    mutating func honour(_ other: StoreAnchor) {
        for index in pieces.indices {
            for piece in other.pieces where piece.tenure == pieces[index].tenure {
                if let cut = piece.cut { pieces[index].cut = min(cut, pieces[index].cut ?? .max) }
            }
        }
    }
}

/// Which rule, if any, this process runs without. Always none in a build without CSNAP_MUTANTS.
package enum StoreMutants {
    #if CSNAP_MUTANTS
        // Set once, before any store runs; then only read.
        nonisolated(unsafe) package static var removed: StoreMutant?

        @inline(__always)
        static func active(_ mutant: StoreMutant) -> Bool { removed == mutant }
    #else
        @inline(__always)
        static func active(_ mutant: StoreMutant) -> Bool { false }
    #endif
}
