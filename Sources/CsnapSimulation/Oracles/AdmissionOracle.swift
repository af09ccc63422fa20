import CsnapCore

/// Facts about client nodes.
struct AdmissionFacts {
    /// Tenures that became active.
    var activated = TenureSet()
    /// Per boot, the last epoch whose server was told to admit it.
    var admitted = SortedTable<NodeBoot, Epoch>()
    /// Per node, the highest boot whose clients were resumed.
    var resumed = SortedTable<NodeID, Boot>()
    /// Per node, the highest boot struck because its lease had passed or it had left.
    var struck = SortedTable<NodeID, Boot>()
}

struct TenureSet {
    private var members = SortedTable<Tenure, Bool>()
    mutating func insert(_ tenure: Tenure) { members[tenure] = true }
    func contains(_ tenure: Tenure) -> Bool { members[tenure] != nil }
}

/// Invariants 11, 12 and 14: sessions, the barrier, and clients that are suspended between two servers.
extension Oracles {
    /// The voters (one bit a node) whose disk satisfies a condition on their entry for a node. Of a lost vote what was
    /// lost counts, until it is restored; of a lost proposal that, too, and what its node stored since as a learner.
    private func disks(_ world: World, _ node: NodeID, where holds: (AdmissionEntry) -> Bool) -> UInt64 {
        var mask: UInt64 = 0
        for other in world.nodes {
            let old = other.lostVote || other.lostProposal ? other.lostDisk ?? other.disk : other.disk
            let new = other.lostVote ? nil : other.disk
            let entries = [old, new].compactMap { $0?.admissions[node] }
            if entries.contains(where: holds) { mask |= 1 << UInt64(other.index) }
        }
        return mask
    }

    func onSession(_ world: World, node: Int, _ server: SimServer, _ process: NodeBoot) {
        onService(world, node: node, server, .write)
        guard admissions.admitted[process] == server.tenure.epoch else {
            return world.fail(11, "node \(node + 1) opens a session for \(text(process)), which was not admitted")
        }
    }

    /// Counted when the server is told: a change of voters that begins later carries the entry with its proposal.
    func checkAdmit(_ world: World, node: Int, _ agent: SimAgent, _ process: NodeBoot) {
        let mask = disks(world, process.node) { $0.process.boot >= process.boot }
        guard isMajority(world, node: node, mask) else {
            return world.fail(
                11, "node \(node + 1) admits \(text(process)), which is on the disks of no voter majority")
        }
        // The server of an earlier epoch may be told late.
        admissions.admitted[process] = max(admissions.admitted[process] ?? .none, agent.ledger.epoch)
    }

    func checkActivation(_ world: World, node: Int, _ agent: SimAgent, _ tenure: Tenure) {
        if tenure < activated { world.fail(13, "\(text(tenure)) becomes active after \(text(activated))") }
        checkGates(world, below: tenure, "the activation of")
        for (member, boot) in admissions.resumed where member != agent.process.node {
            let isReady = agent.ledger.ready.contains {
                $0.tenure == tenure && $0.process.node == member && $0.process.boot >= boot
            }
            if isReady { continue }
            let evicted = disks(world, member) { entry in
                entry.process.boot > boot || (entry.process.boot == boot && !entry.status.isAdmitted)
            }
            guard isMajority(world, node: node, evicted) else {
                return world.fail(
                    12,
                    "\(text(tenure)) becomes active while node \(member.value) boot \(boot.value) is neither ready nor "
                        + "evicted by a voter majority")
            }
        }
    }

    /// No client may have its gate open in a tenure below `tenure`.
    func checkGates(_ world: World, below tenure: Tenure, _ what: String) {
        for client in world.clients where client.isAlive {
            guard let gate = client.gate, gate < tenure, world.isOpen(client) else { continue }
            world.fail(
                14,
                "client of node \(client.node + 1) still has its gate open in \(text(gate)) at \(what) \(text(tenure))")
        }
    }

    func checkStrike(_ world: World, node: Int, _ process: NodeBoot, _ cause: EvictionCause) {
        let mask = disks(world, process.node) { entry in
            entry.process.boot > process.boot || (entry.process.boot == process.boot && !entry.status.isAdmitted)
        }
        guard isMajority(world, node: node, mask) else {
            return world.fail(12, "\(text(process)) is struck before its eviction is on the disks of a voter majority")
        }
        guard cause != .fenced else { return }
        admissions.struck[process.node] = max(admissions.struck[process.node] ?? Boot(0), process.boot)
        for client in world.clients
        where client.isAlive && client.node == Int(process.node.value) - 1 && world.isOpen(client) {
            guard let identity = client.identity, identity.boot <= process.boot else { continue }
            world.fail(12, "\(text(process)) is struck (\(cause)) while its client's gate is open")
        }
    }

    func checkResume(_ world: World, node: Int, _ agent: SimAgent, _ tenure: Tenure) {
        if !admissions.activated.contains(tenure) {
            world.fail(14, "node \(node + 1) resumes its clients in \(text(tenure)), which is not active")
        }
        let known = admissions.resumed[agent.process.node] ?? Boot(0)
        admissions.resumed[agent.process.node] = max(known, agent.process.boot)
    }

    func checkClientLease(_ world: World, node: Int, _ agent: SimAgent, _ tenure: Tenure, until: Instant) {
        // The holder's own clients live under the lease itself.
        let ledger = agent.ledger
        var allowed = max(ledger.clientLeaseBound.until, ledger.ownBound(in: tenure.epoch))
        if ledger.epoch == tenure.epoch {
            allowed = max(allowed, bound(world, node: node, agent, at: world.local(node)))
        }
        if until > allowed {
            world.fail(7, "node \(node + 1) gives its clients a lease longer than the holder's answer allows")
        }
    }

    func onClientResumed(_ world: World, _ client: SimClient) {}

    /// A client's write goes to the origin.
    func onClientIO(_ world: World, _ client: SimClient) {
        guard let gate = client.gate else { return }
        if gate < activated {
            world.fail(
                14, "client of node \(client.node + 1) writes in \(text(gate)) after \(text(activated)) became active")
        }
        if let identity = client.identity, let struck = admissions.struck[identity.node], identity.boot <= struck {
            world.fail(12, "client of \(text(identity)) writes after its strike")
        }
    }
}

func text(_ tenure: Tenure) -> String { "\(tenure.epoch.value).\(tenure.round.value)" }
func text(_ process: NodeBoot) -> String { "node \(process.node.value) boot \(process.boot.value)" }
