import CsnapCore

/// Facts about epochs: who was ever durably promised each one, and who started a server in it.
struct EpochFacts {
    /// Per epoch: each holder with the voters (one bit a node) on whose disk its promise once was.
    var promised = SortedTable<Epoch, [(holder: NodeBoot, voters: UInt64)]>()
    var starters = SortedTable<Epoch, NodeBoot>()
    var rounds = SortedTable<Epoch, Round>()

    func voters(_ epoch: Epoch, _ holder: NodeBoot) -> UInt64 {
        promised[epoch]?.first { $0.holder == holder }?.voters ?? 0
    }

    mutating func forget(_ node: Int) {
        for (epoch, holders) in promised {
            promised[epoch] = holders.map { ($0.holder, $0.voters & ~(UInt64(1) << UInt64(node))) }
        }
    }
}

extension VoterSet {
    /// Whether those nodes (one bit each, by index) are a majority of this set.
    func isMajority(_ mask: UInt64) -> Bool {
        var count = 0
        for voter in voters where mask & (1 << UInt64(voter.value - 1)) != 0 { count += 1 }
        return count >= quorum
    }
}

extension StoredState {
    /// Whether those nodes are a majority in every configuration this disk knows to count.
    func isMajority(_ mask: UInt64) -> Bool {
        guard let committed, committed.isMajority(mask) else { return false }
        return pending?.set.isMajority(mask) ?? true
    }
}

/// Invariants 1, 2, 3 and 8: epochs, promises, nonces, and voters that are mute after their start.
extension Oracles {
    func checkDurablePromise(_ world: World, node: Int, old: StoredState?, new: StoredState) {
        if let old {
            if new.process.boot < old.process.boot { world.fail(16, "node \(node + 1): boot falls on disk") }
            if new.highestEpoch < old.highestEpoch { world.fail(2, "node \(node + 1): highest epoch falls on disk") }
            checkSuccession(world, node: node, old.promise, new.promise)
        }
        guard let promise = new.promise else { return }
        if promise.released, let agent = world.nodes[node].agent {
            agent.ledger.releasedHere = max(agent.ledger.releasedHere, promise.epoch)
            if promise.holder == agent.process {
                checkRelease(world, node: node, agent, promise.epoch, promise.holder)
            }
        }
        var holders = epochs.promised[promise.epoch] ?? []
        let bit = UInt64(1) << UInt64(node)
        if let index = holders.firstIndex(where: { $0.holder == promise.holder }) {
            if holders[index].voters & bit != 0 { return }
            holders[index].voters |= bit
        } else {
            holders.append((promise.holder, bit))
        }
        epochs.promised[promise.epoch] = holders
        guard holders.count > 1, let committed = new.committed else { return }
        let winners = holders.filter { committed.isMajority($0.voters) }
        if winners.count > 1 {
            world.fail(1, "epoch \(promise.epoch.value) is promised to \(winners.count) processes by majorities")
        }
    }

    /// The promises of a node that is no voter never counted; with its disk they are gone, and should it become a voter
    /// they must not be counted then.
    func forgetPromises(of node: Int) { epochs.forget(node) }

    /// A node that lost its promises may vote again once it knows of every epoch that its lost promise helped to elect.
    func checkRestoredVote(_ world: World, node: Int, old: StoredState?, new: StoredState) {
        guard let old, !old.mayVote, new.mayVote, let committed = new.committed else { return }
        world.statistics[.restoredVotes] += 1
        world.nodes[node].lostVote = false
        world.nodes[node].lostProposal = false
        world.nodes[node].lostDisk = nil
        let known = new.highestEpoch
        let bit = UInt64(1) << UInt64(node)
        for (epoch, holders) in epochs.promised where epoch > known {
            for holder in holders where holder.voters & bit != 0 && committed.isMajority(holder.voters) {
                world.fail(
                    2,
                    "node \(node + 1) votes again without knowing of epoch \(epoch.value), "
                        + "which its lost promise elected"
                )
            }
        }
    }

    private func checkSuccession(_ world: World, node: Int, _ old: Promise?, _ new: Promise?) {
        guard let old else { return }
        guard let new else {
            return world.fail(2, "node \(node + 1): its promise of epoch \(old.epoch.value) vanishes")
        }
        if new.epoch < old.epoch {
            world.fail(2, "node \(node + 1): promise falls from \(old.epoch.value) to \(new.epoch.value)")
        } else if new.epoch == old.epoch {
            if new.holder != old.holder {
                world.fail(1, "node \(node + 1): epoch \(new.epoch.value) is promised to a second process")
            } else if old.released, !new.released {
                world.fail(2, "node \(node + 1): released epoch \(new.epoch.value) is promised again")
            }
        }
    }

    func checkVoteRequest(_ world: World, node: Int, _ agent: SimAgent, _ request: VoteRequest, at time: Instant) {
        if !agent.ledger.sendsVoteRequest(request, at: time) {
            world.fail(3, "node \(node + 1) asks for epoch \(request.epoch.value) with a second nonce")
        }
        let promise = world.nodes[node].disk?.promise
        guard let promise, promise.epoch == request.epoch, promise.holder == agent.process else {
            return world.fail(
                2, "node \(node + 1) asks for epoch \(request.epoch.value) before its own promise is durable")
        }
        checkMute(world, node: node, agent, newHolder: agent.process, at: time)
    }

    /// A request that may be granted: the configuration counts as it is known when the request arrives; a change while
    /// the grant is being written is seen by the candidate, which the pending set in some other Grant tells.
    func noteRequest(_ world: World, node: Int, _ agent: SimAgent, _ request: VoteRequest, from sender: NodeBoot) {
        let sets = [world.nodes[node].disk?.committed, agent.submitted?.committed].compactMap { $0 }
        let agrees = sets.contains { agent.core.hash(of: $0) == request.configurationHash }
        let before = agent.ledger.asked[sender]
        // An older request that comes late says nothing of the newer one.
        guard request.epoch >= before?.epoch ?? .none else { return }
        let agreed = before?.epoch == request.epoch && before?.agreed == true
        agent.ledger.asked[sender] = (request.epoch, agrees || agreed)
    }

    func checkGrant(_ world: World, node: Int, _ agent: SimAgent, _ grant: Grant, to: Int, at time: Instant) {
        guard let promise = durablePromise(world, node: node, grant.epoch, to: to, "Grant") else { return }
        checkMute(world, node: node, agent, newHolder: promise.holder, at: time)
        if let asked = agent.ledger.asked[promise.holder], asked.epoch == promise.epoch, !asked.agreed {
            world.fail(17, "node \(node + 1) grants a candidate that counts by another configuration")
        }
        if let last = agent.ledger.lastPromise, last.promise.holder != promise.holder,
            last.promise.epoch < promise.epoch, agent.ledger.releasedHere < last.promise.epoch,
            time - last.at < timing.promise
        {
            world.fail(
                9,
                "node \(node + 1) grants epoch \(promise.epoch.value) while its promise of epoch "
                    + "\(last.promise.epoch.value) runs")
        }
        agent.ledger.lastPromise = (promise, time)
    }

    func checkRenewAck(_ world: World, node: Int, _ agent: SimAgent, _ ack: RenewAck, to: Int, at time: Instant) {
        guard let promise = durablePromise(world, node: node, ack.epoch, to: to, "RenewAck") else { return }
        if promise.released {
            world.fail(2, "node \(node + 1) acknowledges a Renew of released epoch \(ack.epoch.value)")
        }
        agent.ledger.lastPromise = (promise, time)
    }

    /// The promise on that node's disk, if it is the one a message relies on.
    private func durablePromise(
        _ world: World, node: Int, _ epoch: Epoch, to: Int, _ what: String
    ) -> Promise? {
        let name = "\(what) of epoch \(epoch.value) from node \(node + 1)"
        if world.nodes[node].lostVote {
            world.fail(2, "\(name), whose state file was lost")
            return nil
        }
        guard let promise = world.nodes[node].disk?.promise, promise.epoch == epoch else {
            let stands = world.nodes[node].disk?.promise?.epoch.value ?? 0
            world.fail(2, "\(name) leaves while the disk promises epoch \(stands)")
            return nil
        }
        guard promise.holder.node.value == UInt32(to + 1) else {
            world.fail(2, "\(name) goes to node \(to + 1), promised to node \(promise.holder.node.value)")
            return nil
        }
        return promise
    }

    /// Invariant 8: nothing for a new holder within one promise of the start, unless the old promise was released.
    private func checkMute(_ world: World, node: Int, _ agent: SimAgent, newHolder: NodeBoot, at time: Instant) {
        guard time - agent.startedAt < timing.promise, let old = agent.stored?.promise, !old.released,
            old.holder != newHolder, agent.ledger.releasedHere < old.epoch
        else { return }
        if old.holder.node == world.nodes[node].id, agent.previousServerProvenDead { return }
        world.fail(8, "node \(node + 1) grants a new holder while it must be mute after its start")
    }

    func checkStart(_ world: World, node: Int, _ agent: SimAgent, _ start: StartServer) {
        let epoch = start.tenure.epoch
        if let other = epochs.starters[epoch], other != agent.process {
            world.fail(1, "epoch \(epoch.value) is started by node \(node + 1) and by node \(other.node.value)")
        }
        epochs.starters[epoch] = agent.process
        agent.ledger.begins(epoch)
        if let round = epochs.rounds[epoch], start.tenure.round <= round {
            world.fail(12, "START of \(text(start.tenure)) after round \(round.value)")
        }
        epochs.rounds[epoch] = start.tenure.round
        let voters = epochs.voters(epoch, agent.process)
        if isMajority(world, node: node, voters) { return }
        world.fail(1, "node \(node + 1) starts epoch \(epoch.value) without a durable majority of promises")
    }

    func checkTableAck(_ world: World, node: Int, _ ack: TableAck) {
        if world.nodes[node].lostVote {
            world.fail(2, "TableAck from node \(node + 1), whose state file was lost")
        }
        if let promise = world.nodes[node].disk?.promise, promise.epoch > ack.epoch {
            world.fail(2, "node \(node + 1) acknowledges a table of epoch \(ack.epoch.value) below its promise")
        }
    }

    func checkConfigAck(_ world: World, node: Int, _ ack: ConfigAck) {
        if world.nodes[node].lostVote {
            world.fail(2, "ConfigAck from node \(node + 1), whose state file was lost")
        }
        guard let disk = world.nodes[node].disk else { return world.fail(17, "ConfigAck without a state file") }
        if let promise = disk.promise, promise.epoch > ack.epoch {
            world.fail(
                17, "node \(node + 1) acknowledges a configuration of epoch \(ack.epoch.value) below its promise")
        }
        let known = disk.pending?.set.version == ack.version || (disk.committed?.version ?? 0) >= ack.version
        if !known { world.fail(17, "node \(node + 1) acknowledges version \(ack.version), which is not on its disk") }
    }
}
