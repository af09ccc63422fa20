import CsnapCore

/// Decides what an earlier server left prepared, before anything is granted and any client is welcomed: a snapshot of
/// several volumes exists if the store that decides has it (docs/decisions/0056-several-volumes-one-decision.md).
package struct PreparedResolution: Equatable, Sendable {
    /// An order for the store of one volume; its result is handed to `answered` with the ticket.
    package struct Step: Equatable, Sendable {
        package var volume: Int
        package var ticket: UInt64
        package var order: StoreOrder
    }

    private struct Open: Equatable, Sendable {
        /// Whose store is asked.
        var asked = 0
        var volume: Int
        var uuid: Bits128
    }

    /// With the generations that the decisions leave.
    package private(set) var volumes: [SessionVolume]
    private var open = SortedTable<UInt64, Open>()
    private var lastTicket: UInt64 = 0

    package init(_ volumes: [SessionVolume]) { self.volumes = volumes }

    package var isDone: Bool { open.isEmpty }

    /// The volume whose store is waited for.
    package var waitsFor: Int? { open.first { _ in true }?.1.asked }

    /// The orders to begin with; none if nothing is prepared.
    package mutating func begin() -> [Step] {
        var steps: [Step] = []
        for volume in volumes.indices {
            for prepared in volumes[volume].prepared {
                let open = Open(volume: volume, uuid: prepared.uuid)
                if let decider = volumes.firstIndex(where: { $0.storeUUID == prepared.decider }) {
                    steps.append(step(decider, .find(name: "", uuid: prepared.uuid), open))
                } else {
                    // Nobody here can say. All writers stood still when it was prepared, and nobody has written since:
                    // as a snapshot it is right, and it can be deleted; what it would lose cannot be brought back.
                    steps.append(step(volume, .commitPrepared(uuid: prepared.uuid), open))
                }
            }
        }
        return steps
    }

    package mutating func answered(_ ticket: UInt64, _ result: StoreResult) -> [Step] {
        guard let open = open[ticket] else { return [] }
        self.open[ticket] = nil
        switch result {
        case .committed(_, let generation):
            volumes[open.volume].generation = generation
            return []
        case .done: return []
        case .outcome(.snapshot): return [step(open.volume, .commitPrepared(uuid: open.uuid), open)]
        // Presumed abort: what the deciding store does not have was never made.
        default: return [step(open.volume, .abandon(uuid: open.uuid), open)]
        }
    }

    private mutating func step(_ volume: Int, _ order: StoreOrder, _ whose: Open) -> Step {
        lastTicket += 1
        open[lastTicket] = Open(asked: volume, volume: whose.volume, uuid: whose.uuid)
        return Step(volume: volume, ticket: lastTicket, order: order)
    }
}
