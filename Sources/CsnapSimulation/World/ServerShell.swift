import CsnapCore

/// The simulated csnap-server.
extension World {
    func spawnServer(_ index: Int) {
        let node = nodes[index]
        guard let agent = node.agent, node.server == nil else { return }
        let server = SimServer(life: nextLife(), parent: agent)
        node.server = server
        node.lockBits = agent.startBits
        schedule(.serverInput(node: index, life: server.life, .loaded), after: 15_000_000)
    }

    func killServer(_ index: Int, _ agent: SimAgent) {
        guard let server = nodes[index].server, server.parent === agent else {
            schedule(.serverReaped(node: index, agentLife: agent.life), after: 100_000)
            return
        }
        guard !server.isDying else { return }
        server.isDying = true
        let latency = random.next(below: Interval(nanoseconds: nodes[index].killLatency)).nanoseconds
        schedule(.serverDies(node: index, life: server.life), after: latency)
    }

    /// The process ends: by a signal, by itself, or with its machine.
    func serverDies(_ server: SimServer, on index: Int) {
        guard server.isAlive else { return }
        server.isAlive = false
        server.backlog = []
        let node = nodes[index]
        if node.server === server { node.server = nil }
        drawing.ends(index, at: now)
        trace.line(now, "node \(index + 1): server process of \(text(server.tenure)) ends")
        if !node.isOff {
            // The kernel closes its connections.
            for session in server.sessions {
                let target = clients[session.client]
                stream(
                    from: index, to: target.node,
                    .toClient(client: target.index, life: session.clientLife, .serverClosed(server.tenure)))
            }
        }
        server.sessions = []
        if let agent = node.agent {
            schedule(.serverReaped(node: index, agentLife: agent.life), after: 500_000)
        }
    }

    func serverReaped(_ index: Int, _ agentLife: Int) {
        guard let agent = nodes[index].agent, nodes[index].server == nil else { return }
        if agent.isPaused {
            // A shell that stands still reaps nothing and starts nothing.
            return schedule(.serverReaped(node: index, agentLife: agentLife), after: 10_000_000)
        }
        if agent.life == agentLife { give(agent, on: index, .serverGone) }
        if nodes[index].agent != nil { spawnServer(index) }
    }

    func give(_ server: SimServer, on node: Int, _ input: ServerInput) {
        guard server.isAlive, violation == nil else { return }
        if server.isPaused {
            server.backlog.append(input)
            return
        }
        handle(server, on: node, input)
    }

    private func tell(_ node: Int, _ server: SimServer, _ message: ServerToAgent) {
        schedule(.agentInput(node: node, life: server.parent.life, .server(message)), after: 30_000)
    }

    /// Whether the server may accept, write or reply now; past hard it exits (data-plane.md, fail-over rule 7).
    private func mayServe(_ server: SimServer, on node: Int) -> Bool {
        if WorldMutants.serverIgnoresDeadline { return true }
        let time = local(node)
        if time >= server.hard {
            serverFails(server, on: node, .hardDeadline)
            return false
        }
        return time < server.soft
    }

    private func serverFails(_ server: SimServer, on node: Int, _ failure: ServerFailure) {
        guard !server.isDying else { return }
        server.isDying = true
        tell(node, server, .failed(failure, volume: "", epochSeen: store.highest.epoch))
        schedule(.serverDies(node: node, life: server.life), after: 200_000)
    }

    private func scheduleDeadline(_ server: SimServer, on node: Int) {
        schedule(
            .serverInput(node: node, life: server.life, .deadline), at: nodes[node].clock.trueTime(of: server.hard))
    }

    private func handle(_ server: SimServer, on node: Int, _ input: ServerInput) {
        if trace.isRecording { traceServer(node, input) }
        switch input {
        case .loaded:
            server.state = .inert
            tell(node, server, .inert)
        case .deadline:
            if server.state != .loading, server.state != .inert { _ = mayServe(server, on: node) }
        case .agent(let message): handle(server, on: node, message)
        case .claimed(let tenure):
            guard server.state == .taking, server.tenure == tenure else { return }
            guard mayServe(server, on: node) else { return retry(server, on: node, .claimed(tenure)) }
            oracles.onService(self, node: node, server, .write)
            if store.highest.epoch > tenure.epoch {
                return serverFails(server, on: node, .storeTenure)
            }
            store.claim(tenure)
            schedule(.serverInput(node: node, life: server.life, .taken(tenure)), after: storeLatency())
        case .taken(let tenure):
            guard server.state == .taking, server.tenure == tenure else { return }
            guard mayServe(server, on: node) else { return retry(server, on: node, .taken(tenure)) }
            if store.highest > tenure { return serverFails(server, on: node, .storeTenure) }
            oracles.onService(self, node: node, server, .write)
            server.state = .listening
            tell(node, server, .started(tenure, port: 7412))
        case .hello(let client, let clientLife, let process, let tenure):
            accept(server, on: node, client, clientLife, process, tenure)
        case .query(let client, let clientLife, let request, let tenure):
            answer(server, on: node, client, clientLife, request, tenure)
        case .clientClosed(let client, let clientLife):
            closeSessions(server, on: node) { $0.client == client && $0.clientLife == clientLife }
        }
    }

    private func retry(_ server: SimServer, on node: Int, _ input: ServerInput) {
        guard server.isAlive, !server.isDying else { return }
        schedule(.serverInput(node: node, life: server.life, input), after: 5_000_000)
    }

    private func storeLatency() -> Int64 { 2_000_000 + random.next(below: Interval.milliseconds(8)).nanoseconds }

    private func handle(_ server: SimServer, on node: Int, _ message: AgentToServer) {
        switch message {
        case .start(let start):
            guard server.state != .loading, start.tenure > server.tenure else { return }
            closeSessions(server, on: node) { _ in true }
            server.state = .taking
            server.tenure = start.tenure
            server.soft = start.soft
            server.hard = start.hard
            server.admitted = start.admitted
            scheduleDeadline(server, on: node)
            schedule(.serverInput(node: node, life: server.life, .claimed(start.tenure)), after: storeLatency())
        case .lease(let soft, let hard):
            guard server.state != .inert, server.state != .loading, hard > server.hard else { return }
            server.soft = soft
            server.hard = hard
            scheduleDeadline(server, on: node)
        case .admit(let process):
            server.admitted.removeAll { $0.node == process.node && $0.boot <= process.boot }
            server.admitted.append(process)
        case .strike(let process, _):
            server.admitted.removeAll { $0.node == process.node && $0.boot <= process.boot }
            closeSessions(server, on: node) { $0.process.node == process.node && $0.process.boot <= process.boot }
            tell(node, server, .struck(process))
        case .activate(let tenure):
            if server.state == .listening, server.tenure == tenure { server.state = .active }
        case .stop:
            server.isDying = true
            schedule(.serverDies(node: node, life: server.life), after: 1_000_000)
        case .keys: break
        }
    }

    private func accept(
        _ server: SimServer, on node: Int, _ client: Int, _ clientLife: Int, _ process: NodeBoot, _ tenure: Tenure
    ) {
        guard server.state == .listening || server.state == .active, !server.isDying else { return }
        guard mayServe(server, on: node), server.tenure == tenure, server.admitted.contains(process) else { return }
        if isLeftOut(client, in: tenure) {
            return stream(
                from: node, to: clients[client].node,
                .toClient(client: client, life: clientLife, .notServed(tenure)))
        }
        if !server.sessions.contains(where: { $0.client == client && $0.clientLife == clientLife }) {
            oracles.onSession(self, node: node, server, process)
            server.sessions.append((client, clientLife, process))
            tellCount(server, on: node, process)
        }
        stream(from: node, to: clients[client].node, .toClient(client: client, life: clientLife, .welcome(tenure)))
    }

    /// A third of the volumes, others in each tenure.
    private func isLeftOut(_ client: Int, in tenure: Tenure) -> Bool {
        var mixed = Generator(seed: tenure.epoch.value << 20 | UInt64(tenure.round.value) << 8 | UInt64(client))
        return options.leavesOut && mixed.next(below: 3) == 0
    }

    private func tellCount(_ server: SimServer, on node: Int, _ process: NodeBoot) {
        let count = server.sessions.filter { $0.process == process }.count
        tell(node, server, .sessions(process, count: UInt32(count)))
    }

    private func closeSessions(
        _ server: SimServer, on node: Int,
        where matches: ((client: Int, clientLife: Int, process: NodeBoot)) -> Bool
    ) {
        for session in server.sessions where matches(session) {
            let target = clients[session.client]
            stream(
                from: node, to: target.node,
                .toClient(client: target.index, life: session.clientLife, .serverClosed(server.tenure)))
        }
        let gone = server.sessions.filter(matches).map(\.process)
        server.sessions.removeAll(where: matches)
        for process in gone { tellCount(server, on: node, process) }
    }

    private func answer(
        _ server: SimServer, on node: Int, _ client: Int, _ clientLife: Int, _ request: UInt64, _ tenure: Tenure
    ) {
        guard server.state == .active, !server.isDying, server.tenure == tenure,
            server.sessions.contains(where: { $0.client == client && $0.clientLife == clientLife })
        else { return }
        guard mayServe(server, on: node) else { return }
        oracles.onService(self, node: node, server, .write)
        oracles.onService(self, node: node, server, .reply)
        stream(
            from: node, to: clients[client].node,
            .toClient(client: client, life: clientLife, .reply(request: request, tenure: tenure)))
    }

    /// A store write of the server's own accord (its journal's checkpoint), so that a deposed one would be seen.
    func serverWork(_ node: Int) {
        schedule(.work(node), after: 20_000_000 + random.next(below: Interval.milliseconds(20)).nanoseconds)
        guard let server = nodes[node].server, server.isAlive, !server.isPaused, !server.isDying,
            server.state == .listening || server.state == .active, mayServe(server, on: node)
        else { return }
        oracles.onService(self, node: node, server, .write)
    }
}

/// Rules of the server, the client and the transport that a mutant run removes here, because the core does not hold
/// them.
enum WorldMutants {
    #if CSNAP_MUTANTS
        // Set once before any world runs; then only read.
        nonisolated(unsafe) static var serverIgnoresDeadline = false
        nonisolated(unsafe) static var clientIgnoresLease = false
        nonisolated(unsafe) static var openerIgnoresSeal = false
    #else
        static let serverIgnoresDeadline = false
        static let clientIgnoresLease = false
        static let openerIgnoresSeal = false
    #endif
}
