import CsnapCore

/// Draws one fault after the other from the enabled classes.
struct Injector {
    var profile: FaultProfile
    var isStopped = false
    private var choices: [FaultClass] = []

    init(profile: FaultProfile) {
        self.profile = profile
        let momentary: [FaultClass] = [
            .cuts, .oneWayCuts, .jams, .agentCrashes, .serverCrashes, .clientCrashes, .hostCrashes, .powerCuts,
            .lostState, .agentPauses, .serverPauses, .clientPauses, .hostPauses, .stalledState, .operators, .departures,
            .voterChanges, .handOvers,
        ]
        choices = momentary.filter { profile[$0] }
    }

    /// The conditions that last for the whole run.
    func prepare(_ world: World) {
        func draw(_ bound: Int) -> Int { world.random.next(below: bound) }
        if profile[.loss] { world.network.policy.loss = draw(400) }
        if profile[.duplicate] { world.network.policy.duplicate = draw(300) }
        if profile[.replay] { world.network.policy.replay = draw(100) }
        if profile[.damage] { world.network.policy.damage = draw(500) }
        if profile[.delay] {
            world.network.policy.delayMinimum = Int64(draw(5_000_000))
            let scale = world.options.timing.promise.nanoseconds / 20
            world.network.policy.delayMean = Int64(draw(Int(scale))) + 1
            world.network.policy.stragglers = draw(20)
        }
        let rho = Int(world.options.timing.driftPerMille * 1000)
        for node in world.nodes {
            if profile[.rates] {
                node.clock.rate = draw(3) == 0 ? Int64(draw(2) == 0 ? rho : -rho) : Int64(draw(2 * rho + 1) - rho)
                node.clock.offset = Int64(draw(1_000_000_000)) + 1_000_000
            }
            if profile[.lateTimers] { node.timerLateness = Int64(draw(draw(4) == 0 ? 300_000_000 : 10_000_000)) }
            if profile[.slowKills] {
                node.killLatency = Int64(draw(Int(2 * world.options.timing.kill.nanoseconds))) + 1
            }
            if profile[.slowState] { node.stateLatency = Int64(draw(draw(3) == 0 ? 300_000_000 : 20_000_000)) + 1_000 }
            if profile[.failingState], draw(2) == 0 { node.stateFailures = draw(50) }
        }
        for client in world.clients where profile[.slowClients] {
            client.diskLatency = Int64(draw(draw(3) == 0 ? 3_000_000_000 : 50_000_000)) + 1_000
        }
        if !choices.isEmpty { next(world) }
        scheduleEnding(world)
    }

    private func next(_ world: World) {
        let wait = world.random.next(below: Interval(nanoseconds: 2 * profile.period)).nanoseconds
        world.schedule(.inject, after: wait)
    }

    func inject(into world: World, follows: Bool = false) {
        guard !isStopped, !choices.isEmpty else { return }
        if !follows {
            next(world)
            let lease = Interval(nanoseconds: world.options.timing.hard.nanoseconds)
            for _ in 0..<profile.burst {
                world.schedule(.injectMore, after: world.random.next(below: lease).nanoseconds)
            }
        }
        if world.oracles.isRecovering { world.statistics[.secondFailures] += 1 }
        apply(choices[world.random.next(below: choices.count)], world)
        // Troubles seldom come alone.
        if world.chance(profile.pairing) { apply(choices[world.random.next(below: choices.count)], world) }
    }

    /// A length that is short or long with equal probability, on a logarithmic scale from 10 ms.
    private func duration(_ world: World) -> Int64 {
        var length: Int64 = 10_000_000
        let doublings = world.random.next(below: 11)
        for _ in 0..<doublings { length *= 2 }
        length += world.random.next(below: Interval(nanoseconds: length)).nanoseconds
        return min(length, profile.longest)
    }

    /// Usually the server's node, because most of what can go wrong goes wrong there.
    private func victim(_ world: World) -> Int {
        let holder = world.nodes.first { ($0.server?.tenure ?? .none) > .none }?.index
        if let holder, world.random.next(below: 2) == 0 { return holder }
        return world.random.next(below: world.nodes.count)
    }

    private func apply(_ fault: FaultClass, _ world: World) {
        let node = victim(world)
        switch fault {
        case .cuts, .jams: world.cut(partition(world, node, jams: fault == .jams), for: duration(world))
        case .oneWayCuts:
            let length = duration(world)
            if length > world.options.timing.promise.nanoseconds { world.statistics[.oneWayCuts] += 1 }
            world.cut(oneWay(world, node), for: length)
        case .agentCrashes:
            world.crashAgent(node)
            world.schedule(.startAgent(node: node), after: 100_000_000 + restartDelay(world))
        case .serverCrashes: world.crashServer(node)
        case .clientCrashes:
            guard !world.clients.isEmpty else { return }
            let client = world.random.next(below: world.clients.count)
            world.killClient(client)
            world.schedule(.startClient(client: client), after: duration(world))
        case .hostCrashes: crashHosts(world, [node])
        case .powerCuts:
            guard world.random.next(below: 3) == 0 else { return }
            world.statistics[.powerCuts] += 1
            crashHosts(world, Array(world.nodes.indices))
        case .lostState:
            let isOneLost = world.nodes.contains { $0.lostVote || $0.lostProposal }
            guard world.random.next(below: 4) == 0, !isOneLost else { return }
            world.crashAgent(node)
            world.loseState(node)
            world.schedule(.startAgent(node: node), after: 100_000_000)
        case .agentPauses: world.pause(.agent(node), for: duration(world))
        case .serverPauses: world.pause(.server(node), for: duration(world))
        case .clientPauses:
            guard !world.clients.isEmpty else { return }
            world.pause(.client(world.random.next(below: world.clients.count)), for: duration(world))
        case .hostPauses:
            world.pauseHost(node, for: duration(world))
        case .stalledState: world.nodes[node].stateStallUntil = world.now + duration(world)
        case .operators: operate(world, node)
        case .departures: depart(world, node)
        case .voterChanges: changeVoters(world, node)
        case .handOvers: HandOver(world).schedule()
        case .loss, .duplicate, .delay, .replay, .damage, .rates, .lateTimers, .slowKills, .slowState, .failingState,
            .slowClients:
            break
        }
    }

    private func restartDelay(_ world: World) -> Int64 {
        world.random.next(below: 2) == 0 ? 0 : duration(world)
    }

    private func crashHosts(_ world: World, _ victims: [Int]) {
        for node in victims {
            world.crashHost(node)
            world.schedule(.switchOn(node: node), after: 200_000_000 + duration(world))
        }
    }

    private func partition(_ world: World, _ node: Int, jams: Bool) -> Cut {
        let count = world.nodes.count
        var side = Array(repeating: false, count: count)
        switch world.random.next(below: 4) {
        case 0: side[node] = true
        case 1: for index in side.indices { side[index] = world.random.next(below: 2) == 0 }
        case 2:
            // A single link.
            let other = (node + 1 + world.random.next(below: max(1, count - 1))) % count
            return Cut(links: [(node, other), (other, node)], jams: jams)
        default:
            // A bridge: the node alone hears both halves.
            for index in side.indices { side[index] = index % 2 == 0 }
            var links: [(from: Int, to: Int)] = []
            for from in 0..<count {
                for to in 0..<count where from != node && to != node && side[from] != side[to] {
                    links.append((from, to))
                }
            }
            return Cut(links: links, jams: jams)
        }
        var links: [(from: Int, to: Int)] = []
        for from in 0..<count { for to in 0..<count where side[from] != side[to] { links.append((from, to)) } }
        return Cut(links: links, jams: jams)
    }

    private func oneWay(_ world: World, _ node: Int) -> Cut {
        let others = world.nodes.indices.filter { $0 != node }
        switch world.random.next(below: 3) {
        case 0: return Cut(links: others.map { ($0, node) }, jams: false)
        case 1: return Cut(links: others.map { (node, $0) }, jams: false)
        default:
            guard !others.isEmpty else { return Cut(links: [], jams: false) }
            let other = others[world.random.next(below: others.count)]
            return Cut(links: [(node, other)], jams: false)
        }
    }

    private func operate(_ world: World, _ node: Int) {
        let other = NodeID(UInt32(world.random.next(below: world.nodes.count) + 1))
        switch world.random.next(below: 5) {
        case 0, 1: world.command(node, .transfer(other))
        case 2: world.command(node, .disable)
        case 3: world.command(node, .enable)
        default: world.command(node, .strike(other, fenced: false))
        }
    }

    private func changeVoters(_ world: World, _ node: Int) {
        var voters = world.nodes.map(\.id)
        let count = voters.count >= 3 && world.random.next(below: 3) > 0 ? 3 : 1
        while voters.count > count { voters.remove(at: world.random.next(below: voters.count)) }
        if voters.count % 2 == 1 { world.command(node, .voters(voters)) }
    }

    private func depart(_ world: World, _ node: Int) {
        world.command(node, world.random.next(below: 4) == 0 ? .leave : .stop)
        world.schedule(.restartStopped(node: node), after: 1_000_000_000 + duration(world))
    }
}
