import CsnapCore
import Testing

/// What the failure detector costs, and how fast it is.
@Suite struct MembershipCostTests {
    /// Of a datagram that holds this message alone.
    private func bytes(_ message: Message) -> Int {
        Limits.datagram - Limits.payload + MessageCodec.encodedSize(message)
    }

    /// Invariant 24.
    @Test(arguments: [UInt32(5), 64])
    func everyMessageFitsADatagram(members: UInt32) {
        var network = MembershipNetwork(seed: 21)
        network.keepsSent = true
        for node in 1...members {
            network.start(node)
            if node > 1 { network.join(node, through: 1) }
        }
        network.run(.seconds(12))
        #expect(network.allAlive)
        for node in members / 2...members { network.crash(node) }
        network.run(.seconds(12))
        #expect(network.sent.map { bytes($0.message) }.max().map { $0 <= Limits.datagram && $0 > 200 } == true)
        #expect(network.sent.contains { if case .syncPage = $0.message { true } else { false } })
    }

    @Test func anIdleGroupIsQuiet() {
        var network = MembershipNetwork(members: 5, seed: 22)
        network.run(.seconds(10))
        network.clearLog()
        network.keepsSent = true
        network.run(.seconds(100))
        let perSecond = network.sent.reduce(0) { $0 + bytes($1.message) } / 5 / 100
        #expect(perSecond < 800, "bytes per second and node")
        #expect(perSecond > 50)
        #expect(network.wakes / 5 / 100 <= 6, "wakes per second and node")
    }

    /// Nothing waits for suspicion, but alarms should come within a few periods and the shortest suspicion.
    @Test func aCrashIsFoundWithinSeconds() {
        var worst = Interval.zero
        for seed in UInt64(30)..<50 {
            var network = MembershipNetwork(members: 5, seed: seed)
            let crash = network.now
            network.crash(5)
            let found = network.run(.seconds(10)) {
                $0.nodes.values.allSatisfy { $0.state(of: NodeID(5)) == .unreachable }
            }
            #expect(found)
            worst = max(worst, network.now - crash)
        }
        #expect(worst < .seconds(6), "the longest of 20 took \(worst.nanoseconds / 1_000_000) ms")
    }

    @Test func halvesOfALargeGroupFindEachOtherAgain() {
        var network = MembershipNetwork(members: 20, seed: 23)
        network.passes = { ($0 < NodeID(11)) == ($1 < NodeID(11)) }
        network.run(.seconds(600))
        #expect(network[1].others.filter { $0.state == .unreachable }.count == 10)
        network.passes = { _, _ in true }
        network.join(1, through: 20)
        let start = network.now
        let healed = network.run(.seconds(60)) { $0.allAlive && $0.agrees }
        #expect(healed)
        #expect(network.now - start < .seconds(30))
    }
}
