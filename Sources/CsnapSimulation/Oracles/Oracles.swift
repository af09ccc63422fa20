import CsnapCore

/// The judges of docs/protocol.md §8. They see durable disks, packets, local messages and service; never the core's
/// own opinion of itself.
final class Oracles {
    enum Service { case write, reply }

    let timing: Timing
    let nodes: Int
    var epochs = EpochFacts()
    var leases: [HeldLease] = []
    var admissions = AdmissionFacts()
    var configurations = ConfigurationFacts()
    /// The highest tenure whose START, and whose activation, the world has seen.
    var started: Tenure = .none
    var activated: Tenure = .none
    var activatedBy: NodeBoot?

    init(nodes: Int, timing: Timing) {
        self.nodes = nodes
        self.timing = timing
    }

    /// A tenure was started that is not active: a recovery is under way.
    var isRecovering: Bool { started > activated }

    func agentStarted(_ world: World, node: Int, _ agent: SimAgent) {}

    func beforeStep(_ world: World, node: Int, _ agent: SimAgent, _ event: Event, at time: Instant) {
        let ledger = agent.ledger
        if ledger.mayHaveRisen, ledger.epoch > ledger.released {
            ledger.ownBound = max(ledger.ownBound, bound(world, node: node, agent, at: time))
            // Where a voter is alone, its lease rises with its clock.
            ledger.mayHaveRisen = ledger.ownBound == time + timing.hard
        }
        guard case .packet(let sender, let messages) = event else { return }
        for message in messages {
            agent.ledger.receives(message, from: sender.process, timing: timing, at: world.local(node))
            if case .voteRequest(let request) = message {
                noteRequest(world, node: node, agent, request, from: sender.process)
            }
        }
    }

    func onAction(_ world: World, node: Int, _ agent: SimAgent, _ action: Action) {
        switch action {
        case .send(let address, let messages):
            let to = World.index(of: address)
            for message in messages { onSend(world, node: node, agent, message, to: to) }
        case .toServer(let message): onToServer(world, node: node, agent, message)
        case .toClient(_, let message): onToClient(world, node: node, agent, message)
        case .report(let report): checkEventOrder(world, node: node, agent, report)
        case .persist(let state, _):
            // Given up from here on, even if this very write fails: the next one says it again.
            if let promise = state.promise, promise.released, promise.holder == agent.process {
                checkRelease(world, node: node, agent, promise.epoch, promise.holder)
            }
        case .killServer, .reply, .pin, .exit: break
        }
    }

    private func onSend(_ world: World, node: Int, _ agent: SimAgent, _ message: Message, to: Int) {
        let time = world.local(node)
        switch message {
        case .voteRequest(let request): checkVoteRequest(world, node: node, agent, request, at: time)
        case .grant(let grant): checkGrant(world, node: node, agent, grant, to: to, at: time)
        case .renew(let renew):
            let ledger = agent.ledger
            if renew.epoch == ledger.epoch, ledger.hardGiven > .distantPast,
                time > max(ledger.hardGiven, ledger.ownBound), time > bound(world, node: node, agent, at: time)
            {
                world.fail(5, "node \(node + 1) renews epoch \(renew.epoch.value) after its lease has ended")
            }
            if !agent.ledger.sendsRenew(renew, at: time) {
                world.fail(3, "node \(node + 1) uses Renew nonce \(renew.nonce) of epoch \(renew.epoch.value) twice")
            }
        case .renewAck(let ack): checkRenewAck(world, node: node, agent, ack, to: to, at: time)
        case .tableAck(let ack): checkTableAck(world, node: node, ack)
        case .configAck(let ack): checkConfigAck(world, node: node, ack)
        case .release(let release): checkRelease(world, node: node, agent, release.epoch, release.holder)
        case .transfer(let transfer): checkRelease(world, node: node, agent, transfer.epoch, transfer.holder)
        case .clientLease(let lease): agent.ledger.sendsClientLease(lease, at: time)
        case .clientLeaseAck(let ack): checkClientLeaseAck(world, node: node, agent, ack, at: time)
        default: break
        }
    }

    private func onToServer(_ world: World, node: Int, _ agent: SimAgent, _ message: AgentToServer) {
        switch message {
        case .start(let start):
            checkStart(world, node: node, agent, start)
            checkLease(world, node: node, agent, start.tenure.epoch, hard: start.hard)
            for process in start.admitted { checkAdmit(world, node: node, agent, process) }
            if started > activated { world.statistics[.barriersCut] += 1 }
            started = max(started, start.tenure)
            if start.tenure.round == Round(1) { world.statistics[.elections] += 1 }
        case .lease(_, let hard): checkLease(world, node: node, agent, agent.ledger.epoch, hard: hard)
        case .activate(let tenure):
            checkActivation(world, node: node, agent, tenure)
            world.statistics[.activations] += 1
            if let before = activatedBy, before.node != agent.process.node { world.statistics[.failovers] += 1 }
            activatedBy = agent.process
            activated = max(activated, tenure)
            admissions.activated.insert(tenure)
        case .strike(let process, let cause): checkStrike(world, node: node, process, cause)
        case .admit(let process): checkAdmit(world, node: node, agent, process)
        case .stop, .keys: break
        }
    }

    private func onToClient(_ world: World, node: Int, _ agent: SimAgent, _ message: AgentToClient) {
        switch message {
        case .resume(let tenure): checkResume(world, node: node, agent, tenure)
        case .lease(let tenure, let until): checkClientLease(world, node: node, agent, tenure, until: until)
        case .identity, .suspend, .server, .part, .otherDisks: break
        }
    }

    func onDurable(_ world: World, node: Int, old: StoredState?, new: StoredState) {
        world.nodes[node].agent?.ledger.mayHaveRisen = true
        checkDurablePromise(world, node: node, old: old, new: new)
        checkPreemption(world, old: old, new: new)
        checkRestoredVote(world, node: node, old: old, new: new)
        checkConfiguration(world, node: node, old: old, new: new)
    }

    func checkRelease(_ world: World, node: Int, _ agent: SimAgent, _ epoch: Epoch, _ holder: NodeBoot) {
        if holder == agent.process { agent.ledger.released = max(agent.ledger.released, epoch) }
        guard holder.node == world.nodes[node].id else {
            return world.fail(18, "node \(node + 1) releases epoch \(epoch.value) of node \(holder.node.value)")
        }
        if let server = world.nodes[node].server, server.isAlive, server.tenure.epoch > .none,
            server.tenure.epoch <= epoch
        {
            world.fail(18, "node \(node + 1) releases epoch \(epoch.value) with its server process alive")
        }
    }

    private func checkEventOrder(_ world: World, node: Int, _ agent: SimAgent, _ report: Report) {
        let ledger = agent.ledger
        switch report {
        case .recovering(let tenure, let server):
            // A lone voter asked nobody before.
            if server == agent.process { ledger.begins(tenure.epoch) }
            if tenure < ledger.reported {
                world.fail(20, "node \(node + 1) reports recovering \(text(tenure)) after \(text(ledger.reported))")
            }
            ledger.reported = max(ledger.reported, tenure)
        case .serverActive(let tenure, _):
            if tenure < ledger.reported {
                world.fail(20, "node \(node + 1) reports active \(text(tenure)) after \(text(ledger.reported))")
            }
            if ledger.reportedActive > .none, ledger.reportedActive < tenure.epoch,
                ledger.reportedDown < ledger.reportedActive
            {
                world.fail(
                    20,
                    "node \(node + 1) reports epoch \(tenure.epoch.value) active before epoch "
                        + "\(ledger.reportedActive.value) down")
            }
            ledger.reported = max(ledger.reported, tenure)
            ledger.reportedActive = max(ledger.reportedActive, tenure.epoch)
        case .serverDown(let epoch): ledger.reportedDown = max(ledger.reportedDown, epoch)
        case .votersChanged: world.statistics[.votersChanged] += 1
        case .evicted: world.statistics[.evictions] += 1
        default: break
        }
    }
}
