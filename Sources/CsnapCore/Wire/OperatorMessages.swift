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
}
