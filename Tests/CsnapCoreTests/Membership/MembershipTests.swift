import CsnapCore
import Testing

/// docs/protocol.md §2, rule by rule, in small networks of virtual time.
@Suite struct MembershipTests {
    @Test(arguments: [UInt32(2), 3, 5, 20])
    func aJoinSpreadsAndIsReportedOnce(members: UInt32) {
        let network = MembershipNetwork(members: members, seed: 1)
        #expect(network.allAlive)
        #expect(network.agrees)
        for node in 1...members {
            for other in 1...members where other != node {
                let joins = network.changes(of: node, about: other).filter {
                    if case .joined = $0 { true } else { false }
                }
                #expect(joins.count == 1)
            }
        }
    }

    @Test(arguments: [UInt32(2), 3, 5, 20])
    func aCrashIsSuspectedThenUnreachableEverywhereOnce(members: UInt32) {
        var network = MembershipNetwork(members: members, seed: 2)
        network.clearLog()
        let crash = network.now
        network.crash(members)
        let dead = NodeID(members)
        let found = network.run(.seconds(15)) { $0.nodes.values.allSatisfy { $0.state(of: dead) == .unreachable } }
        #expect(found)
        network.run(.seconds(30))
        #expect(network.agrees)
        for node in network.running {
            let changes = network.changes(of: node, about: members)
            #expect(changes.last == .unreachable(NodeBoot(node: dead, boot: Boot(1))))
            #expect(changes.count <= 2)
            #expect(network[node].unreachableSince(dead).map { $0 > crash } == true)
            #expect(network[node].reachableSince(dead) == nil)
            #expect(network[node].localHealth == 0)
        }
        #expect(network.log.contains { $0.change.isSuspicion })
        #expect(network.allAlive)
    }

    @Test func withoutFaultsNobodyIsEverSuspected() {
        var network = MembershipNetwork(members: 5, seed: 3)
        network.clearLog()
        network.run(.seconds(600))
        #expect(network.log == [])
        #expect(network[1].localHealth == 0)
        #expect(network[1].roundTrip(of: NodeID(2)).map { $0 > .zero && $0 < .milliseconds(10) } == true)
    }

    @Test(arguments: [100, 200])
    func lossAloneMakesNobodyUnreachable(perMille: Int) {
        var network = MembershipNetwork(members: 5, seed: 4)
        network.clearLog()
        network.lossPerMille = perMille
        network.run(.seconds(300))
        let unreachable = network.log.filter { if case .unreachable = $0.change { true } else { false } }
        #expect(unreachable == [])
        network.lossPerMille = 0
        let healed = network.run(.seconds(60)) { $0.allAlive && $0.agrees }
        #expect(healed)
    }

    @Test(arguments: [UInt32(2), 3, 5])
    func aFalseAccusationIsRefuted(members: UInt32) {
        var network = MembershipNetwork(members: members, seed: 5)
        network.clearLog()
        let victim = network[2].own
        let message = Message.news([
            .accusation(accuser: NodeID(members == 2 ? 1 : 3), process: victim.process, incarnation: victim.incarnation)
        ])
        // With two members the accusation comes from the accuser to the accused itself.
        network.deliver(message, from: network[members == 2 ? 1 : 3].own.process, to: members == 2 ? 2 : 1)
        network.run(.seconds(10))
        #expect(network.allAlive)
        #expect(network.agrees)
        #expect(network[2].own.incarnation > victim.incarnation)
        for node in network.running where node != 2 {
            let unreachable = MembershipChange.unreachable(victim.process)
            #expect(!network.changes(of: node, about: 2).contains(unreachable))
        }
    }

    @Test(arguments: [UInt32(3), 5])
    func aLongPartitionHealsAfterOneRejoin(members: UInt32) {
        var network = MembershipNetwork(members: members, seed: 6)
        network.clearLog()
        network.passes = { ($0 == NodeID(1)) == ($1 == NodeID(1)) }
        network.run(.seconds(3600))
        for other in 2...members {
            #expect(network[1].state(of: NodeID(other)) == .unreachable)
            #expect(network[other].state(of: NodeID(1)) == .unreachable)
        }
        network.passes = { _, _ in true }
        network.join(1, through: 2)
        let healed = network.run(.seconds(60)) { $0.allAlive && $0.agrees }
        #expect(healed)
    }

    @Test func aHigherBootReplacesAllOlderEvidence() {
        var network = MembershipNetwork(members: 3, seed: 7)
        network.crash(3)
        network.run(.seconds(20))
        #expect(network[1].state(of: NodeID(3)) == .unreachable)
        network.clearLog()
        network.start(3, boot: 2)
        network.join(3, through: 2)
        network.run(.seconds(5))
        #expect(network.allAlive)
        for node in UInt32(1)...2 {
            let changes = network.changes(of: node, about: 3)
            #expect(changes.count == 1)
            if case .restarted(let record)? = changes.first {
                #expect(record.process.boot == Boot(2))
                #expect(record.state == .alive)
            } else {
                Issue.record("not reported as restarted: \(changes)")
            }
        }
    }

    @Test func aLeaveIsToldToAllAndNoSuspicionFollows() {
        var network = MembershipNetwork(members: 5, seed: 8)
        network.clearLog()
        network.with(4) { $0.leave(at: $1, into: &$2) }
        network.run(.milliseconds(300))
        network.crash(4)
        network.run(.seconds(30))
        for node in network.running {
            #expect(network.changes(of: node, about: 4) == [.left(NodeBoot(node: NodeID(4), boot: Boot(1)))])
        }
        network.clearLog()
        network.start(4, boot: 2)
        network.join(4, through: 1)
        network.run(.seconds(5))
        #expect(network.allAlive)
        for node in UInt32(1)...3 {
            if case .joined(let record)? = network.changes(of: node, about: 4).first {
                #expect(record.process.boot == Boot(2))
            } else {
                Issue.record("node \(node) did not report the member that came back as joined")
            }
        }
    }

    /// Invariant 15.
    @Test func replayedEvidenceNeverRevives() {
        var network = MembershipNetwork(members: 4, seed: 9)
        network.keepsSent = true
        network.run(.seconds(20))
        network.with(4) { membership, _, _ in membership.update(eligible: false, hasVolumes: true) }
        network.run(.seconds(20))
        let old = network.sent
        #expect(old.count > 100)
        network.keepsSent = false
        network.crash(4)
        network.run(.seconds(30))
        network.clearLog()
        // What others said while node 4 lived; the transport drops what node 4 itself said only if it was seen before.
        for (from, to, message) in old where from.node != NodeID(4) {
            for node in UInt32(1)...3 where network[node].own.address == to {
                network.deliver(message, from: from, to: node)
            }
        }
        #expect(network.log == [])
        for node in UInt32(1)...3 { #expect(network[node].state(of: NodeID(4)) == .unreachable) }
        network.run(.seconds(30))
        #expect(network.log == [])
    }

    /// Invariant 19: what was merged once changes nothing the second time.
    @Test func aRecordMergedTwiceChangesNothing() {
        var network = MembershipNetwork(members: 3, seed: 10)
        let record = MembershipNetwork.record(9, boot: 4)
        network.with(1) { $0.merge(record, direct: false, at: $1, into: &$2) }
        let before = network[1]
        network.with(1) { $0.merge(record, direct: false, at: $1, into: &$2) }
        #expect(network[1] == before)
    }

    @Test func aMemberNotHeardYetIsUnreachable() {
        var network = MembershipNetwork(members: 2, seed: 11)
        let record = MembershipNetwork.record(9, boot: 4)
        network.with(1) { $0.merge(record, direct: false, at: $1, into: &$2) }
        #expect(network[1].record(of: NodeID(9))?.state == .alive)
        #expect(network[1].state(of: NodeID(9)) == .unreachable)
        network.with(1) { $0.heard(from: record.process, at: $1, into: &$2) }
        #expect(network[1].state(of: NodeID(9)) == .alive)
        #expect(network.changes(of: 1, about: 9).last == .alive(record.process))
    }

    @Test func ownHigherBootIsReportedOnce() {
        var network = MembershipNetwork(members: 2, seed: 12)
        network.clearLog()
        let twin = MembershipNetwork.record(1, boot: 5)
        for _ in 0..<2 { network.with(1) { $0.merge(twin, direct: false, at: $1, into: &$2) } }
        #expect(network.log.map(\.change) == [.ownBootSurpassed(Boot(5))])
    }

    @Test func flagsClaimsAndConfigurationsReachEverybodyOnce() {
        var network = MembershipNetwork(members: 5, seed: 13)
        let claim = Claim(
            tenure: Tenure(epoch: Epoch(3), round: Round(1)), phase: .active, server: network[2].own.process,
            serviceAddress: network[2].own.address, configurationVersion: 2)
        let set = VoterSet(version: 2, voters: [NodeID(1), NodeID(2), NodeID(3)])
        network.with(2) { membership, _, _ in
            membership.announce(claim: claim)
            membership.announce(configuration: set)
            membership.update(eligible: false, hasVolumes: false)
        }
        network.run(.seconds(10))
        #expect(network.claims.map(\.0).sorted() == [1, 3, 4, 5].map { NodeID($0) })
        #expect(network.configurations.map(\.0).sorted() == [1, 3, 4, 5].map { NodeID($0) })
        for node in UInt32(1)...5 { #expect(network[node].record(of: NodeID(2))?.eligible == false) }
    }

    @Test func timerLatenessCostsHealthAndBlamesNobody() {
        var network = MembershipNetwork(members: 3, seed: 14)
        network.clearLog()
        var late = network[1]
        var effects = MembershipEffects()
        late.advance(to: late.nextWake + .seconds(20), into: &effects)
        #expect(effects.changes == [])
        #expect(late.localHealth > 2)
        let wake = late.nextWake
        var punctual = network[1]
        punctual.advance(to: punctual.nextWake, into: &effects)
        #expect(punctual.localHealth == 0)
        #expect(wake - network.now > punctual.nextWake - network.now)
    }

    @Test func oneSeedGivesOneTrace() {
        func trace(_ seed: UInt64) -> MembershipNetwork {
            var network = MembershipNetwork(members: 5, seed: seed)
            network.lossPerMille = 300
            network.run(.seconds(30))
            network.crash(2)
            network.run(.seconds(30))
            return network
        }
        let first = trace(15)
        let second = trace(15)
        #expect(first.log == second.log)
        #expect(first.nodes == second.nodes)
        #expect(first.log != trace(16).log)
    }
}
