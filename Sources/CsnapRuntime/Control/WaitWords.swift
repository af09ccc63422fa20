package import CsnapCore

extension WaitReport {
    /// One wait of the core, with its age, its culprits and the remedy.
    package init(_ wait: Wait, of status: AgentStatus, at now: Instant) {
        let words = WaitWords(wait, of: status, at: now)
        self.init(
            kind: words.kind, seconds: max((now - wait.since).seconds, 0), nodes: wait.nodes.map(\.value),
            text: words.text, remedy: words.remedy, warning: wait.kind.isWarning)
    }
}

extension WaitReport {
    /// A peer whose packets are refused: a warning, for the group goes on without it.
    package init(_ stranger: Stranger, at now: Instant) {
        let seconds = max((now - stranger.since).seconds, 0)
        let place = stranger.address.text
        switch stranger.reason {
        case .timers:
            self.init(
                kind: "timers", seconds: seconds, nodes: [],
                text: "\(place) runs with another profile or other `timers`; neither obeys the other.",
                remedy: "give all nodes the same `profile` and `timers`, and restart the agents.", warning: true)
        case .version:
            self.init(
                kind: "wireVersion", seconds: seconds, nodes: [],
                text: "Peer \(place) speaks another version of the protocol.",
                remedy: "run one csnap version on all nodes.", warning: true)
        case .malformed, .mandatoryFlag, .stranger, .reflected, .olderBoot, .replayed, .unauthenticated, .undecodable,
            .unproven, .foreignCluster, .unpinned, .tableFull, .oversized, .unsent:
            self.init(
                kind: "wrongKey", seconds: seconds, nodes: [],
                text: "Packets of peer \(place) do not open: it has another key, or another `cluster` name.",
                remedy: "give all nodes the same `key-file` and `cluster`.", warning: true)
        }
    }
}

extension WaitReport {
    /// This node would serve, if it could.
    static let serverProgram = WaitReport(
        kind: "serverProgram", seconds: 0, nodes: [],
        text: "This node cannot serve: the program csnap-server is not beside csnap-agent, or cannot be executed.",
        remedy: "install it, and restart the agent; or `serve: false`.", warning: true)

    /// The configuration was changed between the starts of the agent and of this node's clients.
    static func otherDisks(_ volumes: [String], node: NodeID, since: Instant, at now: Instant) -> WaitReport {
        let names = volumes.joined(separator: ", ")
        let units = volumes.map { "csnap-client@\($0)" }.joined(separator: " ")
        return WaitReport(
            kind: "otherDisks", seconds: max((now - since).seconds, 0), nodes: [node.value],
            text: "Requests for \(names) wait on this node: client and agent were started with different origins or "
                + "stores, from two versions of the configuration.",
            remedy: "set `volumes` right on all nodes. Where the agent was started with the wrong ones, `systemctl "
                + "restart csnap-agent`; where the client was, `systemctl restart \(units)`, which breaks its NBD "
                + "connections.")
    }
}

extension Wait.Kind {
    /// Nothing waits for it now; it may become trouble.
    package var isWarning: Bool {
        switch self {
        case .singleVoter, .voterDown, .noVote, .disabled, .foreignGroup, .storeLow, .admissionsFull: true
        case .notInGroup, .noQuorum, .promise, .noEligible, .ready, .table, .serverStart, .reconnect, .leaseEnd,
            .suspended, .notConnected, .localClients, .serverStop, .idConflict, .stateFile, .store, .clientDisk,
            .recovering, .storeFull, .votersRefuse, .serverLoad, .notAdmitted:
            false
        }
    }
}

/// Name, sentence and remedy of each kind of wait. The names are stable (docs/troubleshooting.md, "Waits").
struct WaitWords {
    var kind: String
    var text: String
    var remedy: String

    private init(_ kind: String, _ text: String, _ remedy: String) {
        self.kind = kind
        self.text = text
        self.remedy = remedy
    }

    init(_ wait: Wait, of status: AgentStatus, at now: Instant) {
        let nodes = wait.nodes.text
        switch wait.kind {
        case .notInGroup: self = .notInGroup
        case .noQuorum: self = .noQuorum(nodes, status)
        case .votersRefuse: self = .votersRefuse(wait.nodes, status)
        case .promise: self = .promise(wait.nodes, status)
        case .noEligible: self = .noEligible(nodes)
        case .ready: self = .ready(nodes, status)
        case .table: self = .table(nodes, status)
        case .serverStart: self = .serverStart(status)
        case .reconnect: self = .reconnect(nodes, status)
        case .leaseEnd: self = .leaseEnd(nodes)
        case .suspended: self = .suspended
        case .notConnected: self = .notConnected(nodes, status)
        case .localClients: self = .localClients
        case .serverStop: self = .serverStop(status)
        case .idConflict: self = .idConflict(status)
        case .stateFile: self = .stateFile
        case .store: self = .store(status)
        case .serverLoad: self = .serverLoad
        case .notAdmitted: self = .notAdmitted
        case .admissionsFull: self = .admissionsFull(nodes)
        case .singleVoter: self = .singleVoter(nodes, status)
        case .voterDown: self = .voterDown(wait.nodes, status)
        case .noVote: self = .noVote(nodes)
        case .disabled: self = .disabled
        case .foreignGroup: self = .foreignGroup(nodes)
        case .clientDisk: self = .clientDisk(status, at: now)
        case .recovering: self = .recovering(nodes, status)
        case .storeLow: self = .storeLow(status)
        case .storeFull: self = .storeFull(status)
        }
    }
}

/// The group and this node's place in it.
extension WaitWords {
    private static let notInGroup = WaitWords(
        "notInGroup", "This node belongs to no group yet: no peer of its configuration has answered.",
        "check `peers` and the key; or, on the first node of a new group only, `csnapctl found`.")

    private static func noQuorum(_ nodes: String, _ status: AgentStatus) -> WaitWords {
        var quorum = status.committed.map { "\($0.quorum) of \($0.voters.count) voters" } ?? "a voter majority"
        if let pending = status.pending { quorum += " and \(pending.quorum) of the \(pending.voters.count) to come" }
        return WaitWords(
            "noQuorum", "No server: \(quorum) are needed, and these do not answer: \(nodes).",
            "bring one of them back, or repair the network to it; nothing is lost meanwhile.")
    }

    private static func votersRefuse(_ nodes: [NodeID], _ status: AgentStatus) -> WaitWords {
        let there = status.members.filter { $0.state == .alive || $0.state == .suspect }.map(\.record.process.node)
        let silent = nodes.filter { !there.contains($0) }
        let unable = nodes.filter { there.contains($0) }
        var text = "No server: too few voters can vote."
        if !silent.isEmpty { text += " These do not answer: \(silent.text)." }
        if !unable.isEmpty { text += " These answer, but have no vote or cannot store one: \(unable.text)." }
        if nodes.isEmpty { text = "No server, although enough voters answer; the nodes that may serve know why." }
        return WaitWords(
            "votersRefuse", text,
            nodes.isEmpty
                ? "`csnapctl why` on each node that may serve."
                : "bring back those that do not answer; `csnapctl why` on those that do.")
    }

    private static func promise(_ holder: [NodeID], _ status: AgentStatus) -> WaitWords {
        let text =
            if holder == [status.process.node] {
                "No server yet: this node asks the others for their votes."
            } else if holder.isEmpty {
                "No server yet: the time after a start, in which a voter is mute, has not run out."
            } else {
                "No server yet: an earlier promise to \(holder.text) has not run out."
            }
        return WaitWords("promise", text, "none needed; it takes at most one promise time.")
    }

    private static func noEligible(_ nodes: String) -> WaitWords {
        let text = "No server: no reachable member may serve (disabled, `serve: false`, no store, or its server fails)."
        if nodes.isEmpty { return WaitWords("noEligible", text, "start a node that reaches the stores.") }
        return WaitWords(
            "noEligible", text + " These have volumes: \(nodes).",
            "`csnapctl why` on each of them; `csnapctl enable` on one that is disabled.")
    }

    private static func idConflict(_ status: AgentStatus) -> WaitWords {
        let place = status.namesake.map { " at \($0.text)" } ?? ""
        return WaitWords(
            "idConflict", "Another machine\(place) uses the id of this node.",
            "give one of the two another `node:` in its configuration, and restart its agent.")
    }

    private static let stateFile = WaitWords(
        "stateFile", "The state file cannot be written, so this node promises nothing.",
        "look at the state directory: full, read-only or broken disk?")

    private static func singleVoter(_ nodes: String, _ status: AgentStatus) -> WaitWords {
        let remedy =
            status.members.count >= 3
            ? "none needed: the voters grow by themselves when two members that may serve have been stable."
            : "add a third member; the voters then grow by themselves."
        return WaitWords(
            "singleVoter", "Only one voter: if \(nodes) fails, service stops until it returns.", remedy)
    }

    private static func voterDown(_ down: [NodeID], _ status: AgentStatus) -> WaitWords {
        let spare = status.committed.map { $0.voters.count - $0.quorum - down.count } ?? 0
        let rest = spare > 0 ? "\(spare) more may fail" : "if one more fails, service stops"
        return WaitWords(
            "voterDown", "Voters that do not answer: \(down.text). The others are enough; \(rest).",
            "bring them back, or put another in the place of one with `csnapctl voters replace`.")
    }

    private static func noVote(_ nodes: String) -> WaitWords {
        WaitWords(
            "noVote",
            "This node lost its state file and has no vote; waiting for \(nodes.isEmpty ? "the group" : nodes).",
            "start them: it votes again when each has answered. One that lost its own vote cannot answer: then neither "
                + "vote comes back by itself; while a server is there, `csnapctl voters replace LOST OTHER`, else see "
                + "\"Votes that do not come back\" in docs/troubleshooting.md.")
    }

    private static let disabled = WaitWords(
        "disabled", "This node never serves: an operator disabled it; its clients and its vote stay.",
        "`csnapctl enable` here when it may serve again.")

    private static func foreignGroup(_ nodes: String) -> WaitWords {
        WaitWords(
            "foreignGroup", "Two groups have this name and key: \(nodes) belongs to another one, founded on its own.",
            "decide which one stays; on each node of the other stop the agent, move its state file away, start it.")
    }
}

/// A recovery, this node's server and its clients.
extension WaitWords {
    private static func into(_ status: AgentStatus) -> String { status.claim.map { " into \($0.tenure.text)" } ?? "" }

    private static func ready(_ nodes: String, _ status: AgentStatus) -> WaitWords {
        WaitWords(
            "ready", "Recovering\(into(status)): waiting for \(nodes) to suspend its clients.",
            "none needed: a silent node is evicted. One that answers and hangs: restart its csnap-agent, or switch "
                + "its machine off and `csnapctl strike NODE --fenced`.")
    }

    private static func recovering(_ nodes: String, _ status: AgentStatus) -> WaitWords {
        WaitWords(
            "recovering",
            "The group is recovering\(into(status)); the server is \(nodes), which knows whom it waits for.",
            "none needed; if it lasts, `csnapctl why` on \(nodes).")
    }

    private static func table(_ nodes: String, _ status: AgentStatus) -> WaitWords {
        WaitWords(
            "table", "Recovering\(into(status)): waiting for a majority of \(nodes) to store the admissions.",
            "check the state directories of those nodes.")
    }

    private static func serverStart(_ status: AgentStatus) -> WaitWords {
        WaitWords(
            "serverStart", "Recovering\(into(status)): the server process is taking the store.",
            "none needed; if it lasts, check the store's disk.")
    }

    private static func reconnect(_ nodes: String, _ status: AgentStatus) -> WaitWords {
        WaitWords(
            "reconnect", "Recovering\(into(status)): the clients of \(nodes) have not reconnected to the server.",
            "none needed; if it repeats, check that they reach the server's port.")
    }

    private static func leaseEnd(_ nodes: String) -> WaitWords {
        WaitWords(
            "leaseEnd", "Waiting until the client lease of \(nodes) has surely ended; then it is evicted.",
            "none needed.")
    }

    private static let suspended = WaitWords(
        "suspended", "The clients of this node are suspended; their requests wait, none fails.",
        "see what else is waited for; this ends with it.")

    private static let admitsNobody =
        "The group admits no new node: the table of all ids that ever had clients is full."

    private static let notAdmitted = WaitWords(
        "notAdmitted",
        admitsNobody + " The clients of this node stay suspended.",
        "stop this agent, set `node:` to the id of a machine that is gone for good, start it.")

    private static func admissionsFull(_ nodes: String) -> WaitWords {
        WaitWords(
            "admissionsFull",
            admitsNobody + " The clients of \(nodes) stay suspended.",
            "there stop the agent, set `node:` to the id of a machine that is gone for good, start it.")
    }

    private static func clientDisk(_ status: AgentStatus, at now: Instant) -> WaitWords {
        let volumes = status.clients.compactMap { client -> String? in
            if client.hangingRequests > 0 {
                let seconds = Int(max((now - client.hangingSince).seconds, 0))
                return "\(client.hangingRequests) requests to \(client.volume) for \(seconds) s"
            }
            guard client.suspended, client.writesInFlight > 0 else { return nil }
            return "\(client.writesInFlight) writes to \(client.volume) since its client was suspended"
        }
        return WaitWords(
            "clientDisk",
            "The origin's disk does not return to node \(status.process.node.value): "
                + volumes.joined(separator: ", ") + ".",
            "look at that disk and its path on this node: does it hang? The group goes on; the writes may still land, "
                + "and until then no snapshot of the volume can be made.")
    }

    private static func notConnected(_ nodes: String, _ status: AgentStatus) -> WaitWords {
        let volumes = status.clients.filter { !$0.connected }.map(\.volume).joined(separator: ", ")
        let place = status.claim.map { " at \($0.serviceAddress.text)" } ?? ""
        return WaitWords(
            "notConnected",
            "The client of \(volumes) on this node has no session with the server, \(nodes)\(place): what needs it "
                + "waits, none fails.",
            "does this node reach that TCP port (firewall)? `journalctl -u 'csnap-client@*'` says more. While another "
                + "node reverts or receives the volume, it waits for that.")
    }

    private static let localClients = WaitWords(
        "localClients", "Client processes of this node have not answered.",
        "if one hangs: `systemctl status 'csnap-client@*'`, and look at its disk.")

    private static func serverStop(_ status: AgentStatus) -> WaitWords {
        let text = "The server processes of this node have not ended (a disk that hangs?)"
        let remedy = "repair the disk's path or reboot this node; "
        guard status.claimIsRunning, let other = status.claim?.server.node else {
            return WaitWords("serverStop", text + ".", remedy + "nothing is released before they are gone.")
        }
        return WaitWords(
            "serverStop", text + "; \([other].text) serves meanwhile.",
            remedy + "this node cannot serve before they are gone.")
    }

    private static let serverLoad = WaitWords(
        "serverLoad",
        "The server process of this node does not load: the path to a store hangs, or an earlier server has not ended. "
            + "This node cannot serve.",
        "`journalctl -u csnap-agent` says more; repair the disk's path, or reboot this node.")

    private static func store(_ status: AgentStatus) -> WaitWords {
        let others = " Another node may serve meanwhile."
        guard let failure = status.serverFailure else {
            return WaitWords(
                "store",
                "The server process of this node ended again and again without a word." + others,
                "`coredumpctl` and `journalctl -u csnap-agent` say more; this node tries again by itself.")
        }
        let place = status.failedVolume.isEmpty ? "" : " at volume \(status.failedVolume)"
        return WaitWords(
            "store", "The server process of this node failed\(place): \(failure.text)." + others,
            "`journalctl -u csnap-agent -p err` says more; this node tries again by itself.")
    }
}

/// Stores that fill.
extension WaitWords {
    private static func storeLow(_ status: AgentStatus) -> WaitWords {
        let names = status.filling.filter { !$0.isHolding }.map { "\($0.volume) \($0.percent) %" }
        return WaitWords(
            "storeLow", "A store is nearly full: \(names.joined(separator: ", ")).",
            "`csnapctl snapshot delete`; at 100 % writes to chunks that snapshots still need wait, or the snapshot of "
                + "lowest priority is dropped, as `when-full` says.")
    }

    private static func storeFull(_ status: AgentStatus) -> WaitWords {
        let names = status.filling.filter { $0.isHolding }.map(\.volume)
        return WaitWords(
            "storeFull", "Writes wait for room in the store of \(names.joined(separator: ", ")); none fails.",
            "`csnapctl snapshot delete`; space comes back by and by. Or `when-full: drop` for the volume.")
    }
}

/// What a person is told of voters beside waits and refusals.
enum VotersWords {
    static let leftAsVoter =
        "this node left, but remains a voter: no stable member could take its place. Until it returns, or is put "
        + "another in its place with `csnapctl voters replace`, one voter less may fail."
}
