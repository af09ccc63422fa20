import CsnapCore
import CsnapStoreSimulation

/// Lets the faults of a plan happen.
final class Injector {
    private unowned let world: DataWorld

    init(_ world: DataWorld) { self.world = world }

    func work() {
        world.after(world.milliseconds(world.plan.period / 4, world.plan.period)) { [self] in
            guard world.isBusy else { return }
            if !world.plan.faults.isEmpty {
                inject(world.plan.faults[world.random.next(below: world.plan.faults.count)])
            }
            work()
        }
    }

    /// All machines run, and nothing is cut.
    func heal() {
        for node in world.nodes { node.isCut = false }
        world.director.server?.originPath.unreadable = nil
    }

    private func someNode() -> DataNode { world.nodes[world.random.next(below: world.nodes.count)] }

    private func inject(_ fault: DataFault) {
        let node = someNode()
        let server = world.director.server
        world.note(60, UInt64(fault.rawValue), UInt64(node.index), "fault \(fault), node \(node.id.value)")
        switch fault {
        case .serverKills: server?.die(isAbrupt: false)
        case .serverDeathsInWrites: server?.storePath.writesLeft = world.random.next(below: 8)
        case .nodeCrashes: node.crash(reboot: world.milliseconds(100, 3000))
        case .clientKills: node.killClient()
        case .clientStops: node.stopClient()
        case .connections:
            node.client?.breakConnection(isHalfOpen: world.chance(1, in: 3), stillArrives: world.chance(1, in: 3))
        case .cuts: cut(node)
        case .originErrors: spoilOrigin(server)
        case .storeErrors: server?.storePath.failure = world.chance(1, in: 2) ? 5 : 28
        case .powerCuts: powerCut()
        case .strikes: world.director.strike(node, isFenced: false)
        case .fences: world.director.strike(node, isFenced: true)
        }
    }

    /// A snapshot was dropped, perhaps under a read: the server ends, and a reader does not hear of it.
    func follow(_ server: ServerShell) {
        let readers = world.ledger.readers
        let reader = world.nodes.first { $0 !== server.node && readers.contains($0.id) }
        if let reader { cut(reader) }
        world.after(world.milliseconds(0, 3)) { server.die(isAbrupt: false) }
    }

    private func cut(_ node: DataNode) {
        guard !node.isCut else { return }
        node.isCut = true
        node.cutSince = world.now
        node.client?.breakConnection(isHalfOpen: true, isSilent: world.chance(1, in: 2))
        if world.director.server?.node === node { world.director.server?.die(isAbrupt: true) }
        world.after(world.milliseconds(50, 2000)) { node.isCut = false }
    }

    private func spoilOrigin(_ server: ServerShell?) {
        guard let server else { return }
        let first = UInt64(world.random.next(below: DataWorld.chunks) * DataWorld.chunkSize)
        server.originPath.unreadable = first..<first + UInt64(DataWorld.chunkSize)
        world.after(world.milliseconds(20, 400)) { server.originPath.unreadable = nil }
    }

    /// Everything loses its power at once; the disks lose what was not flushed.
    private func powerCut() {
        world.statistics[.powerCuts] += 1
        for node in world.nodes { node.crash(reboot: world.milliseconds(100, 600)) }
        for node in world.nodes { node.fence() }
        world.probes.forget()
        world.origin.losePower(&world.random)
        world.store.losePower(&world.random)
    }
}
