import CsnapCore

/// What must come back after the faults (docs/testing.md §4).
struct Liveness {
    let world: World

    /// The bound of L1 and L2: generous, so that only a stuck group exceeds it.
    private var bound: Int64 {
        let timing = world.options.timing
        let sum =
            timing.promise * 3 + timing.rejoin * 3 + timing.reconnect + timing.patience * 4
            + timing.suspicionMaximum
        return sum.nanoseconds + 10_000_000_000
    }

    func check() {
        stopFaults()
        guard canServe else { return }
        let end = world.now + bound
        let began = world.now
        while world.violation == nil, world.now < end {
            world.run(until: world.now + 100_000_000)
            if world.now < began + 5_000_000_000 { undoCommands() }
            if isServing(since: began) { break }
        }
        // A node may have found out only now that it lost its vote in the faulty time.
        guard world.violation == nil, canServe else { return }
        guard world.nodes.contains(where: { $0.server?.state == .active }) else {
            return world.fail(101, "no server is active \(bound / 1_000_000_000) s after the faults")
        }
        guard isServing(since: began) else {
            let late = world.clients.filter { $0.isAlive && $0.lastCompletion <= began }.map { $0.node + 1 }
            return world.fail(102, "no I/O on nodes \(late) \(bound / 1_000_000_000) s after the faults")
        }
        checkQuiet()
    }

    /// After at most one more change, nothing moves for ten promises, and all agents agree.
    private func checkQuiet() {
        let promise = world.options.timing.promise.nanoseconds
        // A leave that was ordered in the faulty time has ended by then; that node returns.
        world.run(until: world.now + bound / 2)
        undoCommands()
        world.run(until: world.now + 10 * promise)
        guard world.violation == nil, canServe else { return }
        let before = world.oracles.started.epoch
        let began = world.now
        world.run(until: world.now + 10 * promise)
        guard world.violation == nil else { return }
        if world.oracles.started.epoch != before {
            return world.fail(104, "epoch \(world.oracles.started.epoch.value) follows \(before.value) without a fault")
        }
        guard isServing(since: began) else {
            let late = world.clients.filter { $0.isAlive && $0.lastCompletion <= began }.map { $0.node + 1 }
            return world.fail(102, "no I/O on nodes \(late) in a quiet group")
        }
        checkAgreement()
    }

    /// Commands of the faulty time may still be under way when it ends.
    private func undoCommands() {
        for node in world.nodes where !node.isOff {
            node.isStopped = false
            if node.agent == nil, node.disk?.enabled == false || node.server == nil { world.startAgent(node.index) }
            // On disk, or on its way there.
            let states = [node.disk, node.agent?.submitted].compactMap { $0 }
            if !states.allSatisfy(\.enabled) { world.command(node.index, .enable) }
        }
    }

    private func isServing(since time: TrueTime) -> Bool {
        world.nodes.contains { $0.server?.state == .active }
            && world.clients.allSatisfy { !$0.isAlive || $0.lastCompletion > time }
    }

    /// A majority of every configuration that is on some disk still votes.
    private var canServe: Bool {
        var mask: UInt64 = 0
        for node in world.nodes where !node.lostVote && !node.isOff && node.disk?.mayVote == true {
            mask |= 1 << UInt64(node.index)
        }
        let sets = world.nodes.compactMap { $0.disk }.flatMap { [$0.committed, $0.pending?.set].compactMap { $0 } }
        return !sets.isEmpty && sets.allSatisfy { $0.isMajority(mask) }
    }

    private func stopFaults() {
        world.trace.line(world.now, "---- faults end ----")
        world.injector?.isStopped = true
        world.network.policy = NetworkPolicy()
        world.network.healAll()
        world.releaseJammed()
        for node in world.nodes {
            node.timerLateness = 0
            node.stateLatency = 2_000_000
            node.stateFailures = 0
            node.stateStallUntil = 0
            node.killLatency = 5_000_000
            if let agent = node.agent { world.resume(.agent(node.index), life: agent.life) }
            if let server = node.server { world.resume(.server(node.index), life: server.life) }
            node.isStopped = false
            if node.isOff { world.startHost(node.index) } else { world.startAgent(node.index) }
        }
        for client in world.clients {
            client.diskLatency = 500_000
            world.resume(.client(client.index), life: client.life)
            world.startClient(client.index)
        }
        killSomeForEver()
    }

    /// In half of the runs some nodes never return; a majority of every known configuration stays.
    private func killSomeForEver() {
        guard world.random.next(below: 2) == 0, canServe else { return }
        let victim = world.random.next(below: world.nodes.count)
        world.crashHost(victim)
        if !canServe { world.startHost(victim) }
    }

    /// L3: the agents that run agree on who is alive and who serves.
    private func checkAgreement() {
        let running = world.nodes.filter { $0.agent != nil }
        guard let first = running.first, let agent = first.agent else { return }
        let expected = agent.core.status(at: world.local(first.index))
        for node in running.dropFirst() {
            guard let other = node.agent else { continue }
            let status = other.core.status(at: world.local(node.index))
            if status.claim != expected.claim {
                return world.fail(
                    103,
                    "claims of nodes \(first.index + 1) and \(node.index + 1) differ: "
                        + "\(compact("\(String(describing: expected.claim))")) and "
                        + "\(compact("\(String(describing: status.claim))"))"
                )
            }
            for member in running {
                let left = expected.members.first { $0.record.process.node == member.id }
                let right = status.members.first { $0.record.process.node == member.id }
                if left?.record.process != right?.record.process || right?.state != .alive || left?.state != .alive {
                    return world.fail(
                        103,
                        "nodes \(first.index + 1) and \(node.index + 1) differ about node \(member.index + 1): "
                            + "\(left.map { "\($0.record.process.boot.value) \($0.state)" } ?? "unknown") and "
                            + "\(right.map { "\($0.record.process.boot.value) \($0.state)" } ?? "unknown")")
                }
            }
        }
    }
}
