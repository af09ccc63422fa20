import CsnapCore
import Testing

/// Single rules of docs/protocol.md §2, seen on one member.
@Suite struct MembershipRuleTests {
    private func process(_ node: UInt32, boot: UInt64 = 1) -> NodeBoot {
        NodeBoot(node: NodeID(node), boot: Boot(boot))
    }

    private func accusation(of victim: MemberRecord, by accuser: UInt32) -> GossipItem {
        .accusation(accuser: NodeID(accuser), process: victim.process, incarnation: victim.incarnation)
    }

    private func messages(to node: UInt32, _ effects: MembershipEffects) -> [Message] {
        effects.sends.filter { $0.to == MembershipNetwork.record(node, boot: 1).address }.map(\.message)
    }

    /// How long node 1 of five suspects a silent node 5 that so many others accuse.
    private func suspicion(confirmedBy accusers: [UInt32]) -> Interval {
        var network = MembershipNetwork(members: 5, seed: 40)
        // Nobody hears anybody from here on, so that nothing but these accusations counts.
        network.passes = { _, _ in false }
        let victim = network[5].own
        let start = network.now
        network.crash(5)
        network.deliver(.news(accusers.map { accusation(of: victim, by: $0) }), from: process(2), to: 1)
        #expect(network[1].accusers(of: NodeID(5)) == accusers.map { NodeID($0) })
        _ = network.run(.seconds(60)) { $0[1].state(of: NodeID(5)) == .unreachable }
        return network.now - start
    }

    @Test func confirmationsShortenASuspicion() {
        let alone = suspicion(confirmedBy: [2])
        let confirmed = suspicion(confirmedBy: [2, 3, 4])
        #expect(confirmed < alone)
        #expect(confirmed >= Timing.lan.suspicionMinimum)
        #expect(alone <= Timing.lan.suspicionMaximum)
    }

    @Test func anAccuserCountsOnce() {
        var network = MembershipNetwork(members: 5, seed: 41)
        let victim = network[5].own
        network.passes = { _, _ in false }
        for _ in 0..<4 { network.deliver(.news([accusation(of: victim, by: 2)]), from: process(3), to: 1) }
        #expect(network[1].accusers(of: NodeID(5)) == [NodeID(2)])
    }

    @Test func anyPacketOfASuspectIsAnsweredWithTheAccusation() {
        var network = MembershipNetwork(members: 3, seed: 42)
        network.passes = { _, _ in false }
        network.deliver(.news([accusation(of: network[3].own, by: 2)]), from: process(2), to: 1)
        network.run(Timing.lan.probe)
        var member = network[1]
        var effects = MembershipEffects()
        member.heard(from: process(3), at: network.now, into: &effects)
        let told = messages(to: 3, effects).contains {
            guard case .news(let items) = $0, case .member(let record)? = items.first else { return false }
            return record.process == process(3) && record.state == .suspect
        }
        #expect(told)
    }

    @Test func theAccusedRefutesAtOnceToWhoBroughtIt() {
        let network = MembershipNetwork(members: 3, seed: 43)
        var member = network[3]
        var effects = MembershipEffects()
        member.receive(.news([accusation(of: member.own, by: 2)]), from: process(1), at: network.now, into: &effects)
        #expect(member.own.incarnation == network[3].own.incarnation.next)
        #expect(messages(to: 1, effects) == [.news([.member(member.own)])])
    }

    @Test func aStaleAliveIsAnsweredWithTheAccusationAndRevivesNobody() {
        var network = MembershipNetwork(members: 3, seed: 44)
        network.crash(3)
        network.run(.seconds(20))
        var member = network[1]
        var effects = MembershipEffects()
        member.merge(MembershipNetwork.record(3, boot: 1), direct: true, at: network.now, into: &effects)
        #expect(member.state(of: NodeID(3)) == .unreachable)
        #expect(messages(to: 3, effects).count == 1)
        #expect(effects.changes == [])
    }

    @Test func anOlderBootThatSpeaksLearnsOfTheNewer() {
        let network = MembershipNetwork(members: 2, seed: 45)
        var member = network[1]
        var effects = MembershipEffects()
        let newer = MembershipNetwork.record(2, boot: 3)
        member.merge(newer, direct: true, at: network.now, into: &effects)
        effects = MembershipEffects()
        member.merge(MembershipNetwork.record(2, boot: 1), direct: true, at: network.now, into: &effects)
        #expect(messages(to: 2, effects) == [.news([.member(newer)])])
        #expect(member.record(of: NodeID(2))?.process.boot == Boot(3))
    }

    /// A node of a group at rest is woken by renewals; its prober must not wake it besides.
    @Test func theProbePeriodEndsWithAnEventThatComesAboutThen() {
        var network = MembershipNetwork(members: 3, seed: 52)
        network.run(.seconds(60))
        var member = network[1]
        var effects = MembershipEffects()
        let half = Timing.lan.probe / 2
        var lonely = 0
        for event in 1...100 {
            // Twice a period, a little early and a little late.
            let beat = network.now + half * Int64(event)
            let now = event % 3 == 0 ? beat - half / 10 : beat + half / 10
            for node in [UInt32(2), 3] { member.heard(from: process(node), at: now, into: &effects) }
            member.advance(to: now, into: &effects)
            if event > 4, member.nextWake < beat + half - half / 10 { lonely += 1 }
        }
        // The digests of anti-entropy have a time of their own.
        #expect(lonely <= 5, "\(lonely) of 96")
        #expect(!effects.sends.contains { if case .ping = $0.message { true } else { false } })
    }

    @Test func aBrokenLinkIsBridgedByRelays() {
        var network = MembershipNetwork(members: 4, seed: 46)
        network.clearLog()
        network.passes = { from, to in Set([from, to]) != Set([NodeID(1), NodeID(2)]) }
        network.run(.seconds(120))
        #expect(network.log == [])
        #expect(network.allAlive)
    }

    @Test func evidenceAgainstAMemberWeHearOurselvesOnlyAccuses() {
        var network = MembershipNetwork(members: 3, seed: 47)
        var dead = network[2].own
        dead.state = .unreachable
        network.with(1) { $0.heard(from: dead.process, at: $1, into: &$2) }
        network.clearLog()
        network.deliver(.news([.member(dead)]), from: process(3), to: 1)
        #expect(network[1].state(of: NodeID(2)) == .suspect)
        let refuted = network.run(.seconds(1)) { $0[1].state(of: NodeID(2)) == .alive }
        #expect(refuted)
        #expect(!network.log.contains { $0.change == .unreachable(dead.process) })
    }

    @Test func impossibleWordsChangeNothing() {
        let network = MembershipNetwork(members: 3, seed: 48)
        var member = network[1]
        var effects = MembershipEffects()
        let before = member.records
        var twisted = MembershipNetwork.record(2, boot: 7)
        twisted.incarnation = Incarnation(boot: Boot(9))
        let items: [GossipItem] = [
            .member(twisted), .accusation(accuser: NodeID(2), process: process(2), incarnation: Incarnation(.max)),
            .accusation(accuser: NodeID(3), process: process(77), incarnation: Incarnation(0)),
            .accusation(accuser: NodeID(3), process: process(1), incarnation: Incarnation(.max)),
        ]
        for sender in [process(2), process(99), process(1)] {
            let ping = Ping(
                sequence: .max, target: process(1), incarnation: Incarnation(.max), localHealth: 255,
                sentAt: Instant(nanoseconds: .min), gossip: items)
            let ack = Ack(
                sequence: 0, target: process(2), incarnation: Incarnation(0), localHealth: 255,
                echo: Instant(nanoseconds: .max), gossip: items)
            let request = PingRequest(
                sequence: 1, target: process(3), address: member.own.address,
                budget: Interval(nanoseconds: .max))
            let digest = SyncDigest(
                ranges: [.init(firstNode: NodeID(.max), lastNode: NodeID(0), hash: 0)], configurationHash: 1,
                claimHash: 1)
            let page = SyncPage(records: [twisted], claim: nil, configuration: nil, wantsAnswer: true)
            let all: [Message] = [
                .news(items), .ping(ping), .ack(ack), .pingRequest(request), .syncDigest(digest), .syncPage(page),
            ]
            for message in all { member.receive(message, from: sender, at: network.now, into: &effects) }
        }
        var after = member.records
        for index in after.indices { after[index].localHealth = 0 }
        #expect(after == before)
        #expect(effects.changes == [])
        #expect(member.own.incarnation == network[1].own.incarnation)
    }
}
