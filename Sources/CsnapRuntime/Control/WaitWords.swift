package import CsnapCore

extension WaitReport {
    /// One wait of the core, with its age, its culprits and the remedy.
    package init(_ wait: Wait, of status: AgentStatus, at now: Instant) {
        let words = WaitWords(wait, of: status)
        self.init(
            kind: words.kind, seconds: max((now - wait.since).seconds, 0), nodes: wait.nodes.map(\.value),
            text: words.text, remedy: words.remedy)
    }

    /// A warning: nothing waits for it now.
    package var isWarning: Bool { kind == "singleVoter" || kind == "noVote" }
}

/// Name, sentence and remedy of each kind of wait.
struct WaitWords {
    var kind: String
    var text: String
    var remedy: String

    private init(_ kind: String, _ text: String, _ remedy: String) {
        self.kind = kind
        self.text = text
        self.remedy = remedy
    }

    init(_ wait: Wait, of status: AgentStatus) {
        let nodes = wait.nodes.text
        switch wait.kind {
        case .notInGroup, .noQuorum, .promise, .noEligible, .idConflict, .stateFile, .store, .singleVoter, .noVote:
            self.init(group: wait.kind, nodes, status)
        case .ready, .table, .serverStart, .reconnect, .leaseEnd, .suspended, .localClients, .serverStop:
            self.init(recovery: wait.kind, nodes, status)
        }
    }

    private init(group kind: Wait.Kind, _ nodes: String, _ status: AgentStatus) {
        switch kind {
        case .noQuorum:
            let quorum = status.committed.map { "\($0.quorum) of \($0.voters.count) voters" } ?? "a voter majority"
            self.init(
                "noQuorum", "No server: \(quorum) are needed, and these do not answer: \(nodes).",
                "bring one of them back, or repair the network to it; nothing is lost meanwhile.")
        case .promise:
            self.init(
                "promise", "No server yet: an earlier promise to \(nodes) has not run out.",
                "none needed; it takes at most one promise time.")
        case .noEligible:
            self.init(
                "noEligible", "No server: no reachable member may serve (disabled, `serve: false`, or no store).",
                "`csnapctl enable` on a member that reaches the stores.")
        case .idConflict:
            self.init(
                "idConflict", "Another machine uses the id of this node.",
                "give one of the two another `node:` in its configuration, and restart its agent.")
        case .stateFile:
            self.init(
                "stateFile", "The state file cannot be written, so this node promises nothing.",
                "look at the state directory: full, read-only or broken disk?")
        case .store:
            self.init(
                "store", "The server process of this node could not take the store.",
                "`csnapctl events` says why; check the store's path and disk.")
        case .singleVoter:
            let remedy =
                status.members.count >= 3
                ? "none needed: the voters grow by themselves when two members that may serve have been stable."
                : "add a third member; the voters then grow by themselves."
            self.init("singleVoter", "Only one voter: if \(nodes) fails, service stops until it returns.", remedy)
        case .noVote:
            self.init(
                "noVote", "This node lost its state file and has no vote; waiting for \(nodes).",
                "none needed if those nodes run; it votes again when each of them has answered.")
        default:
            self.init(
                "notInGroup", "This node belongs to no group yet: no peer of its configuration has answered.",
                "check `peers` and the key; or, on the first node of a new group only, `csnapctl found`.")
        }
    }

    private init(recovery kind: Wait.Kind, _ nodes: String, _ status: AgentStatus) {
        let into = status.claim.map { " into \($0.tenure.text)" } ?? ""
        switch kind {
        case .ready:
            self.init(
                "ready", "Recovering\(into): waiting for \(nodes) to suspend its clients.",
                "none needed: a silent node is evicted; `csnapctl strike NODE` ends the wait for one that hangs.")
        case .table:
            self.init(
                "table", "Recovering\(into): waiting for a majority of \(nodes) to store the admissions.",
                "check the state directories of those nodes.")
        case .serverStart:
            self.init(
                "serverStart", "Recovering\(into): the server process is taking the store.",
                "none needed; if it lasts, check the store's disk.")
        case .reconnect:
            self.init(
                "reconnect", "Recovering\(into): the clients of \(nodes) have not reconnected to the server.",
                "none needed; if it repeats, check that they reach the server's port.")
        case .leaseEnd:
            self.init(
                "leaseEnd", "Waiting until the client lease of \(nodes) has surely ended; then it is evicted.",
                "none needed.")
        case .suspended:
            self.init(
                "suspended", "The clients of this node are suspended; their requests wait, none fails.",
                "see what else is waited for; this ends with it.")
        case .localClients:
            self.init(
                "localClients", "Client processes of this node have not answered.",
                "if one hangs: `systemctl status 'csnap-client@*'`, and look at its disk.")
        default:
            self.init(
                "serverStop", "The server processes of this node have not ended (a disk that hangs?).",
                "repair the disk's path or reboot this node; nothing is released before they are gone.")
        }
    }
}

/// What a person is told of voters beside waits and refusals.
enum VotersWords {
    static let leftAsVoter =
        "this node left, but remains a voter: no stable member could take its place. Until it returns, or is put "
        + "another in its place with `csnapctl voters replace`, one voter less may fail."
}
