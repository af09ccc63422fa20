import CsnapCore

/// Ends of a server that are aimed at. The other faults end one by chance; here the holder is sought out, and what
/// happens to it lasts long enough that the service must move.
enum Ending: CaseIterable {
    case agentCrash, hostCrash, agentPause, hostPause, cut, deafness, departure, transfer

    /// Each happens only in runs whose profile has its class.
    var fault: FaultClass {
        switch self {
        case .agentCrash: .agentCrashes
        case .hostCrash: .hostCrashes
        case .agentPause: .agentPauses
        case .hostPause: .hostPauses
        case .cut: .cuts
        case .deafness: .oneWayCuts
        case .departure: .departures
        case .transfer: .operators
        }
    }
}

extension Injector {
    func scheduleEnding(_ world: World) {
        guard profile.endings > 0 else { return }
        let wait = profile.endings / 2 + world.random.next(below: Interval(nanoseconds: profile.endings)).nanoseconds
        world.schedule(.endServer, after: wait)
    }

    func endServer(in world: World) {
        guard !isStopped else { return }
        scheduleEnding(world)
        let kinds = Ending.allCases.filter { profile[$0.fault] }
        guard !kinds.isEmpty, let holder = world.nodes.first(where: { $0.server?.state == .active })?.index else {
            return
        }
        let promise = world.options.timing.promise
        let length = promise.nanoseconds * 3 / 2 + world.random.next(below: promise * 3).nanoseconds
        end(holder, by: kinds[world.random.next(below: kinds.count)], for: length, world)
        // What breaks a recovery is what comes right after the end that it recovers from.
        guard world.random.next(below: 3) == 0 else { return }
        world.schedule(.injectMore, after: promise.nanoseconds / 2 + world.random.next(below: promise).nanoseconds)
    }

    private func end(_ holder: Int, by ending: Ending, for length: Int64, _ world: World) {
        let others = world.nodes.indices.filter { $0 != holder }
        let inward = others.map { (from: $0, to: holder) }
        switch ending {
        case .agentCrash:
            world.crashAgent(holder)
            world.schedule(.startAgent(node: holder), after: length)
        case .hostCrash:
            world.crashHost(holder)
            world.schedule(.switchOn(node: holder), after: length)
        case .agentPause: world.pause(.agent(holder), for: length)
        case .hostPause: world.pauseHost(holder, for: length)
        case .cut: world.cut(Cut(links: inward + others.map { (from: holder, to: $0) }, jams: false), for: length)
        case .deafness:
            world.statistics[.oneWayCuts] += 1
            world.cut(Cut(links: inward, jams: false), for: length)
        case .departure:
            world.command(holder, .stop)
            world.schedule(.restartStopped(node: holder), after: 1_000_000_000 + length)
        case .transfer:
            guard !others.isEmpty else { return }
            world.command(holder, .transfer(world.nodes[others[world.random.next(below: others.count)]].id))
        }
    }
}
