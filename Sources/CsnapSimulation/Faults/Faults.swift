import CsnapCore

/// What the injector does to single processes, machines and links.
extension World {
    /// Switches a machine off: nothing gets a chance to say goodbye.
    func crashHost(_ index: Int) {
        let node = nodes[index]
        guard !node.isOff else { return }
        statistics[.crashes] += 1
        trace.line(now, "node \(index + 1): machine off")
        node.isOff = true
        stopAgent(index, "power")
        if let server = node.server { serverDies(server, on: index) }
        for client in clients where client.node == index { killClient(client.index) }
    }

    /// Switches it on: another kernel boot, another clock.
    func startHost(_ index: Int) {
        let node = nodes[index]
        guard node.isOff else { return }
        node.isOff = false
        node.isStopped = false
        node.kernelBootID = Bits128(high: random.next(), low: UInt64(index))
        node.lockBits = .zero
        node.clock.origin = now
        node.clock.offset = 1_000_000_000
        trace.line(now, "node \(index + 1): machine on")
        startAgent(index)
        for client in clients where client.node == index { startClient(client.index) }
    }

    func crashAgent(_ index: Int) {
        guard nodes[index].agent != nil else { return }
        statistics[.crashes] += 1
        stopAgent(index, "crash")
    }

    /// The state file is gone when the agent starts next.
    func loseState(_ index: Int) {
        guard nodes[index].agent == nil, nodes[index].disk != nil else { return }
        statistics[.lostStates] += 1
        trace.line(now, "node \(index + 1): state file lost")
        // A learner that no configuration in force names loses nothing that still counts.
        let latest = oracles.configurations.committed.values.last?.version ?? 0
        let disks = nodes.compactMap(\.disk)
        func names(_ sets: [VoterSet]) -> Bool {
            sets.contains { $0.version >= latest && $0.voters.contains(nodes[index].id) }
        }
        if names(disks.compactMap(\.committed)) {
            nodes[index].lostVote = true
        } else if names(disks.compactMap { $0.pending?.set }) {
            nodes[index].lostProposal = true
        } else {
            oracles.forgetPromises(of: index)
        }
        nodes[index].lostDisk = nodes[index].disk
        nodes[index].disk = nil
    }

    func crashServer(_ index: Int) {
        guard let server = nodes[index].server, server.isAlive else { return }
        statistics[.crashes] += 1
        serverDies(server, on: index)
    }

    /// Stops a process for a while; its inputs queue.
    func pause(_ target: Target, for duration: Int64) {
        let life: Int
        switch target {
        case .agent(let node):
            guard let agent = nodes[node].agent, !agent.isPaused else { return }
            agent.isPaused = true
            life = agent.life
        case .server(let node):
            guard let server = nodes[node].server, !server.isPaused else { return }
            server.isPaused = true
            life = server.life
        case .client(let index):
            guard clients[index].isAlive, !clients[index].isPaused else { return }
            clients[index].isPaused = true
            life = clients[index].life
        }
        if duration > options.timing.hard.nanoseconds { statistics[.longPauses] += 1 }
        trace.line(now, "pause \(describe(target)) for \(duration / 1_000_000) ms")
        if duration < never { schedule(.resume(target, life: life), after: duration) }
    }

    /// Everything on that machine stands still.
    func pauseHost(_ node: Int, for length: Int64) {
        pause(.agent(node), for: length)
        pause(.server(node), for: length)
        for client in clients where client.node == node { pause(.client(client.index), for: length) }
    }

    func resume(_ target: Target, life: Int) {
        switch target {
        case .agent(let node):
            guard let agent = nodes[node].agent, agent.life == life, agent.isPaused else { return }
            trace.line(now, "resume \(describe(target))")
            agent.isPaused = false
            let backlog = agent.backlog
            agent.backlog = []
            agent.scheduledWake = .distantFuture
            // A real loop sees its timers and its sockets in either order.
            let timersFirst = random.next(below: 2) == 0
            if timersFirst, agent.nextWake <= local(node) { give(agent, on: node, .wake) }
            for event in backlog where nodes[node].agent === agent { give(agent, on: node, event) }
            if nodes[node].agent === agent, agent.nextWake <= local(node) { give(agent, on: node, .wake) }
        case .server(let node):
            guard let server = nodes[node].server, server.life == life, server.isPaused else { return }
            trace.line(now, "resume \(describe(target))")
            server.isPaused = false
            let backlog = server.backlog
            server.backlog = []
            for input in backlog { give(server, on: node, input) }
        case .client(let index):
            let client = clients[index]
            guard client.life == life, client.isPaused else { return }
            trace.line(now, "resume \(describe(target))")
            client.isPaused = false
            let backlog = client.backlog
            client.backlog = []
            for input in backlog { give(client, life: life, input) }
        }
    }

    /// Cuts links; they heal after `duration`.
    func cut(_ cut: Cut, for duration: Int64) {
        network.apply(cut, by: 1)
        trace.line(now, "links cut: \(describe(cut)) for \(duration / 1_000_000) ms")
        if duration < never { schedule(.heal(cut), after: duration) }
    }

    func command(_ node: Int, _ command: Command) {
        guard let agent = nodes[node].agent else { return }
        statistics[.commands] += 1
        let id = Bits128(high: random.next(), low: random.next())
        trace.line(now, "node \(node + 1): command \(compact("\(command)"))")
        schedule(.agentInput(node: node, life: agent.life, .command(id: id, command)), after: 10_000)
    }

    func describe(_ target: Target) -> String {
        switch target {
        case .agent(let node): "agent of node \(node + 1)"
        case .server(let node): "server of node \(node + 1)"
        case .client(let index): "client of node \(clients[index].node + 1)"
        }
    }
}
