import CsnapCore

/// The simulated csnap-client.
extension World {
    func startClient(_ index: Int) {
        let client = clients[index]
        guard !nodes[client.node].isOff, !client.isAlive else { return }
        let life = nextLife()
        let fresh = SimClient(
            index: index, node: client.node, life: life, uuid: Bits128(high: random.next(), low: random.next()))
        fresh.completions = client.completions
        fresh.lastCompletion = client.lastCompletion
        fresh.diskLatency = client.diskLatency
        clients[index] = fresh
        schedule(.clientConnects(client: index, life: life), after: 1_000_000)
        schedule(.clientInput(client: index, life: life, .tick), after: options.clientPeriod)
    }

    func clientConnects(_ index: Int, _ life: Int) {
        let client = clients[index]
        guard client.isAlive, client.life == life else { return }
        if client.isPaused {
            schedule(.clientConnects(client: index, life: life), after: 50_000_000)
            return
        }
        guard let agent = nodes[client.node].agent, client.agentLife != agent.life else { return }
        client.agentLife = agent.life
        agent.connections += 1
        client.connection = ClientID(agent.connections)
        tell(client, .hello(client: client.uuid, volume: "v\(index)", processID: UInt32(life)))
    }

    /// The process dies without goodbye; its kernel closes its connections if there is a kernel.
    func killClient(_ index: Int) {
        let client = clients[index]
        guard client.isAlive else { return }
        client.isAlive = false
        trace.line(now, "node \(client.node + 1): client \(index) dies")
        guard !nodes[client.node].isOff else { return }
        schedule(
            .agentInput(node: client.node, life: client.agentLife, .clientGone(client.connection)), after: 100_000)
        for node in nodes where node.server != nil {
            stream(
                from: client.node, to: node.index,
                .toServer(
                    node: node.index, life: node.server?.life, .clientClosed(client: index, clientLife: client.life)))
        }
    }

    func tell(_ client: SimClient, _ message: ClientToAgent) {
        schedule(
            .agentInput(node: client.node, life: client.agentLife, .client(client.connection, message)), after: 30_000)
    }

    func give(_ client: SimClient, life: Int, _ input: ClientInput) {
        guard client.isAlive, client.life == life, violation == nil else { return }
        if client.isPaused {
            client.backlog.append(input)
            return
        }
        handle(client, input)
    }

    private func handle(_ client: SimClient, _ input: ClientInput) {
        switch input {
        case .agent(let message): handle(client, message)
        case .agentLost(let life): if client.agentLife == life { client.agentLife = 0 }
        case .tick: tick(client)
        case .written:
            client.writesInFlight -= 1
            complete(client)
            if client.writesInFlight == 0, client.owesDrained {
                client.owesDrained = false
                tell(client, .suspended(client.adopted, writesInFlight: 0))
            }
        case .welcome(let tenure):
            guard tenure == client.adopted else { return }
            client.hasSession = true
            client.outstanding = nil
            tell(client, .connected(tenure))
        case .notServed(let tenure):
            guard tenure == client.adopted else { return }
            client.notServedIn = tenure
            statistics[.notServed] += 1
            tell(client, .notServed(tenure))
        case .reply(let request, let tenure):
            guard client.outstanding == request, tenure == client.adopted else { return }
            client.outstanding = nil
            if isOpen(client) { writeOrigin(client) }
        case .serverClosed(let tenure):
            guard tenure == client.adopted else { return }
            let had = client.hasSession
            client.hasSession = false
            client.outstanding = nil
            if had { tell(client, .lostServer(tenure)) }
        }
    }

    private func handle(_ client: SimClient, _ message: AgentToClient) {
        if trace.isRecording { traceClient(client, message) }
        switch message {
        case .identity(let process):
            if client.identity != process {
                client.hasSession = false
                client.outstanding = nil
            }
            client.identity = process
        case .suspend(let tenure):
            client.gate = nil
            adopt(client, tenure)
            client.owesDrained = client.writesInFlight > 0
            tell(client, .suspended(tenure, writesInFlight: client.writesInFlight))
        case .server(let tenure, let address):
            adopt(client, tenure)
            guard tenure == client.adopted else { return }
            client.serverAddress = address
            connect(client)
        case .resume(let tenure):
            guard tenure == client.adopted else { return }
            client.gate = tenure
            oracles.onClientResumed(self, client)
        case .lease(let tenure, let until):
            guard tenure == client.adopted else { return }
            client.leaseUntil = until
        // To the server, of which this world has the admissions alone; and no configuration ever changes here.
        case .part, .otherDisks: break
        }
    }

    private func adopt(_ client: SimClient, _ tenure: Tenure) {
        guard tenure > client.adopted else { return }
        client.adopted = tenure
        client.gate = nil
        client.leaseUntil = .distantPast
        client.serverAddress = nil
        client.hasSession = false
        client.outstanding = nil
    }

    private func connect(_ client: SimClient) {
        guard let address = client.serverAddress, let identity = client.identity, !client.hasSession else { return }
        let node = Self.index(of: address)
        guard nodes.indices.contains(node) else { return }
        stream(
            from: client.node, to: node,
            .toServer(
                node: node, life: nil,
                .hello(client: client.index, clientLife: client.life, process: identity, tenure: client.adopted)))
    }

    /// Whether a request may touch the disk now (data-plane.md, the gate).
    func isOpen(_ client: SimClient) -> Bool {
        guard let gate = client.gate, gate == client.adopted else { return false }
        return WorldMutants.clientIgnoresLease || local(client.node) < client.leaseUntil
    }

    private func tick(_ client: SimClient) {
        let period = options.clientPeriod
        schedule(
            .clientInput(client: client.index, life: client.life, .tick),
            after: period / 2 + random.next(below: Interval(nanoseconds: period)).nanoseconds)
        if client.agentLife == 0, nodes[client.node].agent != nil { clientConnects(client.index, client.life) }
        // What a server serves changes with its tenure only.
        if !client.hasSession, client.notServedIn != client.adopted { connect(client) }
        guard isOpen(client), client.writesInFlight < 4 else { return }
        if random.next(below: 3) == 0 {
            writeOrigin(client)
        } else if client.hasSession, let address = client.serverAddress {
            if client.outstanding == nil {
                client.nextRequest += 1
                client.outstanding = client.nextRequest
            }
            let node = Self.index(of: address)
            stream(
                from: client.node, to: node,
                .toServer(
                    node: node, life: nil,
                    .query(
                        client: client.index, clientLife: client.life, request: client.nextRequest,
                        tenure: client.adopted)))
        }
    }

    private func writeOrigin(_ client: SimClient) {
        guard client.writesInFlight < 4 else { return }
        oracles.onClientIO(self, client)
        client.writesInFlight += 1
        schedule(.clientInput(client: client.index, life: client.life, .written), after: client.diskLatency)
    }

    private func complete(_ client: SimClient) {
        client.completions += 1
        client.lastCompletion = now
        statistics[.clientIOs] += 1
    }
}
