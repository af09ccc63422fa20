import CsnapCore
import Testing

/// Which process a node id and a boot belong to (docs/protocol.md §1).
@Suite struct IdentityRules {
    private static let cluster = Bits128(high: 42, low: 42)

    private func grown(_ nodes: [UInt32], timing: Timing = .fast) -> AgentGroup {
        var group = AgentGroup(nodes: nodes, timing: timing)
        for node in nodes { group.start(node) }
        group.command(.found(cluster: Self.cluster), at: 1)
        _ = group.run(.seconds(60)) { $0.status(3)?.committed?.voters.contains(NodeID(3)) == true }
        return group
    }

    @Test("Hearsay of a higher boot: the next one is taken, without a vote; nothing ends for good")
    func hearsayOfHigherBoot() {
        var node = DrivenAgent(node: 3, boot: 2, voters: [1, 2, 3])
        node.meet(1)
        node.hear(.news([.member(DrivenAgent.record(3, boot: 9))]), from: 1)
        #expect(node.exits == [.newBoot])
        #expect(node.disk?.process.boot == Boot(9))
        #expect(node.disk?.mayVote == false)
    }

    @Test("No boot is taken that nobody reaches by counting") func extremeBoot() {
        var node = DrivenAgent(node: 3, boot: 2, voters: [1, 2, 3])
        node.meet(1)
        node.hear(.news([.member(DrivenAgent.record(3, boot: Limits.boot))]), from: 1)
        #expect(node.exits.isEmpty && node.status.mayVote)
    }

    /// Its file was copied with its disk and is intact; that its kernel is another one looks like a reboot.
    @Test("A clone that kept its machine id displaces nobody; a reboot is let in when its old kernel is missed")
    func cloneWithItsMachineID() {
        let nodes: [UInt32] = Array(1...10)
        var group = grown(nodes, timing: .lan)
        let bits = Bits128(high: 7, low: 7)
        var record = DrivenAgent.record(7, boot: 2)
        record.address = AgentGroup.address(99)
        let join = Join(
            nonce: 1, record: record, machineID: bits, kernelBootID: .zero, configurationVersion: 0,
            highestEpoch: Epoch(1))
        let sender = Sender(
            process: record.process, startBits: Bits128(high: 9, low: 9), cluster: Self.cluster,
            source: record.address)
        for _ in 1...30 {
            for node in nodes { group.deliver(.packet(sender, [.join(join)]), to: node) }
            _ = group.run(.seconds(1))
        }
        func known() -> MemberRecord? {
            group.status(1)?.members.first { $0.record.process.node == NodeID(7) }?.record
        }
        #expect(group.status(7)?.waits.contains { $0.kind == .idConflict } == true)
        #expect(known()?.process.boot == Boot(1))
        group.crash(7)
        _ = group.run(.seconds(10))
        group.deliver(.packet(sender, [.join(join)]), to: 1)
        _ = group.run(.milliseconds(50))
        #expect(known()?.process.boot == Boot(2))
    }

    /// Node 1, which has not heard node 2 for long; another member hears a new process there, and takes it for the old
    /// one.
    private func believingInSilentTwo() -> DrivenAgent {
        var node = DrivenAgent(node: 1, voters: [1, 2, 3])
        node.meet(2)
        node.pass(node.timing.suspicionMinimum * 3 + .milliseconds(10))
        node.meet(3)
        var heard = DrivenAgent.record(2)
        heard.incarnation = Incarnation(boot: Boot(1), refutations: 5)
        node.hear(.news([.member(heard)]), from: 3)
        #expect(node.status.members.first { $0.record.process.node == NodeID(2) }?.state == .alive)
        return node
    }

    @Test("A machine that was rebooted is let in before it is missed, and has met no namesake") func reboot() {
        var node = believingInSilentTwo()
        let elsewhere = DrivenAgent.address(9)
        let there = DrivenAgent.address(2)
        // A clone that has the configuration, too, says that it is there.
        for (address, source, isLetIn) in [
            (elsewhere, elsewhere, false), (there, elsewhere, false), (there, there, true),
        ] {
            var record = DrivenAgent.record(2, boot: 2)
            record.address = address
            let join = Join(
                nonce: 5, record: record, machineID: Bits128(high: 6, low: 2), kernelBootID: Bits128(high: 8, low: 8),
                configurationVersion: 0, highestEpoch: .none)
            let sender = Sender(
                process: record.process, startBits: Bits128(high: 9, low: 9), cluster: DrivenAgent.cluster,
                source: source)
            node.step(.packet(sender, [.join(join)]))
            let known = node.status.members.first { $0.record.process.node == NodeID(2) }?.record.process.boot
            #expect(known == (isLetIn ? Boot(2) : Boot(1)))
        }
    }

    /// It lost its file and was rebooted: its boot is the one that the group believes to be there.
    @Test("A process of the boot in use is told so when the one that was heard under it is silent")
    func bootInUse() {
        var node = believingInSilentTwo()
        let join = Join(
            nonce: 5, record: DrivenAgent.record(2), machineID: Bits128(high: 6, low: 2), kernelBootID: .zero,
            configurationVersion: 0, highestEpoch: .none)
        let sender = Sender(
            process: join.record.process, startBits: .zero, cluster: DrivenAgent.cluster,
            source: join.record.address)
        node.forgetSent()
        node.step(.packet(sender, [.join(join)]))
        #expect(node.messages(to: 2).contains(.bootTooOld(BootTooOld(nonce: 5, highest: Boot(1)))))
    }

    /// Machine 9 was set up anew as node 3 while machine 3 was cut off.
    @Test("Two machines that live under one id come to rest: one is a member, the other names the conflict")
    func twoClaimants() {
        var group = grown([1, 2, 3, 4, 5])
        group.isolated = [3]
        _ = group.run(.seconds(10))
        group.names[9] = 3
        var starts: [UInt32: Int] = [:]
        func startEnded(_ seconds: Int64) {
            for _ in 1...seconds * 10 {
                for machine: UInt32 in [3, 9] where group.status(machine) == nil {
                    starts[machine, default: 0] += 1
                    group.start(machine)
                }
                _ = group.run(.milliseconds(100))
            }
        }
        startEnded(20)
        let member = group.status(1)?.members.first { $0.record.process.node == NodeID(3) }?.record.address
        #expect(member == AgentGroup.address(9))
        group.isolated = []
        starts = [:]
        startEnded(60)
        #expect((starts[3] ?? 0) + (starts[9] ?? 0) <= 3, "\(starts)")
        starts = [:]
        startEnded(60)
        #expect(starts.isEmpty, "both live: \(starts)")
        let conflicts = [UInt32(3), 9].filter { machine in
            group.status(machine)?.waits.contains { $0.kind == .idConflict } == true
        }
        let known = group.status(1)?.members.first { $0.record.process.node == NodeID(3) }?.record.address
        #expect(!conflicts.isEmpty && known != nil, "\(conflicts)")
    }
}
