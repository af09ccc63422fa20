package import CsnapCore

package enum DataFault: Int, CaseIterable, Sendable {
    case serverKills, serverDeathsInWrites, nodeCrashes, clientKills, clientStops, connections, cuts
    case originErrors, storeErrors, powerCuts, strikes, fences
}

/// What one world is like. Drawn from a seed: each class of faults is off with probability one half.
package struct DataPlan: Sendable {
    package var nodes = 3
    /// Of the store, 32 KiB each; few of them are full soon.
    package var windows = 160
    package var faults: [DataFault] = []
    /// People delete snapshots when there are more.
    package var snapshots = 6
    /// At the same time.
    package var branches = 2
    /// Longest time between two faults, in milliseconds; also the other bounds.
    package var period = 800
    package var slowMessages = 20
    package var slowDisk = 60
    package var slowStore = 20
    package var slowFlush = 30
    /// Of what programs read from snapshots.
    package var slowReads = 60
    /// Longest pause of a program between two requests.
    package var pace = 15
    /// A full store gives a snapshot up that nobody asked for lately.
    package var drops = false
    /// Such a loss is followed by the server's end, and cuts a reader off.
    package var followsDrops = false
    /// The path of each node to the origin has a cache, and only that node's flush empties it.
    package var hasOwnCaches = false
    /// A barrier's deadline.
    package var patience = 200
    /// Clients that end may be away for good.
    package var staysAway = false
    /// The agents can look at the origin, and so prove that a client is gone.
    package var proves = true

    package init() {}

    package init(_ random: inout Generator) {
        nodes = 2 + random.next(below: 2)
        if random.next(below: 3) == 0 {
            windows = [36, 44][random.next(below: 2)]
            snapshots = [6, 40, 40][random.next(below: 3)]
        }
        for fault in DataFault.allCases where random.next(below: 2) == 0 { faults.append(fault) }
        period = [300, 800, 2000][random.next(below: 3)]
        slowMessages = [5, 40, 150][random.next(below: 3)]
        slowDisk = [10, 100, 700][random.next(below: 3)]
        slowStore = [5, 60][random.next(below: 2)]
        slowFlush = [5, 100, 400][random.next(below: 3)]
        patience = [60, 200, 1000][random.next(below: 3)]
        slowReads = random.next(below: 3) == 0 ? 2000 : slowDisk
        if random.next(below: 4) == 0 { pace = 100 }
        drops = random.next(below: 4) > 0
        followsDrops = random.next(below: 3) == 0
        staysAway = random.next(below: 3) == 0
        branches = random.next(below: 4)
    }

    func has(_ fault: DataFault) -> Bool { faults.contains(fault) }
}

/// A rule that the world's own shells keep, and that a mutant removes.
package enum DataRules {
    #if CSNAP_MUTANTS
        // Set once, before any world runs; then only read.
        nonisolated(unsafe) package static var looksBeforeEntering = false
    #else
        package static var looksBeforeEntering: Bool { false }
    #endif
}
