package import CsnapCore

/// What the caller fixes; everything else is drawn from the seed.
package struct RunSettings: Sendable {
    package var timing: Timing
    /// Nil: drawn.
    package var nodes: Int?
    /// Length of the part with faults.
    package var seconds: Int64
    /// Nil: drawn.
    package var profile: FaultProfile?
    /// Nil: drawn.
    package var grown: Bool?
    /// Classes left out of what the seed draws.
    package var without: [FaultClass] = []

    package init(timing: Timing, nodes: Int?, seconds: Int64) {
        self.timing = timing
        self.nodes = nodes
        self.seconds = seconds
    }
}

package struct SeedResult: Sendable {
    package var seed: UInt64
    package var violation: Violation?
    package var statistics: Statistics
    package var simulated: TrueTime
    package var hash: UInt64
    package var nodes: Int
    package var faults: String
    package var lines: [String]
}

/// One seed: a world, its faults, its end.
package struct SeedRun {
    let seed: UInt64
    let settings: RunSettings
    package let world: World
    package let faults: FaultProfile

    package init(seed: UInt64, settings: RunSettings, recording: Bool = false) {
        self.seed = seed
        self.settings = settings
        var random = Generator(seed: seed &* 0x9E37_79B9_7F4A_7C15 ^ 0xD1B5_4A32_D192_ED03)
        let sizes = [1, 2, 3, 3, 3, 3, 4, 5, 5, 5]
        let drawn = sizes[random.next(below: sizes.count)]
        let count = settings.nodes ?? drawn
        var withVolumes: [Int] = []
        for index in 0..<count where random.next(below: 4) > 0 { withVolumes.append(index) }
        if withVolumes.isEmpty { withVolumes = [random.next(below: count)] }
        let drawnProfile = FaultProfile(random: &random, timing: settings.timing)
        var profile = settings.profile ?? drawnProfile
        for fault in settings.without { profile[fault] = false }
        faults = profile
        var options = WorldOptions(timing: settings.timing, nodes: count, clientNodes: withVolumes)
        // Not drawn: what other seeds have shown stays as it was.
        options.leavesOut = seed % 5 == 4
        world = World(options: options, seed: random.next())
        world.trace.isRecording = recording
        let grown = random.next(below: 4) > 0
        let voters = count >= 5 && random.next(below: 2) == 0 ? 5 : count >= 3 ? 3 : 1
        if settings.grown ?? grown {
            world.startGrown(voters: voters)
        } else {
            world.startByFounding(founder: random.next(below: count), within: 4_000_000_000)
        }
    }

    package func run() -> SeedResult {
        let injector = Injector(profile: faults)
        injector.prepare(world)
        world.injector = injector
        world.trace.line(0, "seed \(seed), \(world.nodes.count) nodes, faults: \(faults.names)")
        world.run(until: settings.seconds * 1_000_000_000)
        if world.violation == nil { Liveness(world: world).check() }
        return SeedResult(
            seed: seed, violation: world.violation, statistics: world.statistics, simulated: world.now,
            hash: world.trace.hash, nodes: world.nodes.count, faults: faults.names, lines: world.trace.lines)
    }
}

extension World {
    private static let clusterUUID = Bits128(high: 0xc5, low: 0xa9)

    /// A group that has existed before: its voters are known, nobody promised anything yet.
    func startGrown(voters count: Int) {
        var voters: [NodeID] = nodes.map(\.id)
        while voters.count > count { voters.remove(at: random.next(below: voters.count)) }
        prepareGrown(voters: voters)
        for node in nodes {
            node.disk?.process.boot = Boot(UInt64(random.next(below: 5)) + 1)
            schedule(.startAgent(node: node.index), after: random.next(below: Interval.milliseconds(200)).nanoseconds)
        }
        startCommon()
    }

    /// State files as such a group leaves them.
    func prepareGrown(voters: [NodeID]) {
        let set = VoterSet(version: voters.count == 1 ? 1 : 2, voters: voters)
        oracles.assume(set)
        for node in nodes {
            var state = StoredState(
                process: NodeBoot(node: node.id, boot: Boot(1)), machineID: node.machineID,
                kernelBootID: Bits128(high: 1, low: 1), startBits: .zero)
            state.cluster = Self.clusterUUID
            state.committed = set
            state.peers = node.peers
            node.disk = state
        }
    }

    /// One node founds; the others come later and know only where to look.
    func startByFounding(founder: Int, within spread: Int64) {
        for node in nodes {
            let delay = node.index == founder ? 0 : random.next(below: Interval(nanoseconds: spread)).nanoseconds
            schedule(.startAgent(node: node.index), after: delay)
        }
        schedule(.found(node: founder), after: 100_000_000)
        startCommon()
    }

    func startCommon() {
        for client in clients {
            schedule(
                .startClient(client: client.index), after: random.next(below: Interval.milliseconds(500)).nanoseconds)
        }
        for node in nodes { schedule(.work(node.index), after: 1_000_000) }
    }

    func found(_ node: Int) {
        guard nodes[node].disk?.committed == nil, !nodes[node].lostVote else { return }
        command(node, .found(cluster: Self.clusterUUID))
        // The operator looks whether it worked.
        schedule(.found(node: node), after: 1_000_000_000)
    }
}
