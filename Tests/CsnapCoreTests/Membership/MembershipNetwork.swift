import CsnapCore

/// A small network of memberships in virtual time, with loss and cut links; one seed decides everything.
struct MembershipNetwork {
    private struct Packet {
        var at: Instant
        var from: NodeBoot
        var to: Address
        var message: Message
    }

    struct Entry: Equatable {
        var at: Instant
        var node: NodeID
        var change: MembershipChange
    }

    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    private(set) var nodes = SortedTable<NodeID, Membership>()
    /// Everything the nodes reported, in order.
    private(set) var log: [Entry] = []
    private(set) var claims: [(NodeID, Claim)] = []
    private(set) var configurations: [(NodeID, VoterSet)] = []
    /// Every message sent, for bounds and replays.
    private(set) var sent: [(from: NodeBoot, to: Address, message: Message)] = []
    private(set) var wakes = 0
    var keepsSent = false
    var lossPerMille = 0
    /// Whether a packet may pass from the first to the second.
    var passes: @Sendable (NodeID, NodeID) -> Bool = { _, _ in true }

    private let timing: Timing
    private var generator: Generator
    private var packets: [Packet] = []
    private var wakeTimes = SortedTable<NodeID, Instant>()

    init(seed: UInt64, timing: Timing = .lan) {
        generator = Generator(seed: seed)
        self.timing = timing
    }

    /// A group of that many, each joined through node 1, and time for the news to settle.
    init(members: UInt32, seed: UInt64, timing: Timing = .lan) {
        self.init(seed: seed, timing: timing)
        for node in 1...members {
            start(node)
            if node > 1 { join(node, through: 1) }
            run(.milliseconds(20))
        }
        run(timing.antiEntropy)
    }

    static func record(_ node: UInt32, boot: UInt64) -> MemberRecord {
        MemberRecord(
            process: NodeBoot(node: NodeID(node), boot: Boot(boot)), incarnation: Incarnation(boot: Boot(boot)),
            state: .alive, address: .ipv4(10, 0, UInt8(node >> 8), UInt8(node & 255), port: 7000), eligible: true,
            hasVolumes: true, localHealth: 0)
    }

    subscript(_ node: UInt32) -> Membership {
        guard let membership = nodes[NodeID(node)] else { preconditionFailure("node \(node) does not run") }
        return membership
    }

    var running: [UInt32] { nodes.keys.map(\.value) }

    mutating func start(_ node: UInt32, boot: UInt64 = 1) {
        let membership = Membership(
            own: Self.record(node, boot: boot), timing: timing, seed: generator.next(), at: now)
        nodes[NodeID(node)] = membership
        wakeTimes[NodeID(node)] = membership.nextWake
    }

    mutating func crash(_ node: UInt32) {
        nodes[NodeID(node)] = nil
        wakeTimes[NodeID(node)] = nil
    }

    /// What the agent does with Join and its answer.
    mutating func join(_ node: UInt32, through other: UInt32) {
        let joiner = self[node].own
        let memory = [self[other].own] + self[other].records
        with(other) { $0.merge(joiner, direct: true, at: $1, into: &$2) }
        with(node) { membership, now, effects in
            for record in memory.prefix(12) {
                membership.merge(record, direct: record.process.node.value == other, at: now, into: &effects)
            }
        }
    }

    /// Does something to one member and carries out what it asks for.
    mutating func with(
        _ node: UInt32, _ body: (inout Membership, Instant, inout MembershipEffects) -> Void
    ) {
        var membership = self[node]
        var effects = MembershipEffects()
        body(&membership, now, &effects)
        nodes[NodeID(node)] = membership
        wakeTimes[NodeID(node)] = membership.nextWake
        carryOut(effects, of: membership.own.process)
    }

    mutating func deliver(_ message: Message, from sender: NodeBoot, to node: UInt32) {
        with(node) { $0.receive(message, from: sender, at: $1, into: &$2) }
    }

    mutating func run(_ length: Interval) { _ = run(length) { _ in false } }

    /// Runs until the condition holds; false if it does not within that time.
    mutating func run(_ length: Interval, until done: (MembershipNetwork) -> Bool) -> Bool {
        let end = now + length
        while true {
            if done(self) { return true }
            let packet = packets.first?.at ?? .distantFuture
            let wake = max(wakeTimes.values.min() ?? .distantFuture, now)
            guard min(packet, wake) <= end else {
                now = end
                return done(self)
            }
            now = min(packet, wake)
            if packet <= wake { deliverNext() } else { wakeAll() }
        }
    }

    func changes(of node: UInt32, about other: UInt32) -> [MembershipChange] {
        log.filter { $0.node == NodeID(node) }.map(\.change).filter { $0.subject == NodeID(other) }
    }

    mutating func clearLog() {
        log = []
        sent = []
        wakes = 0
    }

    private mutating func wakeAll() {
        for (node, wake) in wakeTimes where wake <= now {
            wakes += 1
            with(node.value) { $0.advance(to: $1, into: &$2) }
            precondition(wakeTimes[node].map { $0 > now } == true, "a timer of node \(node.value) is due for ever")
        }
    }

    private mutating func deliverNext() {
        let packet = packets.removeFirst()
        let addressed = nodes.values.first { $0.own.address == packet.to }
        guard let receiver = addressed?.own.process.node else { return }
        guard passes(packet.from.node, receiver) else { return }
        deliver(packet.message, from: packet.from, to: receiver.value)
    }

    private mutating func carryOut(_ effects: MembershipEffects, of process: NodeBoot) {
        log += effects.changes.map { Entry(at: now, node: process.node, change: $0) }
        claims += effects.claims.map { (process.node, $0) }
        configurations += effects.configurations.map { (process.node, $0) }
        for send in effects.sends {
            if keepsSent { sent.append((process, send.to, send.message)) }
            if generator.next(below: 1000) < lossPerMille { continue }
            let delay = Interval.microseconds(200) + generator.next(below: .milliseconds(2))
            let packet = Packet(
                at: now + delay, from: process, to: send.to, message: send.message)
            let index = packets.lastIndex { $0.at <= packet.at }.map { $0 + 1 } ?? 0
            packets.insert(packet, at: index)
        }
    }
}

extension MembershipChange {
    var subject: NodeID? {
        switch self {
        case .joined(let record), .restarted(let record): record.process.node
        case .suspected(let process, _), .alive(let process), .unreachable(let process), .left(let process):
            process.node
        case .ownBootSurpassed: nil
        }
    }

    var isSuspicion: Bool { if case .suspected = self { true } else { false } }
}

extension MembershipNetwork {
    /// All running members hold equal records of everybody.
    var agrees: Bool {
        guard let first = nodes.values.first else { return true }
        let ids = nodes.keys + first.others.map(\.process.node)
        return nodes.values.allSatisfy { member in
            ids.allSatisfy { id in
                guard let theirs = member.record(of: id), let ours = first.record(of: id) else { return false }
                return theirs.process == ours.process && theirs.incarnation == ours.incarnation
                    && theirs.state == ours.state && theirs.eligible == ours.eligible
            }
        }
    }

    /// All running members hold all running members alive.
    var allAlive: Bool {
        nodes.values.allSatisfy { member in nodes.keys.allSatisfy { member.state(of: $0) == .alive } }
    }
}
