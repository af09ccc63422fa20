/// The shuffled ring of members to probe: each comes up once a round (SWIM §4.3).
struct ProbeRing: Equatable, Sendable {
    private var order: [NodeID] = []
    private var position = 0

    /// Puts a new member at a random place among those still to come in this round.
    mutating func insert(_ node: NodeID, _ generator: inout Generator) {
        if order[position...].contains(node) { return }
        order.insert(node, at: position + generator.next(below: order.count - position + 1))
    }

    /// Lets `node` come up next.
    mutating func prefer(_ node: NodeID) {
        if let index = order[position...].firstIndex(of: node) { order.remove(at: index) }
        order.insert(node, at: position)
    }

    /// The next member that `wanted` accepts; a new round over `members` begins when this one is through.
    mutating func next(members: [NodeID], _ generator: inout Generator, wanted: (NodeID) -> Bool) -> NodeID? {
        if let node = advance(wanted) { return node }
        order = members
        position = 0
        for index in order.indices.reversed() {
            order.swapAt(index, generator.next(below: index + 1))
        }
        return advance(wanted)
    }

    private mutating func advance(_ wanted: (NodeID) -> Bool) -> NodeID? {
        while position < order.count {
            position += 1
            if wanted(order[position - 1]) { return order[position - 1] }
        }
        return nil
    }
}
