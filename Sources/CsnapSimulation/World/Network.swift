import CsnapCore

/// How datagrams fare. One value for all links, plus a matrix of cuts.
struct NetworkPolicy {
    /// Parts per thousand.
    var loss = 0
    var duplicate = 0
    var replay = 0
    /// Of the datagrams that take the way over the wire, those that are damaged there.
    var damage = 0
    /// Packets that take that way while there is damage.
    static let wired = 60
    /// Those that arrive after more than one promise.
    var stragglers = 0
    /// Nanoseconds; the delay is the minimum plus an exponentially distributed part.
    var delayMinimum: Int64 = 100_000
    var delayMean: Int64 = 50_000

    /// Each packet arrives once, and soon.
    var isFair: Bool { replay == 0 && stragglers == 0 }
}

/// The links between nodes and the datagrams recorded for replay.
struct Network {
    var policy = NetworkPolicy()
    let count: Int
    /// How many cuts lie on each directed link.
    private var cuts: [Int]
    private var jams: [Int]
    var jammed: [(from: Int, to: Int, packet: Packet)] = []
    var recorded: [(to: Int, packet: Packet)] = []
    static let recordedLimit = 128
    static let jammedLimit = 2048

    init(count: Int) {
        self.count = count
        cuts = Array(repeating: 0, count: count * count)
        jams = Array(repeating: 0, count: count * count)
    }

    func isCut(_ from: Int, _ to: Int) -> Bool { cuts[from * count + to] > 0 || jams[from * count + to] > 0 }
    func isJammed(_ from: Int, _ to: Int) -> Bool { jams[from * count + to] > 0 && cuts[from * count + to] == 0 }

    mutating func apply(_ cut: Cut, by amount: Int) {
        for link in cut.links {
            if cut.jams {
                jams[link.from * count + link.to] = max(0, jams[link.from * count + link.to] + amount)
            } else {
                cuts[link.from * count + link.to] = max(0, cuts[link.from * count + link.to] + amount)
            }
        }
    }

    mutating func healAll() {
        for index in cuts.indices {
            cuts[index] = 0
            jams[index] = 0
        }
    }

    mutating func record(_ packet: Packet, to: Int, slot: Int) {
        if recorded.count < Self.recordedLimit {
            recorded.append((to, packet))
        } else {
            recorded[slot % Self.recordedLimit] = (to, packet)
        }
    }
}

extension World {
    static func address(of index: Int, port: UInt16 = 7411) -> Address {
        .ipv4(10, 0, UInt8((index + 1) / 256), UInt8((index + 1) % 256), port: port)
    }

    static func index(of address: Address) -> Int { Int(address.bits.low & 0xffff) - 1 }

    /// Puts one datagram on its way.
    func transmit(from: Int, to address: Address, _ messages: [Message], by agent: SimAgent) {
        let to = Self.index(of: address)
        guard nodes.indices.contains(to), to != from else { return }
        var messages = messages
        if network.policy.damage > 0, chance(NetworkPolicy.wired) {
            messages = carried(messages, from: from)
            if messages.isEmpty { return }
        }
        let sender = Sender(
            process: agent.process, startBits: agent.startBits, cluster: agent.pinned, source: nodes[from].address)
        let packet = Packet(from: from, sentAt: now, sender: sender, messages: messages)
        let policy = network.policy
        let rarity = policy.isFair ? 1 : rarity(of: messages)
        if policy.replay > 0 { replay(packet, to: to, rarity) }
        if network.isCut(from, to) {
            if network.isJammed(from, to), network.jammed.count < Network.jammedLimit {
                network.jammed.append((from, to, packet))
            } else {
                statistics[.packetsCut] += 1
                statistics.add(messages, .dropped)
            }
            return
        }
        if policy.loss > 0, chance(policy.loss) {
            statistics[.packetsLost] += 1
            statistics.add(messages, .dropped)
            return
        }
        if policy.stragglers > 0, chance(policy.stragglers * rarity) {
            statistics.add(messages, .late)
            return schedule(.packet(to: to, packet), after: linkDelay() + stragglerDelay())
        }
        schedule(.packet(to: to, packet), after: linkDelay())
        if policy.duplicate > 0, chance(policy.duplicate) {
            statistics[.packetsDuplicated] += 1
            statistics.add(messages, .duplicated)
            schedule(.packet(to: to, packet), after: linkDelay() + linkDelay() * Int64(random.next(below: 20)))
        }
    }

    /// Sends an old packet again, of whatever boot; one of a rare kind comes again itself, some promises later.
    private func replay(_ packet: Packet, to: Int, _ rarity: Int) {
        network.record(packet, to: to, slot: random.next(below: Network.recordedLimit))
        if chance(network.policy.replay), !network.recorded.isEmpty {
            let old = network.recorded[random.next(below: network.recorded.count)]
            again(old.packet, to: old.to, after: linkDelay())
        }
        if rarity > 1, chance(network.policy.replay * 2) { again(packet, to: to, after: stragglerDelay()) }
    }

    private func again(_ packet: Packet, to: Int, after delay: Int64) {
        statistics[.packetsReplayed] += 1
        statistics.add(packet.messages, .replayed)
        schedule(.packet(to: to, packet), after: delay)
    }

    /// How much likelier a fault is for a packet with a message that comes once in a while than for the daily ones.
    private func rarity(of messages: [Message]) -> Int {
        for message in messages {
            switch message {
            case .ping, .ack, .pingRequest, .news, .syncDigest, .join, .preClaim, .renew, .renewAck, .clientLease,
                .clientLeaseAck:
                continue
            case .joinAck, .preGrant, .preDeny, .voteRequest, .grant, .deny, .release, .table, .tableAck, .recover,
                .transfer:
                return 4
            case .syncPage, .bootTooOld, .foreignGroup, .idConflict, .renewNak, .configPropose, .configAck,
                .configCommit, .configCommitAck, .evicted, .ready, .started, .reconnected, .resume, .resumeAck,
                .operatorRequest, .operatorReply, .voteRecover, .voteRecoverAck:
                return 12
            }
        }
        return 1
    }

    /// Longer than a promise: the packet comes when all that it speaks of is over.
    private func stragglerDelay() -> Int64 {
        let promise = options.timing.promise
        return promise.nanoseconds + random.next(below: promise * 4).nanoseconds
    }

    func linkDelay() -> Int64 {
        let policy = network.policy
        guard policy.delayMean > 0 else { return policy.delayMinimum }
        // A sum of three uniform parts has a tail long enough to reorder, and needs no logarithm.
        let mean = Interval(nanoseconds: policy.delayMean)
        var delay = policy.delayMinimum
        delay += random.next(below: mean).nanoseconds
        if random.next(below: 8) == 0 { delay += random.next(below: mean * 6).nanoseconds }
        return delay
    }

    func releaseJammed() {
        var kept: [(from: Int, to: Int, packet: Packet)] = []
        for entry in network.jammed {
            if network.isCut(entry.from, entry.to) {
                kept.append(entry)
            } else {
                schedule(.packet(to: entry.to, entry.packet), after: linkDelay())
            }
        }
        network.jammed = kept
    }

    /// Sends on a TCP connection; the world tries again while the link is cut.
    func stream(from: Int, to: Int, _ item: Stream) {
        let delay = from == to ? 30_000 : linkDelay()
        schedule(.stream(from: from, to: to, item), after: delay)
    }

    func deliver(from: Int, to: Int, _ item: Stream) {
        guard !network.isCut(from, to), !network.isCut(to, from) else {
            // Dead ends are not kept for ever: the connection's ends notice by themselves.
            if isStreamAlive(item) { schedule(.stream(from: from, to: to, item), after: 40_000_000) }
            return
        }
        switch item {
        case .toServer(let node, let life, let input):
            guard let server = nodes[node].server, server.isAlive, life == nil || server.life == life else {
                if case .hello(let client, let clientLife, _, let tenure) = input, nodes[node].isOff == false {
                    stream(from: to, to: from, .toClient(client: client, life: clientLife, .serverClosed(tenure)))
                }
                return
            }
            give(server, on: node, input)
        case .toClient(let client, let life, let input):
            give(clients[client], life: life, input)
        }
    }

    /// Whether the world goes on trying: what its sender asks again by itself is dropped instead.
    private func isStreamAlive(_ item: Stream) -> Bool {
        switch item {
        case .toServer(let node, let life, .clientClosed):
            guard let server = nodes[node].server, server.isAlive else { return false }
            return life == nil || server.life == life
        case .toServer: return false
        case .toClient(let client, let life, .serverClosed):
            return clients[client].isAlive && clients[client].life == life
        case .toClient: return false
        }
    }
}
