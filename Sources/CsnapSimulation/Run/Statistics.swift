package import CsnapCore

/// What a run is counted for; the names go into the last line of `csnap-sim run`.
package enum Count: Int, CaseIterable, Sendable {
    case failovers, secondFailures, longPauses, oneWayCuts, lostStates, barriersCut
    case activations, elections, votersChanged, evictions, commands
    case crashes, powerCuts, failedWrites, restoredVotes
    case packetsLost, packetsCut, packetsDuplicated, packetsReplayed, packetsDamaged
    case clientIOs, notServed, serviceEvents, events, busyWakes

    /// The least number in 3,000 seeds of 30 s; below it a batch has not tried what it claims to. 0: no floor.
    package var floor: Int {
        switch self {
        case .failovers: 9_000
        case .secondFailures: 1_000
        case .longPauses: 2_000
        case .oneWayCuts: 500
        case .lostStates: 1_000
        case .barriersCut: 1_000
        case .votersChanged, .evictions, .commands, .crashes, .failedWrites, .notServed: 1_000
        case .packetsLost, .packetsCut, .packetsDuplicated, .packetsReplayed: 100_000
        case .packetsDamaged: 10_000
        case .clientIOs, .serviceEvents: 1_000_000
        case .activations, .elections, .powerCuts, .restoredVotes, .events, .busyWakes: 0
        }
    }
}

/// What happens to a message on its way, apart from arriving once and soon.
package enum Fate: Int, CaseIterable, Sendable {
    case dropped, duplicated, late, replayed
}

/// Counts that show what a run has met.
package struct Statistics: Sendable {
    private var counts = [Int](repeating: 0, count: Count.allCases.count)
    /// Per fate, then per number of the message's kind.
    private var fates = [Int](repeating: 0, count: Fate.allCases.count << 8)

    package init() {}

    package subscript(count: Count) -> Int {
        get { counts[count.rawValue] }
        set { counts[count.rawValue] = newValue }
    }

    package subscript(fate: Fate, kind: MessageKind) -> Int { fates[fate.rawValue << 8 | Int(kind.rawValue)] }

    mutating func add(_ messages: [Message], _ fate: Fate) {
        for message in messages { fates[fate.rawValue << 8 | Int(message.kind.rawValue)] += 1 }
    }

    /// Adds the counts of another run.
    package mutating func add(_ other: Statistics) {
        for index in counts.indices { counts[index] += other.counts[index] }
        for index in fates.indices { fates[index] += other.fates[index] }
    }

    /// Seeds below which chance alone may miss a floor.
    package static let fewestSeeds = 100
    /// The least number of each fate of each kind of message in 3,000 seeds.
    package static let fateFloor = 100

    /// What was met too seldom in that many seeds, in words.
    package func shortfalls(seeds: Int) -> [String] {
        guard seeds >= Self.fewestSeeds else { return [] }
        var shortfalls: [String] = []
        for count in Count.allCases where self[count] < count.floor * seeds / 3_000 {
            shortfalls.append("\(count): \(self[count]) of at least \(count.floor * seeds / 3_000)")
        }
        for fate in Fate.allCases {
            // One group is all there is here: nobody answers ForeignGroup.
            for kind in MessageKind.allCases
            where kind != .foreignGroup && self[fate, kind] < Self.fateFloor * seeds / 3_000 {
                shortfalls.append("\(kind) \(fate): \(self[fate, kind]) of at least \(Self.fateFloor * seeds / 3_000)")
            }
        }
        return shortfalls
    }
}
