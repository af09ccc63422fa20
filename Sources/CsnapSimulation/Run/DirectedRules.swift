package import CsnapCore

/// Rules whose removal the simulated world hides: tried on one agent directly, by the events that would break them.
package enum DirectedRules {
    /// What the removal of the mutant's rule did to one agent; nil where the rule holds, or where there is no such
    /// trial.
    package static func violation(of mutant: String, timing: Timing) -> String? {
        mutant == Mutant.configurationHashIgnored.rawValue
            ? grantAgainstAnotherConfiguration(timing) : DirectedVoteRules.violation(of: mutant, timing: timing)
    }

    /// A voter is asked for its vote by a candidate that counts by another configuration (§5.4, invariant 17). In the
    /// world discovery teaches such a candidate before it asks.
    private static func grantAgainstAnotherConfiguration(_ timing: Timing) -> String? {
        let now = Instant(nanoseconds: 1_000_000_000)
        let cluster = Bits128(high: 1, low: 1)
        let asker = NodeBoot(node: NodeID(2), boot: Boot(1))
        var voter = voterOfThree(cluster, timing, at: now)
        let sender = Sender(
            process: asker, startBits: Bits128(high: 2, low: 2), cluster: cluster, source: address(of: asker.node))
        let record = MemberRecord(
            process: asker, incarnation: Incarnation(boot: asker.boot), state: .alive, address: address(of: asker.node),
            eligible: true, hasVolumes: true, localHealth: 0)
        let join = Join(
            nonce: 1, record: record, machineID: sender.startBits, kernelBootID: sender.startBits,
            configurationVersion: 1, highestEpoch: .none)
        _ = voter.step(.packet(sender, [.join(join)]), at: now)
        let foreign = VoterSet(version: 2, voters: [NodeID(2)])
        let request = VoteRequest(epoch: Epoch(5), nonce: 2, configurationHash: foreign.hash)
        let actions = voter.step(.packet(sender, [.voteRequest(request)]), at: now)
        let promised = actions.contains { action in
            if case .persist(let state, _) = action { state.promise?.epoch == request.epoch } else { false }
        }
        return promised ? "a voter promises an epoch to a candidate that counts by another configuration" : nil
    }

    private static func voterOfThree(_ cluster: Bits128, _ timing: Timing, at now: Instant) -> Agent {
        let process = NodeBoot(node: NodeID(1), boot: Boot(2))
        let bits = Bits128(high: 3, low: 3)
        var state = StoredState(process: process, machineID: bits, kernelBootID: bits, startBits: bits)
        state.cluster = cluster
        state.committed = VoterSet(version: 1, voters: [NodeID(1), NodeID(2), NodeID(3)])
        let settings = AgentSettings(
            process: process, startBits: bits, machineID: bits, kernelBootID: bits, address: address(of: process.node),
            peers: [], serves: true, hasVolumes: false, timing: timing, maximumVoters: 5, seed: 1, livingClients: [],
            previousServerProvenDead: false)
        return Agent(settings: settings, stored: state, at: now)
    }

    private static func address(of node: NodeID) -> Address {
        .ipv4(127, 0, 0, UInt8(truncatingIfNeeded: node.value), port: 7411)
    }
}
