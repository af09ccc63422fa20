import CsnapCore
import Testing

/// The holder, its server and its way out (docs/protocol.md §5.5, §5.8, §5a, §6).
@Suite struct ServiceRules {
    /// A group of one node, founded and serving; its server is started if `starts`.
    func founder(starts: Bool = true) -> DrivenAgent {
        var node = DrivenAgent(node: 1, boot: 1)
        node.step(.server(.inert))
        node.step(.command(id: Bits128(high: 0, low: 1), .found(cluster: DrivenAgent.cluster)))
        node.pass(.milliseconds(200)) { node in
            if starts, let start = node.starts.last { node.step(.server(.started(start.tenure, port: 7412))) }
        }
        return node
    }

    private func proposed(_ node: DrivenAgent) -> [NodeID]? {
        node.sent.compactMap {
            if case .configPropose(let propose) = $0.message { propose.proposed.voters } else { nil }
        }
        .last
    }

    /// Lets time pass while those nodes acknowledge each Renew.
    private func pass(_ interval: Interval, _ node: inout DrivenAgent, acknowledging: [UInt32]) {
        node.pass(interval) { node in
            let sent = node.sent
            node.forgetSent()
            for (to, message, _) in sent {
                guard case .renew(let renew) = message, acknowledging.contains(to) else { continue }
                node.hear(.renewAck(RenewAck(epoch: renew.epoch, nonce: renew.nonce)), from: to)
            }
            for case .configPropose(let propose) in sent.map(\.message) where proposals.isEmpty {
                proposals.append(propose.proposed.voters)
            }
        }
    }

    /// What the founder proposed; a class so that a closure may note it.
    private final class Noted { var sets: [[NodeID]] = [] }
    private let noted = Noted()
    private var proposals: [[NodeID]] {
        get { noted.sets }
        nonmutating set { noted.sets = newValue }
    }

    @Test("Growth passes over a learner that acknowledges no Renew") func growthSkipsLearnersWithoutVote() {
        var node = founder()
        for other: UInt32 in [2, 3, 4] { node.meet(other) }
        pass(node.timing.stable * 2, &node, acknowledging: [3, 4])
        #expect(proposals == [[1, 3, 4].map { NodeID($0) }])
    }

    @Test("Nothing is proposed to new voters that acknowledged too long ago") func warmVoters() {
        var node = founder()
        for other: UInt32 in [2, 3] { node.meet(other) }
        // They acknowledge, but each answer takes longer than the slack.
        let slack = node.timing.promise - node.timing.hardWithDrift - node.timing.kill
        var late: [(due: Instant, to: UInt32, nonce: UInt64, epoch: Epoch)] = []
        node.pass(node.timing.stable * 2) { node in
            for (to, message, at) in node.sent {
                if case .renew(let renew) = message { late.append((at + slack * 2, to, renew.nonce, renew.epoch)) }
                if case .configPropose(let propose) = message { proposals.append(propose.proposed.voters) }
            }
            node.forgetSent()
            let now = node.now
            for answer in late where answer.due <= now {
                node.hear(.renewAck(RenewAck(epoch: answer.epoch, nonce: answer.nonce)), from: answer.to)
            }
            late.removeAll { $0.due <= now }
        }
        #expect(proposals.isEmpty)
        #expect(node.reports.contains { if case .votersChanging = $0 { true } else { false } }, "it tries")
    }

    @Test("A proposal that is committed already is not stored again") func proposalAlreadyCommitted() {
        var node = DrivenAgent(node: 3, voters: [1, 2, 3])
        node.meet(1)
        node.renew(4, of: 1)
        #expect(node.acknowledgedRenew)
        node.hear(
            .configPropose(
                ConfigPropose(
                    epoch: Epoch(4), committed: VoterSet(version: 1, voters: [NodeID(1)]),
                    proposed: VoterSet(version: 2, voters: [NodeID(1)]), admissions: [])), from: 1)
        #expect(node.disk?.pending == nil)
        #expect(!node.messages(to: 1).contains { if case .configAck = $0 { true } else { false } })
    }

    @Test("START waits while the lease is past soft, and follows when it is renewed") func startAfterSoft() {
        var node = DrivenAgent(node: 1, voters: [1, 2, 3])
        for other: UInt32 in [2, 3] { node.meet(other) }
        node.step(.server(.inert))
        elect(&node)
        #expect(node.starts.count == 1)
        // The process ends; the next is loaded only when the lease is late.
        node.step(.serverGone)
        node.pass(node.timing.soft + .milliseconds(5))
        node.step(.server(.inert))
        #expect(node.starts.count == 1, "no START past soft")
        pass(.milliseconds(20), &node, acknowledging: [2, 3])
        #expect(node.starts.count == 2)
        #expect(node.starts.last?.tenure.round == Round(2))
    }

    private func elect(_ node: inout DrivenAgent) {
        for _ in 0..<1000 where node.starts.isEmpty {
            node.pass(.milliseconds(2))
            let sent = node.messages(to: 2)
            node.forgetSent()
            for message in sent {
                switch message {
                case .preClaim(let ask): node.hear(.preGrant(PreGrant(epoch: ask.epoch, nonce: ask.nonce)), from: 2)
                case .voteRequest(let ask):
                    node.hear(
                        .grant(
                            Grant(
                                epoch: ask.epoch, nonce: ask.nonce, promiseWas: .none, sinceRelease: .zero,
                                admissions: [], committed: node.status.committed ?? VoterSet(version: 0, voters: []),
                                pending: nil)), from: 2)
                default: break
                }
            }
        }
    }

    @Test("A server that never starts is given up for another node") func startIsBounded() {
        var node = founder(starts: false)
        #expect(node.starts.count == 1)
        node.pass(node.timing.reconnect)
        #expect(node.reports.contains(.serverFailed(.storeUnreachable, volume: "")))
        #expect(node.status.waits.contains { $0.kind == .store })
        #expect(node.status.members.first?.record.eligible == false)
    }

    @Test("A store that shows a higher tenure: the same node claims above it at once") func storeTenure() {
        var node = founder(starts: false)
        node.step(.server(.failed(.storeTenure, volume: "data", epochSeen: Epoch(40))))
        node.step(.serverGone)
        node.step(.server(.inert))
        node.pass(.milliseconds(50))
        #expect(node.starts.last?.tenure.epoch == Epoch(41))
        #expect(node.reports.contains(.claiming(Epoch(41), .storeTenure)))
    }

    @Test("A store that surpasses every epoch is a failure, not a race without end") func storeTenureForEver() {
        var node = founder(starts: false)
        for epoch: UInt64 in 1...20 {
            node.step(.server(.failed(.storeTenure, volume: "data", epochSeen: Epoch(epoch * 10))))
            node.step(.serverGone)
            node.step(.server(.inert))
            node.pass(.milliseconds(50))
        }
        #expect(node.starts.count < 10)
        #expect(node.status.waits.contains { $0.kind == .store })
    }

    @Test("A store that can be taken but not be written to makes its node back off, though its servers start")
    func startedAndFailed() {
        var node = founder(starts: false)
        for _ in 1...20 {
            let starts = node.starts.count
            node.startServer()
            node.endServer(.storeIO)
            if node.starts.count == starts { node.pass(.milliseconds(100)) }
        }
        #expect(node.starts.count < 4)
        #expect(node.status.waits.contains { $0.kind == .store })
        #expect(node.status.members.first?.record.eligible == false, "another node serves")
        #expect(node.status.serverFailure == .storeIO)
    }

    @Test("A server that has served for a while is restarted in place when it fails") func singleFailures() {
        var node = founder()
        for _ in 1...5 {
            node.pass(node.timing.reconnect + .milliseconds(100))
            let starts = node.starts.count
            node.endServer(.storeIO)
            node.pass(.milliseconds(100))
            #expect(node.starts.count == starts + 1, "at once")
            #expect(node.starts.last?.tenure.epoch == Epoch(1), "in place")
            node.startServer()
        }
        #expect(!node.status.waits.contains { $0.kind == .store })
    }

    @Test("A server that was started and is killed again and again is restarted in place") func killedServers() {
        var node = founder()
        for _ in 1...10 {
            let starts = node.starts.count
            node.endServer()
            node.pass(.milliseconds(100))
            #expect(node.starts.count == starts + 1)
            node.startServer()
        }
        #expect(node.starts.last?.tenure.epoch == Epoch(1))
    }

    @Test("A server that ends while it is loaded, without a word, makes its node back off and say so")
    func endsWhileLoading() {
        var node = DrivenAgent(node: 1, voters: [1, 2, 3])
        node.step(.serverGone)
        #expect(node.status.members.first?.record.eligible == true, "once may happen")
        node.step(.serverGone)
        #expect(node.status.members.first?.record.eligible == false)
        #expect(node.status.waits.contains { $0.kind == .store })
    }

    @Test("Nodes are admitted as long as their table fits a datagram, and a fail-over with all of them completes")
    func admissionsAreBounded() throws {
        var node = founder()
        func askForTable(_ node: inout DrivenAgent) throws -> [AdmissionEntry] {
            node.forgetSent()
            node.hear(.voteRecover(VoteRecover(nonce: 7)), from: 2)
            let answer = try #require(
                node.messages(to: 2).first { if case .voteRecoverAck = $0 { true } else { false } })
            #expect(MessageCodec.encodedSize(answer) <= Limits.payload)
            guard case .voteRecoverAck(let ack) = answer else { return [] }
            return ack.admissions
        }
        func isRefused(_ node: DrivenAgent) -> Bool {
            node.reports.contains { if case .admissionRefused = $0 { true } else { false } }
        }
        var other: UInt32 = 1
        while other < 250, !isRefused(node) {
            other += 1
            node.meet(other)
            node.hear(.clientLease(ClientLease(nonce: 1, tenure: .none, clients: 1, suspended: true)), from: other)
        }
        let table = try askForTable(&node)
        #expect(isRefused(node))
        #expect(table.map(\.process.node) == (1..<other).map { NodeID($0) }, "all but the last")
        #expect(table.count >= 64)
        // A known id may always come back.
        node.meet(5, boot: 2)
        node.hear(
            .clientLease(ClientLease(nonce: 1, tenure: .none, clients: 1, suspended: true)), from: 5, boot: 2)
        #expect(try askForTable(&node).contains { $0.process == NodeBoot(node: NodeID(5), boot: Boot(2)) })
        // The next tenure, after very many.
        let disk = try #require(node.disk)
        var next = DrivenAgent(node: 1, boot: 900, voters: [1]) {
            $0 = disk
            $0.highestEpoch = Epoch(200_000_000)
        }
        next.step(.server(.inert))
        next.pass(next.timing.promise * 4) { next in
            if let start = next.starts.last { next.step(.server(.started(start.tenure, port: 7412))) }
        }
        #expect(next.status.role == .holder(.active))
        next.meet(2)
        #expect(try askForTable(&next).allSatisfy { $0.epoch > Epoch(200_000_000) })
    }

    @Test("A recovery names once whom it waits for") func waitingForIsTold() {
        var node = founder()
        node.meet(2)
        node.hear(.clientLease(ClientLease(nonce: 1, tenure: .none, clients: 1, suspended: true)), from: 2)
        #expect(node.status.admissions.contains { $0.process.node == NodeID(2) })
        node.step(.serverGone)
        node.step(.server(.inert))
        node.pass(.milliseconds(60))
        let waiting = node.reports.filter { if case .waitingFor = $0 { true } else { false } }
        let tenure = Tenure(epoch: Epoch(1), round: Round(2))
        #expect(waiting == [.waitingFor(tenure, [NodeBoot(node: NodeID(2), boot: Boot(1))])])
    }

    @Test("Nobody is declared off while it is heard") func fencedButHeard() {
        var node = founder()
        node.meet(2)
        node.hear(.clientLease(ClientLease(nonce: 1, tenure: .none, clients: 1, suspended: true)), from: 2)
        node.step(.command(id: Bits128(high: 0, low: 9), .strike(NodeID(2), fenced: true)))
        #expect(node.replies.last == .refused(.answersStill))
        node.pass(node.timing.suspicionMaximum * 3)
        node.step(.command(id: Bits128(high: 0, low: 10), .strike(NodeID(2), fenced: true)))
        #expect(node.replies.last != .refused(.answersStill))
    }

    @Test("A person hears that the state could not be stored, and it is stored later") func notStored() {
        var node = founder()
        node.diskIsQuick = false
        node.step(.command(id: Bits128(high: 0, low: 5), .disable))
        node.failWrites()
        #expect(node.replies.last == .refused(.notStored))
        node.diskIsQuick = true
        node.pass(.seconds(2))
        #expect(node.disk?.enabled == false)
    }

    @Test(
        "Hearsay of a higher boot, or that it left, ends no boot whose clients hold a lease",
        arguments: [(5 as UInt64, MemberState.alive), (5, .left), (1, .left)])
    func hearsayOfEarlierProcess(boot: UInt64, state: MemberState) {
        var node = founder()
        guard let tenure = node.starts.last?.tenure else { return #expect(Bool(false), "nobody serves") }
        node.meet(2)
        node.meet(3)
        let ask = ClientLease(nonce: 1, tenure: tenure, clients: 1, suspended: true)
        node.hear(.clientLease(ask), from: 2)
        node.hear(.clientLease(ClientLease(nonce: 2, tenure: tenure, clients: 1, suspended: false)), from: 2)
        #expect(node.messages(to: 2).contains { if case .clientLeaseAck = $0 { true } else { false } })
        let leased = node.now
        // Its state file was lost; this process is older than the one that serves now, but was numbered as high.
        var earlier = DrivenAgent.record(2, boot: boot)
        earlier.state = state
        node.hear(.news([.member(earlier)]), from: 3)
        let lease = node.timing.hardWithDrift
        node.pass(lease - .milliseconds(2)) { node in #expect(node.strikes.isEmpty) }
        node.pass(.milliseconds(20))
        #expect(node.strikes.map(\.cause) == [boot == 1 ? .left : .leasePassed])
        #expect(node.now - leased >= lease)
    }

    @Test("A higher boot that asks for its clients replaces the old one at once") func higherBootReplaces() {
        var node = founder()
        guard let tenure = node.starts.last?.tenure else { return #expect(Bool(false), "nobody serves") }
        node.meet(2)
        node.hear(.clientLease(ClientLease(nonce: 1, tenure: tenure, clients: 1, suspended: true)), from: 2)
        node.meet(2, boot: 2)
        node.hear(.clientLease(ClientLease(nonce: 1, tenure: tenure, clients: 1, suspended: true)), from: 2, boot: 2)
        #expect(node.strikes.map(\.cause) == [.left])
        #expect(node.strikes.map(\.process.boot) == [Boot(1)])
    }

    @Test("A departing node does not say that it left while a lease of its clients runs") func leavesAfterTheLastLease()
    {
        var node = DrivenAgent(node: 2, voters: [1, 2, 3])
        node.meet(1)
        node.renew(4, of: 1)
        node.step(.client(ClientID(1), .hello(client: .zero, volume: "data", processID: 7)))
        let first = Tenure(epoch: Epoch(4), round: Round(1))
        node.resume(in: first, by: 1)
        node.step(.client(ClientID(1), .suspended(first, writesInFlight: 0)))
        node.pass(.milliseconds(60))
        let asked = node.leaseRequests(to: 1).last
        node.hear(
            .clientLeaseAck(ClientLeaseAck(nonce: asked?.nonce ?? 0, tenure: first, remaining: node.timing.hard)),
            from: 1)
        let told = node.actions.compactMap { action in
            if case .toClient(_, .lease(_, let until)) = action { until } else { nil }
        }.last
        guard let told else { return #expect(Bool(false), "the client was told of a lease") }
        // The next tenure is adopted; the client process hangs and answers nothing any more.
        node.hear(.recover(Recover(tenure: Tenure(epoch: Epoch(4), round: Round(2)), setHash: 1)), from: 1)
        node.step(.command(id: Bits128(high: 0, low: 3), .stop))
        node.pass(told - node.now - .milliseconds(1))
        #expect(!hasLeft(node))
        node.pass(node.timing.promise * 3)
        #expect(hasLeft(node))
        #expect(node.busyWakes == 0)
    }

    @Test("A client goes on with the lease that the boot before told it of; who departs waits for its end")
    func leavesAfterTheLeaseOfTheBootBefore() {
        var node = DrivenAgent(node: 2, boot: 3, voters: [1, 2, 3], livingClients: ["data"])
        let started = node.now
        node.step(.client(ClientID(1), .hello(client: .zero, volume: "data", processID: 7)))
        node.step(.client(ClientID(1), .suspended(.none, writesInFlight: 0)))
        node.meet(1)
        node.renew(4, of: 1)
        let tenure = Tenure(epoch: Epoch(4), round: Round(1))
        node.resume(in: tenure, by: 1)
        node.step(.client(ClientID(1), .suspended(tenure, writesInFlight: 0)))
        #expect(node.actions.contains { if case .toClient(_, .resume(tenure)) = $0 { true } else { false } })
        // The client hangs now, its gate open as long as the earlier lease runs.
        node.step(.command(id: Bits128(high: 0, low: 3), .stop))
        node.pass(started + node.timing.hardWithDrift - node.now - .milliseconds(1))
        #expect(!hasLeft(node))
        node.pass(node.timing.promise * 3)
        #expect(hasLeft(node))
    }

    private func hasLeft(_ node: DrivenAgent) -> Bool {
        node.sent.contains { item in
            guard case .news(let items) = item.message else { return false }
            return items.contains { if case .member(let record) = $0 { record.state == .left } else { false } }
        }
    }
}
