package import CsnapCore

/// What a run is made of, apart from its faults.
package struct WorldOptions: Sendable {
    package var timing: Timing
    package var nodes: Int
    package var maximumVoters = 5
    /// Node numbers (from 0) that hold volumes and so have a client.
    package var clientNodes: [Int]
    /// Period of a client's requests, in nanoseconds.
    package var clientPeriod: Int64 = 20_000_000
    /// Some tenures leave some volumes out, whose stores failed.
    package var leavesOut = false

    package init(timing: Timing, nodes: Int, clientNodes: [Int]) {
        self.timing = timing
        self.nodes = nodes
        self.clientNodes = clientNodes
    }
}

/// Several machines, their network and their shared store, at one true time; all of it decided by one seed.
package final class World {
    let options: WorldOptions
    package private(set) var now: TrueTime = 0
    var random: Generator
    var nodes: [SimNode] = []
    var clients: [SimClient] = []
    var network: Network
    var store = SimStore()
    package var trace = Trace()
    package internal(set) var drawing = Drawing()
    package internal(set) var statistics = Statistics()
    package internal(set) var violation: Violation?
    let oracles: Oracles
    var injector: Injector?
    /// Called with each report of each agent; scenarios print them.
    var onReport: ((Int, Report) -> Void)?
    var onReply: ((Int, OperatorOutcome) -> Void)?
    private var queue = EventQueue<Occurrence>()
    private var lives = 0
    private var loadWindow: TrueTime = 0
    private var loadCount = 0
    private var packetLoad = 0
    private var wakeLoad = 0
    private var streamLoad = 0

    package init(options: WorldOptions, seed: UInt64) {
        self.options = options
        random = Generator(seed: seed)
        network = Network(count: options.nodes)
        oracles = Oracles(nodes: options.nodes, timing: options.timing)
        for index in 0..<options.nodes {
            let clock = NodeClock(offset: 1_000_000_000, origin: 0, rate: 0)
            let kernel = Bits128(high: random.next(), low: UInt64(index))
            nodes.append(
                SimNode(
                    index: index, clock: clock, kernelBootID: kernel,
                    hasVolumes: options.clientNodes.contains(index)))
        }
        for node in nodes { node.peers = nodes.filter { $0.index != node.index }.map(\.address) }
        for node in options.clientNodes {
            let uuid = Bits128(high: random.next(), low: random.next())
            clients.append(SimClient(index: clients.count, node: node, life: nextLife(), uuid: uuid))
        }
        for client in clients { client.isAlive = false }
    }

    func nextLife() -> Int {
        lives += 1
        return lives
    }

    /// True with that many parts in a thousand.
    func chance(_ perMille: Int) -> Bool { random.next(below: 1000) < perMille }

    func schedule(_ occurrence: Occurrence, after delay: Int64) {
        queue.insert(occurrence, at: now + max(0, delay))
    }

    func schedule(_ occurrence: Occurrence, at time: TrueTime) {
        guard time < never else { return }
        queue.insert(occurrence, at: max(now, time))
    }

    /// Lets the world go on until `end`, or until an oracle objects.
    package func run(until end: TrueTime) {
        while violation == nil, queue.nextTime <= end, let (time, occurrence) = queue.pop() {
            now = time
            statistics[.events] += 1
            trace.mix(UInt64(bitPattern: time))
            perform(occurrence)
            watchLoad()
        }
        if violation == nil { now = max(now, end) }
    }

    /// A storm is a defect too: more events in one second than any healthy group needs (invariant 24).
    private func watchLoad() {
        if now >= loadWindow {
            loadWindow = now + 1_000_000_000
            loadCount = 0
            (packetLoad, wakeLoad, streamLoad) = (0, 0, 0)
        }
        loadCount += 1
        let limit = 20_000 * nodes.count
        if loadCount > limit {
            fail(
                24,
                "more than \(limit) events within one second: \(packetLoad) packets, \(wakeLoad) wakes, "
                    + "\(streamLoad) on streams")
        }
    }

    func fail(_ rule: Int, _ text: @autoclosure () -> String) {
        guard violation == nil else { return }
        let what = text()
        violation = Violation(rule: rule, time: now, text: what)
        trace.line(now, "VIOLATION of \(rule): \(what)")
    }

    private func perform(_ occurrence: Occurrence) {
        switch occurrence {
        case .packet(let to, let packet):
            packetLoad += 1
            receive(packet, at: to)
        case .wake(let node, let life):
            wakeLoad += 1
            wake(node, life)
        case .written(let node, let life): finishWrite(node, life)
        case .agentInput(let node, let life, let event):
            if let agent = nodes[node].agent, agent.life == life { give(agent, on: node, event) }
        case .serverInput(let node, let life, let input):
            if let server = nodes[node].server, server.life == life { give(server, on: node, input) }
        case .serverDies(let node, let life):
            if let server = nodes[node].server, server.life == life { serverDies(server, on: node) }
        case .serverReaped(let node, let agentLife): serverReaped(node, agentLife)
        case .clientInput(let client, let life, let input): give(clients[client], life: life, input)
        case .clientConnects(let client, let life): clientConnects(client, life)
        case .startAgent(let node): startAgent(node)
        case .startClient(let client): startClient(client)
        case .resume(let target, let life): resume(target, life: life)
        case .stream(let from, let to, let item):
            streamLoad += 1
            deliver(from: from, to: to, item)
        case .heal(let cut):
            network.apply(cut, by: -1)
            releaseJammed()
            trace.line(now, "links healed: \(describe(cut))")
        case .switchOn(let node): startHost(node)
        case .restartStopped(let node):
            nodes[node].isStopped = false
            startAgent(node)
        case .found(let node): found(node)
        case .inject: injector?.inject(into: self)
        case .crash(.agent(let node)):
            crashAgent(node)
            schedule(.startAgent(node: node), after: 100_000_000)
        case .crash(.server(let node)): crashServer(node)
        case .crash(.client(let client)): killClient(client)
        case .cut(let cut, let length): self.cut(cut, for: length)
        case .injectMore: injector?.inject(into: self, follows: true)
        case .endServer: injector?.endServer(in: self)
        case .work(let node): serverWork(node)
        }
    }

    func describe(_ cut: Cut) -> String {
        cut.links.prefix(12).map { "\($0.from + 1)>\($0.to + 1)" }.joined(separator: " ") + (cut.jams ? " (jam)" : "")
    }
}

/// An oracle's objection.
package struct Violation: Equatable, Sendable {
    /// The number of the invariant in docs/protocol.md §8; 100 + n for the liveness property Ln.
    package var rule: Int
    package var time: TrueTime
    package var text: String

    package init(rule: Int, time: TrueTime, text: String) {
        self.rule = rule
        self.time = time
        self.text = text
    }

    package var name: String { rule > 100 ? "L\(rule - 100)" : "I\(rule)" }
}
