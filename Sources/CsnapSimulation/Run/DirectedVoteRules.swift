import CsnapCore

/// Rules about votes and boots whose removal the world hardly ever punishes: tried on one agent, whose peers answer by
/// the book.
enum DirectedVoteRules {
    static func violation(of mutant: String, timing: Timing) -> String? {
        switch Mutant(rawValue: mutant) {
        case .pendingVoterForgets: forgottenPendingVoter(timing)
        case .voteRecoveredAtOnce: questionsAtOnce(timing)
        case .lateGrantCounted: lateGrant(timing)
        case .lostVoterKept: lostVoter(timing)
        case .hearsayEndsBoot: hearsay(timing)
        case .tableNotRenewed: restartedVoter(timing)
        default: nil
        }
    }

    /// A node without a file hears, in the answer to its first Join, of a pending set that names it (§1).
    private static func forgottenPendingVoter(_ timing: Timing) -> String? {
        var lone = LoneAgent(node: 3, voters: nil, timing: timing)
        lone.run(for: .milliseconds(10))
        lone.answerJoin(committed: [1], pending: [1, 2, 3])
        return lone.agent.status(at: lone.now).mayVote
            ? "a node votes without its file, though a pending set named it before" : nil
    }

    /// A node that lost its vote asks while Grants and acknowledgements of its former life may still count (§5a).
    private static func questionsAtOnce(_ timing: Timing) -> String? {
        var lone = LoneAgent(node: 3, voters: [1, 2, 3], timing: timing) { $0.mayVote = false }
        lone.run(for: .milliseconds(10))
        lone.answerJoin(committed: [1, 2, 3], pending: nil)
        lone.run(for: timing.promise / 2)
        return lone.questions > 0 ? "a lost vote is asked for before one promise has passed" : nil
    }

    /// A candidate sleeps through its time-out and then finds a Grant in its queue (§5.4).
    private static func lateGrant(_ timing: Timing) -> String? {
        var lone = LoneAgent(node: 1, voters: [1, 2, 3], timing: timing)
        lone.answers = [2]
        lone.holdsGrants = true
        for _ in 0..<10_000 where lone.heldGrants.isEmpty { lone.run(for: .milliseconds(1)) }
        lone.now = lone.now + timing.promise
        for grant in lone.heldGrants { lone.hear([grant], from: 2) }
        return lone.elections > 0 ? "a Grant elects after the end of its try" : nil
    }

    /// A voter that is gone for `replaceAfter`, with a stable learner at hand (§5a).
    private static func lostVoter(_ profile: Timing) -> String? {
        var timing = profile
        timing.stable = .seconds(1)
        timing.replaceAfter = .seconds(5)
        var lone = LoneAgent(node: 1, voters: [1, 2, 3], timing: timing)
        lone.answers = [2, 4]
        lone.run(for: .seconds(30))
        return lone.proposed == [1, 2, 4].map { NodeID($0) } ? nil : "a lost voter is not replaced"
    }

    /// A voter that acknowledged the table starts again; its file may be an old copy (§6).
    private static func restartedVoter(_ timing: Timing) -> String? {
        var lone = LoneAgent(node: 1, voters: [1, 2, 3], timing: timing)
        lone.answers = [2, 3]
        lone.run(for: .seconds(10))
        let before = lone.tables
        guard before > 0 else { return "nobody serves" }
        lone.meet(2, boot: 2)
        return lone.tables == before ? "a voter that starts again is not sent the table" : nil
    }

    /// While an admitted boot holds a client lease, gossip tells that it left: an earlier process of that boot, of
    /// before its state file was lost (§6).
    private static func hearsay(_ timing: Timing) -> String? {
        var lone = LoneAgent(node: 1, voters: [1], timing: timing)
        lone.answers = [2, 3]
        lone.run(for: .seconds(10))
        guard let tenure = lone.tenure else { return "nobody serves" }
        for suspended in [true, false] {
            lone.hear([.clientLease(ClientLease(nonce: 1, tenure: tenure, clients: 1, suspended: suspended))], from: 2)
            lone.run(for: .milliseconds(10))
        }
        var earlier = LoneAgent.record(2)
        earlier.state = .left
        lone.hear([.news([.member(earlier)])], from: 3)
        lone.run(for: .milliseconds(10))
        return lone.strikes > 0 ? "a boot is struck at once because gossip says that it left" : nil
    }
}

/// An agent whose disk and server are perfect, and whose peers in `answers` say yes to everything.
private struct LoneAgent {
    private(set) var agent: Agent
    var now = Instant(nanoseconds: 1_000_000_000)
    var answers: [UInt32] = []
    var holdsGrants = false
    private(set) var heldGrants: [Message] = []
    private(set) var questions = 0
    private(set) var elections = 0
    private(set) var strikes = 0
    private(set) var tables = 0
    private(set) var tenure: Tenure?
    private(set) var proposed: [NodeID] = []
    private var joinNonce: UInt64 = 0
    private let cluster = Bits128(high: 1, low: 1)

    init(node: UInt32, voters: [UInt32]?, timing: Timing, change: (inout StoredState) -> Void = { _ in }) {
        let process = NodeBoot(node: NodeID(node), boot: Boot(voters == nil ? 1 : 2))
        let bits = Bits128(high: 3, low: UInt64(node))
        var stored: StoredState?
        if let voters {
            var state = StoredState(process: process, machineID: bits, kernelBootID: bits, startBits: bits)
            state.cluster = cluster
            state.committed = VoterSet(version: 2, voters: voters.map { NodeID($0) })
            change(&state)
            stored = state
        }
        agent = Agent(
            settings: AgentSettings(
                process: process, startBits: bits, machineID: bits, kernelBootID: bits, address: Self.address(node),
                peers: (1...4).filter { $0 != node }.map(Self.address), serves: true, hasVolumes: false,
                timing: timing, maximumVoters: 3, seed: 1, livingClients: [], previousServerProvenDead: false),
            stored: stored, at: now)
        for peer: UInt32 in 1...4 where peer != node { meet(peer) }
        step(.server(.inert))
    }

    private static func address(_ node: UInt32) -> Address { .ipv4(127, 0, 0, UInt8(node), port: 7411) }

    static func record(_ node: UInt32, boot: UInt64 = 1) -> MemberRecord {
        MemberRecord(
            process: NodeBoot(node: NodeID(node), boot: Boot(boot)), incarnation: Incarnation(boot: Boot(boot)),
            state: .alive, address: address(node), eligible: true, hasVolumes: false, localHealth: 0)
    }

    mutating func meet(_ node: UInt32, boot: UInt64 = 1) {
        let bits = Bits128(high: 4, low: UInt64(node))
        let join = Join(
            nonce: 1, record: Self.record(node, boot: boot), machineID: bits, kernelBootID: bits,
            configurationVersion: 2, highestEpoch: Epoch(boot - 1))
        hear([.join(join)], from: node, boot: boot)
    }

    mutating func hear(_ messages: [Message], from node: UInt32, boot: UInt64 = 1) {
        let sender = Sender(
            process: NodeBoot(node: NodeID(node), boot: Boot(boot)), startBits: Bits128(high: boot, low: UInt64(node)),
            cluster: cluster, source: Self.address(node))
        step(.packet(sender, messages))
    }

    mutating func answerJoin(committed: [UInt32], pending: [UInt32]?) {
        let set = pending.map { VoterSet(version: 3, voters: $0.map { NodeID($0) }) }
        hear(
            [
                .joinAck(
                    JoinAck(
                        nonce: joinNonce, cluster: cluster, records: [Self.record(1)], claim: nil,
                        configuration: VoterSet(version: 2, voters: committed.map { NodeID($0) }),
                        pending: set.map { PendingVoterSet(epoch: Epoch(1), set: $0) }, highestEpoch: .none))
            ], from: 1)
    }

    mutating func run(for interval: Interval) {
        let end = now + interval
        while now < end {
            now = min(end, max(now + .milliseconds(1), agent.nextWake))
            step(.wake)
        }
    }

    private mutating func step(_ event: Event) {
        for action in agent.step(event, at: now) {
            switch action {
            case .persist(_, let token): step(.persisted(token: token))
            case .toServer(.start(let start)):
                tenure = start.tenure
                step(.server(.started(start.tenure, port: 7412)))
            case .toServer(.strike): strikes += 1
            case .report(.elected): elections += 1
            case .send(let address, let messages):
                let peer = UInt32(address.bits.low & 0xff)
                let replies = messages.compactMap { reply(to: $0) }
                if answers.contains(peer), !replies.isEmpty { hear(replies, from: peer) }
            default: break
            }
        }
    }

    private mutating func reply(to message: Message) -> Message? {
        switch message {
        case .join(let join): joinNonce = join.nonce
        case .voteRecover: questions += 1
        case .preClaim(let ask): return .preGrant(PreGrant(epoch: ask.epoch, nonce: ask.nonce))
        case .voteRequest(let ask):
            guard let committed = agent.status(at: now).committed else { return nil }
            let grant = Message.grant(
                Grant(
                    epoch: ask.epoch, nonce: ask.nonce, promiseWas: .none, sinceRelease: .zero, admissions: [],
                    committed: committed, pending: nil))
            if !holdsGrants { return grant }
            heldGrants = [grant]
        case .renew(let renew): return .renewAck(RenewAck(epoch: renew.epoch, nonce: renew.nonce))
        case .table(let table):
            tables += 1
            return .tableAck(TableAck(epoch: table.epoch, sequence: table.sequence))
        case .ping(let ping):
            return .ack(
                Ack(
                    sequence: ping.sequence, target: ping.target, incarnation: Incarnation(boot: Boot(1)),
                    localHealth: 0, echo: ping.sentAt, gossip: []))
        case .configPropose(let propose): proposed = propose.proposed.voters
        default: break
        }
        return nil
    }
}
