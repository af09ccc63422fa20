import CsnapCore

/// A service handed over while a client node is cut off with its lease running, and with more trouble on top: the case
/// that the wait after a release is for (docs/protocol.md §6).
struct HandOver {
    private let world: World

    init(_ world: World) { self.world = world }

    func schedule() {
        guard world.nodes.count >= 3, let holder = world.nodes.first(where: { $0.server?.state == .active })?.index
        else {
            return
        }
        let others = world.nodes.indices.filter { $0 != holder }
        let hard = world.options.timing.hard.nanoseconds
        let cutOff = others[world.random.next(below: others.count)]
        let rest = others.filter { $0 != cutOff }
        let successor = rest[world.random.next(below: rest.count)]
        let third = rest[world.random.next(below: rest.count)]
        // One voter's promise may have run out before.
        let lead = world.options.timing.promise.nanoseconds * 11 / 10
        if world.random.next(below: 2) == 0 { isolate(third, at: 0, for: lead + draw(hard / 4)) }
        isolate(cutOff, at: lead - hard / 4 - draw(hard / 4), for: hard * 2)
        let now = world.now + lead
        let agent = world.nodes[holder].agent?.life ?? 0
        switch world.random.next(below: 3) {
        case 0: world.schedule(.crash(.agent(holder)), at: now)
        default:
            let id = Bits128(high: world.random.next(), low: world.random.next())
            world.schedule(
                .agentInput(
                    node: holder, life: agent, .command(id: id, .transfer(world.nodes[successor].id))), at: now)
        }
        switch world.random.next(below: 4) {
        case 0: isolate(successor, at: lead + draw(hard / 16), for: draw(hard / 3))
        case 1: world.schedule(.crash(.agent(third)), at: now + draw(hard / 16))
        case 2: world.schedule(.crash(.server(successor)), at: now + draw(hard / 8))
        default: break
        }
    }

    private func draw(_ bound: Int64) -> Int64 { world.random.next(below: Interval(nanoseconds: bound)).nanoseconds }

    private func isolate(_ node: Int, at delay: Int64, for length: Int64) {
        var links: [(from: Int, to: Int)] = []
        for other in world.nodes.indices where other != node { links += [(node, other), (other, node)] }
        world.schedule(.cut(Cut(links: links, jams: false), length: length), after: delay)
    }
}
