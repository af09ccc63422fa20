import CsnapCore

/// The shell of the production core: what CsnapRuntime does on a real machine.
extension World {
    func local(_ node: Int) -> Instant { nodes[node].clock.local(at: now) }

    /// Starts the agent of a machine that is on and has none.
    func startAgent(_ index: Int) {
        let node = nodes[index]
        guard !node.isOff, node.agent == nil, !node.isStopped else { return }
        let startBits = Bits128(high: random.next(), low: random.next())
        let serverIsGone = node.server == nil
        var stored = node.disk
        let old = node.disk
        let boot = stored?.process.boot.next ?? Boot(1)
        let process = NodeBoot(node: node.id, boot: boot)
        let proven =
            serverIsGone && old != nil && old?.machineID == node.machineID && old?.kernelBootID == node.kernelBootID
            && node.lockBits == old?.startBits
        let living = clients.indices.filter { clients[$0].node == index && clients[$0].isAlive }.map { "v\($0)" }
        let settings = AgentSettings(
            process: process, startBits: startBits, machineID: node.machineID, kernelBootID: node.kernelBootID,
            address: node.address, peers: node.peers, serves: node.serves, hasVolumes: node.hasVolumes,
            timing: options.timing, maximumVoters: options.maximumVoters, seed: random.next(),
            livingClients: living, previousServerProvenDead: proven)
        if stored != nil {
            // The shell writes the new boot before the first packet leaves (§1).
            stored?.process = process
            stored?.startBits = startBits
            stored?.kernelBootID = node.kernelBootID
            node.disk = stored
        }
        let agent = SimAgent(
            life: nextLife(), settings: settings, stored: stored, at: local(index), previousServerProvenDead: proven)
        node.agent = agent
        trace.line(
            now,
            "node \(index + 1): agent starts, boot \(boot.value)\(stored == nil ? ", no state" : "")"
                + "\(proven ? ", previous server proven dead" : "")"
                + "\(living.isEmpty ? "" : ", \(living.count) living clients")"
        )
        oracles.agentStarted(self, node: index, agent)
        if serverIsGone { spawnServer(index) }
        scheduleWake(index, agent)
        for client in clients where client.node == index && client.isAlive {
            schedule(.clientConnects(client: client.index, life: client.life), after: 10_000_000)
        }
    }

    /// Ends the agent's process. Its server dies with it, within the kill time.
    func stopAgent(_ index: Int, _ why: String) {
        let node = nodes[index]
        guard let agent = node.agent else { return }
        trace.line(now, "node \(index + 1): agent ends (\(why))")
        // What was being written may or may not have become durable.
        if agent.isWriting, let first = agent.writes.first, random.next(below: 2) == 0 {
            commit(first.state, on: index)
        }
        node.agent = nil
        if let server = node.server {
            schedule(
                .serverDies(node: index, life: server.life),
                after: random.next(below: Interval(nanoseconds: node.killLatency)).nanoseconds)
        }
        for client in clients where client.node == index && client.isAlive {
            schedule(.clientInput(client: client.index, life: client.life, .agentLost(life: agent.life)), after: 50_000)
        }
    }

    func give(_ agent: SimAgent, on node: Int, _ event: Event) {
        guard violation == nil else { return }
        if agent.isPaused {
            // Sockets of datagrams overflow; streams and timers do not.
            if case .packet = event, agent.backlog.count >= 2048 { return }
            agent.backlog.append(event)
            return
        }
        let time = local(node)
        oracles.beforeStep(self, node: node, agent, event, at: time)
        if trace.isRecording { traceEvent(node, event) }
        let actions = agent.step(event, at: time)
        trace.mix(UInt64(actions.count) << 8 | UInt64(node))
        for action in actions {
            guard violation == nil, nodes[node].agent === agent else { return }
            carryOut(action, node, agent)
        }
        if nodes[node].agent === agent { scheduleWake(node, agent) }
    }

    private func scheduleWake(_ node: Int, _ agent: SimAgent) {
        let next = agent.nextWake
        guard next != agent.scheduledWake else { return }
        agent.scheduledWake = next
        if next <= local(node) {
            // A core that asks for the present again makes no progress; the world gives it a little later.
            statistics[.busyWakes] += 1
            return schedule(.wake(node: node, life: agent.life), after: 200_000)
        }
        var time = nodes[node].clock.trueTime(of: next)
        if nodes[node].timerLateness > 0 {
            time += random.next(below: Interval(nanoseconds: nodes[node].timerLateness)).nanoseconds
        }
        schedule(.wake(node: node, life: agent.life), at: time)
    }

    func wake(_ node: Int, _ life: Int) {
        guard let agent = nodes[node].agent, agent.life == life else { return }
        if agent.isPaused {
            agent.scheduledWake = .distantPast
            return
        }
        guard agent.nextWake <= local(node) else { return }
        agent.scheduledWake = .distantPast
        give(agent, on: node, .wake)
    }

    func receive(_ packet: Packet, at node: Int) {
        guard let agent = nodes[node].agent else { return }
        if trace.isRecording { draw(packet, to: node) }
        give(agent, on: node, .packet(packet.sender, packet.messages))
    }

    private func carryOut(_ action: Action, _ node: Int, _ agent: SimAgent) {
        oracles.onAction(self, node: node, agent, action)
        if trace.isRecording { traceAction(node, action) }
        switch action {
        case .send(let address, let messages): transmit(from: node, to: address, messages, by: agent)
        case .persist(let state, let token):
            agent.submitted = state
            agent.ledger.mayHaveRisen = true
            agent.writes.append((state, token))
            startWrite(node, agent)
        case .toServer(let message):
            guard let server = nodes[node].server, server.parent === agent else { return }
            schedule(.serverInput(node: node, life: server.life, .agent(message)), after: 30_000)
        case .killServer: killServer(node, agent)
        case .toClient(let connection, let message):
            for client in clients
            where client.node == node && client.agentLife == agent.life && client.connection == connection {
                schedule(.clientInput(client: client.index, life: client.life, .agent(message)), after: 30_000)
            }
        case .report(let report): onReport?(node, report)
        case .reply(_, let outcome): onReply?(node, outcome)
        case .pin(let cluster): agent.pinned = cluster
        case .exit(let reason): exit(node, reason)
        }
    }

    private func exit(_ node: Int, _ reason: ExitReason) {
        stopAgent(node, "exit \(reason)")
        switch reason {
        case .newBoot: schedule(.startAgent(node: node), after: 100_000_000)
        case .done, .olderProcess: nodes[node].isStopped = true
        }
    }

    // MARK: The state file

    private func startWrite(_ node: Int, _ agent: SimAgent) {
        guard !agent.isWriting, !agent.writes.isEmpty else { return }
        agent.isWriting = true
        let machine = nodes[node]
        var latency = machine.stateLatency / 2
        latency += random.next(below: Interval(nanoseconds: machine.stateLatency)).nanoseconds
        schedule(.written(node: node, life: agent.life), at: max(now + latency, machine.stateStallUntil))
    }

    func finishWrite(_ node: Int, _ life: Int) {
        guard let agent = nodes[node].agent, agent.life == life, !agent.writes.isEmpty else { return }
        let (state, token) = agent.writes.removeFirst()
        agent.isWriting = false
        if nodes[node].stateFailures > 0, chance(nodes[node].stateFailures) {
            statistics[.failedWrites] += 1
            trace.line(now, "node \(node + 1): state write \(token) fails")
            give(agent, on: node, .persistFailed(token: token))
        } else {
            commit(state, on: node)
            give(agent, on: node, .persisted(token: token))
        }
        if nodes[node].agent === agent { startWrite(node, agent) }
    }

    private func commit(_ state: StoredState, on node: Int) {
        let old = nodes[node].disk
        nodes[node].disk = state
        oracles.onDurable(self, node: node, old: old, new: state)
    }
}
