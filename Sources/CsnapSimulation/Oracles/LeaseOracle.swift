import CsnapCore

/// A lease that some process may use until that true time.
struct HeldLease {
    var node: Int
    var process: NodeBoot
    var epoch: Epoch
    var until: TrueTime
    var ledger: LeaseLedger

    /// Whether anybody could still act on it: its agent, unless that gave it up, or a server started under it.
    func isUsable(in world: World) -> Bool {
        guard until > world.now else { return false }
        if let server = world.nodes[node].server, server.isAlive, server.parent.life == ledger.life,
            server.tenure.epoch == epoch
        {
            return true
        }
        return world.nodes[node].agent?.life == ledger.life && ledger.released < epoch
    }
}

/// Invariants 4, 5, 7 and 9: leases, what is done under them, and what may be promised beside them.
extension Oracles {
    /// The latest end of a lease. A commit on its way to our own disk counts already: majorities of both sets hold it
    /// as pending, which invariant 17 checks.
    func bound(_ world: World, node: Int, _ agent: SimAgent, at time: Instant) -> Instant {
        let disk = world.nodes[node].disk
        var bound = agent.ledger.bound(disk: disk, at: time, hold: timing.hard)
        if let submitted = agent.submitted, submitted.committed?.version ?? 0 > disk?.committed?.version ?? 0 {
            bound = max(bound, agent.ledger.bound(disk: submitted, at: time, hold: timing.hard))
        }
        return bound
    }

    func checkLease(_ world: World, node: Int, _ agent: SimAgent, _ epoch: Epoch, hard: Instant) {
        let now = world.local(node)
        let bound = bound(world, node: node, agent, at: now)
        if hard > bound {
            let excess = (hard - bound).nanoseconds / 1000
            world.fail(
                7,
                "node \(node + 1): lease of epoch \(epoch.value) ends "
                    + "\(bound > .distantPast ? "\(excess) µs " : "")after what its acknowledgements allow"
            )
        }
        agent.ledger.hardGiven = max(agent.ledger.hardGiven, hard)
        let until = world.nodes[node].clock.trueTime(of: hard)
        leases.removeAll { $0.until <= world.now || $0.process == agent.process }
        if until > world.now {
            for other in leases where other.isUsable(in: world) {
                world.fail(
                    4,
                    "node \(node + 1) has a lease of epoch \(epoch.value) "
                        + "while node \(other.node + 1) has one of epoch "
                        + "\(other.epoch.value) for another \((other.until - world.now) / 1000) µs")
            }
            leases.append(
                HeldLease(node: node, process: agent.process, epoch: epoch, until: until, ledger: agent.ledger))
        }
    }

    func checkClientLeaseAck(_ world: World, node: Int, _ agent: SimAgent, _ ack: ClientLeaseAck, at time: Instant) {
        let bound = bound(world, node: node, agent, at: time)
        // The node counts from its sending, and that was before the request came.
        guard let arrived = agent.ledger.leaseRequestArrived(ack.nonce) else {
            return world.fail(7, "node \(node + 1) answers a ClientLease that never came")
        }
        if ack.remaining > .zero, arrived + ack.remaining > bound {
            world.fail(7, "node \(node + 1) promises a client node more than is left of its own lease")
        }
    }

    func checkPreemption(_ world: World, old: StoredState?, new: StoredState) {
        guard let promise = new.promise, promise != old?.promise, !promise.released, !leases.isEmpty else { return }
        var mask: UInt64 = 0
        for node in world.nodes {
            if let other = node.disk?.promise, other.epoch == promise.epoch, other.holder == promise.holder {
                mask |= 1 << UInt64(node.index)
            }
        }
        guard new.isMajority(mask) else { return }
        for lease in leases
        where lease.process != promise.holder && lease.epoch < promise.epoch && lease.isUsable(in: world) {
            world.fail(
                9,
                "epoch \(promise.epoch.value) has a majority while node \(lease.node + 1) has a lease of epoch "
                    + "\(lease.epoch.value) for another \((lease.until - world.now) / 1000) µs")
        }
    }

    /// A server accepts, writes or replies.
    func onService(_ world: World, node: Int, _ server: SimServer, _ kind: Service) {
        world.statistics[.serviceEvents] += 1
        let time = world.local(node)
        let epoch = server.tenure.epoch
        if time >= server.parent.ledger.hardGiven || server.parent.ledger.epoch != epoch {
            world.fail(5, "node \(node + 1) serves epoch \(epoch.value) after its lease")
        }
        for lease in leases where lease.epoch != epoch && lease.node != node && lease.isUsable(in: world) {
            world.fail(
                5,
                "node \(node + 1) serves epoch \(epoch.value) while node \(lease.node + 1) has the lease of epoch "
                    + "\(lease.epoch.value)")
        }
        if server.tenure < activated {
            world.fail(13, "node \(node + 1) serves \(text(server.tenure)) after \(text(activated)) became active")
        }
        if kind == .reply { checkGates(world, below: server.tenure, "the first service of") }
    }
}
