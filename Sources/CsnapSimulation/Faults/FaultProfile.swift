package import CsnapCore

/// The classes of docs/testing.md §2. Each is off with probability one half.
package enum FaultClass: Int, CaseIterable, Sendable {
    case loss, duplicate, delay, replay, damage, cuts, oneWayCuts, jams, rates, lateTimers
    case agentCrashes, serverCrashes, clientCrashes, hostCrashes, powerCuts, lostState
    case agentPauses, serverPauses, clientPauses, hostPauses, slowKills
    case slowState, stalledState, failingState, slowClients, operators, departures, voterChanges, handOvers
}

/// Which faults a run meets, and how hard.
package struct FaultProfile: Sendable {
    package var classes: [Bool]
    /// Mean time between two injected faults, in nanoseconds.
    package var period: Int64
    /// Shortest and longest duration of a fault, as powers of two of 1 ms.
    package var longest: Int64 = 12_000_000_000

    /// How often a second fault comes with one, in parts per thousand.
    package var pairing = 250

    /// Mean time between two ends of a server that are aimed at; 0: none are.
    var endings: Int64 = 0

    /// How many more follow a fault within one lease.
    package var burst = 0

    package init() {
        classes = FaultClass.allCases.map { _ in false }
        period = 2_000_000_000
    }

    package init(random: inout Generator, timing: Timing) {
        var drawn: [Bool] = []
        for _ in FaultClass.allCases { drawn.append(random.next(below: 2) == 0) }
        classes = drawn
        let periods: [Int64] = [1, 2, 4, 8]
        period = timing.promise.nanoseconds * periods[random.next(below: periods.count)] / 2
        // In a quarter of the runs faults come in swarms: what breaks a recovery is what comes right after.
        if random.next(below: 4) == 0 {
            burst = 1 + random.next(below: 3)
            period *= 2
        }
        endings = timing.promise.nanoseconds * 6
        let kinds = Ending.allCases.map(\.fault)
        if !kinds.contains(where: { self[$0] }) { self[kinds[random.next(below: kinds.count)]] = true }
    }

    package subscript(fault: FaultClass) -> Bool {
        get { classes[fault.rawValue] }
        set { classes[fault.rawValue] = newValue }
    }

    package var names: String {
        FaultClass.allCases.filter { self[$0] }.map { "\($0)" }.joined(separator: " ")
    }
}
