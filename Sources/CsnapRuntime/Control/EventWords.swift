package import CsnapCore

extension EventItem {
    /// A report of the core, in words.
    package init(_ report: Report, cursor: UInt64, at: Instant, node: NodeID) {
        let words = EventWords(report)
        self.init(cursor: cursor, at: at.nanoseconds, node: node.value, kind: words.kind, text: words.text)
        epoch = words.tenure?.epoch.value
        round = words.tenure.flatMap { $0.round == .none ? nil : $0.round.value }
        peer = words.peer?.node.value
        peerBoot = words.peer.flatMap { $0.boot.value == 0 ? nil : $0.boot.value }
    }
}

/// Name, sentence and fields of a report; the same words go to the journal and to subscribers.
package struct EventWords: Equatable, Sendable {
    package var kind: String
    package var text: String
    package var tenure: Tenure?
    package var peer: NodeBoot?

    private init(_ kind: String, _ text: String, _ tenure: Tenure? = nil, _ peer: NodeBoot? = nil) {
        self.kind = kind
        self.text = text
        self.tenure = tenure
        self.peer = peer
    }

    private init(_ kind: String, _ text: String, epoch: Epoch, _ peer: NodeBoot? = nil) {
        self.init(kind, text, Tenure(epoch: epoch, round: .none), peer)
    }

    private init(_ kind: String, _ text: String, node: NodeID) {
        self.init(kind, text, nil, NodeBoot(node: node, boot: Boot(0)))
    }

    package init(_ report: Report) {
        if let words = EventWords(group: report) ?? EventWords(claim: report) ?? EventWords(recovery: report) {
            self = words
        } else {
            self.init("other", "\(report)")
        }
    }

    private init?(group report: Report) {
        switch report {
        case .founded: self.init("founded", "group founded; this node is its only voter")
        case .joinedGroup: self.init("joinedGroup", "joined the group")
        case .memberJoined(let member, let address):
            self.init("memberJoined", "node \(member.node.value) joined from \(address.text)", nil, member)
        case .memberSuspected(let member, let accuser):
            self.init(
                "memberSuspected", "node \(member.node.value) suspected by node \(accuser.value)", nil, member)
        case .memberAlive(let member): self.init("memberAlive", "node \(member.node.value) alive", nil, member)
        case .memberUnreachable(let member):
            self.init("memberUnreachable", "node \(member.node.value) unreachable", nil, member)
        case .memberLeft(let member): self.init("memberLeft", "node \(member.node.value) left", nil, member)
        case .foreignGroup(_, let from):
            self.init("foreignGroup", "node \(from.value) belongs to another group; refused", node: from)
        case .idConflict(let node, let other):
            self.init("idConflict", "node id \(node.value) is used twice, also at \(other.text)", node: node)
        case .votersChanging(let set): self.init("votersChanging", "voters changing to \(set.text)")
        case .votersChanged(let set): self.init("votersChanged", "voters are \(set.text)")
        case .voteLost:
            self.init("voteLost", "this node has no vote until every other voter has told what it promised")
        case .voteRestored: self.init("voteRestored", "this node votes again")
        default: return nil
        }
    }

    private init?(claim report: Report) {
        switch report {
        case .claiming(let epoch, let reason):
            self.init("claiming", "claim of epoch \(epoch.value) (\(reason.text))", epoch: epoch)
        case .claimFailed(let epoch): self.init("claimFailed", "claim of epoch \(epoch.value) failed", epoch: epoch)
        case .elected(let epoch, let voters):
            self.init("elected", "epoch \(epoch.value) granted by \(voters.text)", epoch: epoch)
        case .promised(let promise):
            self.init(
                "promised", "promised epoch \(promise.epoch.value) to node \(promise.holder.node.value)",
                epoch: promise.epoch, promise.holder)
        case .leaseSoft(let epoch):
            self.init("leaseSoft", "lease of epoch \(epoch.value) late: the gate is closed", epoch: epoch)
        case .leaseRegained(let epoch):
            self.init("leaseRegained", "lease of epoch \(epoch.value) renewed: the gate is open", epoch: epoch)
        case .leaseLost(let epoch): self.init("leaseLost", "lease of epoch \(epoch.value) lost", epoch: epoch)
        case .released(let epoch): self.init("released", "epoch \(epoch.value) released", epoch: epoch)
        case .stateWriteFailed:
            self.init("stateWriteFailed", "the state file could not be written: look at the state directory")
        default: return nil
        }
    }

    private init?(recovery report: Report) {
        switch report {
        case .recovering(let tenure, let server):
            self.init(
                "recovering", "recovering into \(tenure.text), server node \(server.node.value)", tenure, server)
        case .serverActive(let tenure, let server):
            self.init("serverActive", "server on node \(server.node.value) active, \(tenure.text)", tenure, server)
        case .serverDown(let epoch): self.init("serverDown", "server of epoch \(epoch.value) down", epoch: epoch)
        case .serverFailed(let failure, let volume):
            let place = volume.isEmpty ? "" : "volume \(volume): "
            self.init("serverFailed", "server failed: \(place)\(failure.text)")
        case .storeSpace(let volume, let percent, let isHolding):
            let mark = isHolding ? "full: writes wait for room" : "\(percent) % full"
            self.init("storeSpace", "the store of volume \(volume) is \(mark)")
        case .snapshotDropped(let volume, let name):
            self.init("snapshotDropped", "snapshot \(name) of volume \(volume) was dropped: the store is full")
        case .waitingFor(let tenure, let nodes):
            self.init("waitingFor", "waiting for \(nodes.map(\.node).text)", tenure)
        case .nodeReady(let tenure, let node, let writes):
            let flight = writes == 0 ? "" : ", \(writes) writes in flight"
            self.init("nodeReady", "node \(node.node.value) ready\(flight)", tenure, node)
        case .serverStarted(let tenure, let address):
            self.init("serverStarted", "server started at \(address.text)", tenure)
        case .nodeReconnected(let tenure, let node):
            self.init("nodeReconnected", "node \(node.node.value) reconnected", tenure, node)
        case .admitted(let tenure, let node):
            self.init("admitted", "node \(node.node.value) admitted", tenure, node)
        case .admissionRefused(let node):
            self.init(
                "admissionRefused",
                "node \(node.node.value) is not admitted: the group has had as many ids as it holds", node: node.node)
        case .evicted(let tenure, let node, let cause):
            self.init("evicted", "node \(node.node.value) evicted (\(cause.text))", tenure, node)
        case .clientsSuspended(let tenure): self.init("clientsSuspended", "clients suspended", tenure)
        case .clientsResumed(let tenure): self.init("clientsResumed", "clients resumed in \(tenure.text)", tenure)
        case .clientAttached(_, let volume): self.init("clientAttached", "client of volume \(volume) attached")
        case .clientGone: self.init("clientGone", "a client is gone")
        case .diskHangs(let volume, let requests):
            self.init("diskHangs", "the origin's disk of volume \(volume) does not return \(requests) requests")
        case .diskAnswers(let volume):
            self.init("diskAnswers", "the origin's disk of volume \(volume) has returned all requests")
        default: return nil
        }
    }
}

extension Tenure {
    /// "epoch 7", "epoch 7 round 2".
    package var text: String {
        round.value <= 1 ? "epoch \(epoch.value)" : "epoch \(epoch.value) round \(round.value)"
    }
}

extension VoterSet {
    package var text: String { voters.text + " (version \(version))" }
}

extension [NodeID] {
    /// "node 1, node 3"; "nobody" if empty.
    package var text: String {
        isEmpty ? "nobody" : map { "node \($0.value)" }.joined(separator: ", ")
    }
}

extension EvictionCause {
    package var text: String {
        switch self {
        case .left: "left"
        case .leasePassed: "lease passed"
        case .fenced: "fenced"
        }
    }
}

extension ClaimReason {
    package var text: String {
        switch self {
        case .noHolder: "nobody serves"
        case .promiseEnded: "the promise ended"
        case .successor: "named as successor"
        case .storeTenure: "the store knows a higher tenure"
        }
    }
}

extension ServerFailure {
    package var text: String {
        switch self {
        case .storeUnreachable: "a store cannot be opened: check the path and the disk's connection"
        case .storeForeign: "a store belongs to another group: check the path"
        case .storeStale: "a store is older than the last epoch: check that it is the right disk"
        case .storeTenure: "a store shows a higher tenure: a higher epoch is claimed"
        case .storeIO: "a store gives I/O errors: check the disk"
        case .storeFormat: "a store is not formatted: check the path, or `csnapctl volume create`"
        case .listen: "the service port cannot be bound: is another program using it?"
        case .hardDeadline: "the lease ran out"
        case .storeVersion: "a store has a format that this csnap does not know: upgrade csnap"
        case .storeTruncated: "a store's device is smaller than the store: give it its former size back"
        case .storeDamaged: "a store is damaged: `csnapctl volume check NAME --offline` says where"
        case .storeInUse: "a store is locked by a check or a formatting on this node: wait until that is done"
        case .storeUnsettled:
            "a store has no room for a takeover: dead servers may still write there; start csnap on their nodes, or "
                + "`csnapctl volume check NAME --repair --fenced`"
        case .originIO: "an origin cannot be read here: check the path to it"
        case .originTruncated: "an origin is smaller than its store knows it: check the path, or give it its size back"
        }
    }
}
