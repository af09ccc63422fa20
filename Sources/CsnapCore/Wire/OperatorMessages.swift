/// A command typed on another node, for the holder.
package struct OperatorRequest: Equatable, Sendable {
    package var command: Bits128
    package var verb: OperatorVerb

    package init(command: Bits128, verb: OperatorVerb) {
        self.command = command
        self.verb = verb
    }
}

package enum OperatorVerb: Equatable, Sendable {
    case transfer(NodeID)
    case strike(NodeID, fenced: Bool)
    case voters([NodeID])
    case addVoters([NodeID])
    case replaceVoter(NodeID, by: NodeID)
    /// That voter wants to leave the group: put a stable learner in its place first.
    case leaving(NodeID)
}

package struct OperatorReply: Equatable, Sendable {
    package var command: Bits128
    package var outcome: OperatorOutcome

    package init(command: Bits128, outcome: OperatorOutcome) {
        self.command = command
        self.outcome = outcome
    }
}

package enum OperatorOutcome: Equatable, Sendable {
    case done
    /// The node has left, but remains a voter: nobody was there to take its place.
    case doneButVoter
    case refused(RefusalCode)
}

/// Why an operator's command was refused; the runtime words it for a person.
package enum RefusalCode: UInt8, Sendable {
    case noServer = 0
    case notMember = 1
    case notEligible = 2
    case alreadyServing = 3
    case notFounded = 4
    case alreadyInGroup = 5
    case notHolder = 6
    case busy = 7
    case badVoters = 8
    case isSelf = 9
    case answersStill = 10
    case notStored = 11
    case groupHeard = 12
    /// The node to be replaced does not vote.
    case notVoter = 13
    /// The new voter acknowledges nothing: it is not reachable, or has lost its vote.
    case voterSilent = 14
    case tooManyVoters = 15
    /// The number of voters would be even.
    case evenVoters = 16
    /// No stable member that may serve is there to take the place.
    case noReplacement = 17
}
