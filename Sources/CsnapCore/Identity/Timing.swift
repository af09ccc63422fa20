/// All timers of the protocol (docs/protocol.md §7). Injected, so that a simulator may use others.
package struct Timing: Equatable, Sendable {
    /// How long a voter's promise to a holder lasts, from the voter's own clock.
    package var promise: Interval
    /// Period of Renew and ClientLease.
    package var renew: Interval
    /// Period of resending while an answer is missing.
    package var retry: Interval
    /// The gate closes this long after the lease's base instant.
    package var soft: Interval
    /// The epoch is dead for its holder, and a client suspends, this long after the lease's base instant.
    package var hard: Interval
    /// Bound on killing the server's process group.
    package var kill: Interval
    /// Distance of two ranks among the candidates.
    package var rankStep: Interval
    /// Bound of the random part of a candidate's wait.
    package var jitter: Interval
    /// How long a silent node is waited for in a recovery.
    package var patience: Interval
    /// How long a candidate waits for pre-grants and grants.
    package var voteTimeout: Interval
    /// How long a Ready node may take to reconnect its clients.
    package var reconnect: Interval
    /// Period of announcing to one unreachable or configured address.
    package var rejoin: Interval
    /// Period of anti-entropy.
    package var antiEntropy: Interval
    /// A learner is stable when it was alive without a break for this long.
    package var stable: Interval
    /// A voter unreachable for this long is replaced.
    package var replaceAfter: Interval
    /// Period of the failure detector.
    package var probe: Interval
    /// Shortest and longest suspicion.
    package var suspicionMinimum: Interval
    package var suspicionMaximum: Interval
    /// Bound ρ of the clocks' rate error, in parts per thousand.
    package var driftPerMille: Int64

    /// hard·(1+ρ)/(1−ρ): after this long of our clock a lease of `hard` has ended on every other clock.
    package var hardWithDrift: Interval {
        Interval(nanoseconds: hard.nanoseconds * (1000 + driftPerMille) / (1000 - driftPerMille) + 1)
    }

    /// Stands for the timers on which others rely: two agents whose digests differ must not obey each other, since
    /// a lease here might outlive a promise there.
    package var digest: UInt64 {
        let shared = [promise.nanoseconds, hard.nanoseconds, kill.nanoseconds, driftPerMille]
        return shared.reduce(0xcbf2_9ce4_8422_2325) { hash, word in
            (0..<8).reduce(hash) { ($0 ^ (UInt64(bitPattern: word) >> (8 * $1) & 0xff)) &* 0x0000_0100_0000_01b3 }
        }
    }

    /// The profile for an ordinary local network.
    package static let lan = Timing(
        promise: .milliseconds(2000), renew: .milliseconds(250), retry: .milliseconds(50),
        soft: .milliseconds(1300), hard: .milliseconds(1600), kill: .milliseconds(250),
        rankStep: .milliseconds(60), jitter: .milliseconds(20), patience: .milliseconds(500),
        voteTimeout: .milliseconds(100), reconnect: .seconds(5), rejoin: .seconds(3),
        antiEntropy: .seconds(10), stable: .seconds(10), replaceAfter: .seconds(300),
        probe: .milliseconds(500), suspicionMinimum: .seconds(1), suspicionMaximum: .seconds(6), driftPerMille: 10)

    /// The profile for a quiet network and an agent with real-time scheduling and locked memory.
    package static let fast = Timing(
        promise: .milliseconds(400), renew: .milliseconds(50), retry: .milliseconds(10),
        soft: .milliseconds(230), hard: .milliseconds(300), kill: .milliseconds(80),
        rankStep: .milliseconds(25), jitter: .milliseconds(5), patience: .milliseconds(150),
        voteTimeout: .milliseconds(40), reconnect: .seconds(2), rejoin: .seconds(1),
        antiEntropy: .seconds(10), stable: .seconds(2), replaceAfter: .seconds(300),
        probe: .milliseconds(100), suspicionMinimum: .milliseconds(300),
        suspicionMaximum: .milliseconds(1800), driftPerMille: 10)

    /// The profile for sites far apart.
    package static let wan = Timing(
        promise: .seconds(10), renew: .milliseconds(1000), retry: .milliseconds(200),
        soft: .milliseconds(6500), hard: .milliseconds(8500), kill: .seconds(1),
        rankStep: .milliseconds(300), jitter: .milliseconds(100), patience: .seconds(2),
        voteTimeout: .milliseconds(800), reconnect: .seconds(15), rejoin: .seconds(10),
        antiEntropy: .seconds(30), stable: .seconds(60), replaceAfter: .seconds(300),
        probe: .seconds(1), suspicionMinimum: .seconds(4), suspicionMaximum: .seconds(24), driftPerMille: 10)

    /// The first constraint of §7 that these timers break, named for a person; nil when they are possible.
    package var violation: String? {
        if hardWithDrift + kill > promise { return "hard·(1+ρ)/(1−ρ) + kill must not exceed promise" }
        if soft >= hard { return "soft must be shorter than hard" }
        if renew * 4 > soft { return "at least 4 renew periods must fit before soft" }
        if retry * 3 > patience { return "patience must be at least 3 retry periods" }
        return nil
    }
}
