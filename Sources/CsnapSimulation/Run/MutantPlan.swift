package import CsnapCore

/// Where to look for the damage that a missing rule does: which worlds, which faults.
package struct MutantPlan: Sendable {
    package var name: String
    package var mutant: Mutant?
    var nodes: [Int]
    var grown: Bool?
    /// Always on beside what the seed draws; nil: only what the seed draws.
    var faults: [FaultClass]
    var never: [FaultClass] = []
    package var seconds: Int64 = 20

    /// Rules that the core does not hold itself: the server's own deadline, the client's own lease.
    package static let worldRules = ["serverIgnoresDeadline", "clientIgnoresLease"]

    package static var all: [MutantPlan] {
        Mutant.allCases.map { plan(for: $0) } + worldRules.map { name in
            MutantPlan(name: name, mutant: nil, nodes: [3], grown: true, faults: [.agentPauses, .cuts, .clientPauses])
        }
    }

    private static func plan(for mutant: Mutant) -> MutantPlan {
        switch mutant {
        case .oldVotersOnlyAfterPending, .pendingVoterGrantsAlone, .commitAtNewMajorityOnly,
            .pendingConfigurationIgnored, .candidateNeedsOldMajorityOnly, .staleProposalAccepted,
            .configurationHashIgnored, .tableNotCarriedAtGrowth, .pendingInHash:
            MutantPlan(
                name: mutant.rawValue, mutant: mutant, nodes: [3, 4, 5], grown: false, faults: [.cuts, .agentCrashes],
                seconds: 30)
        case .noWaitAfterRelease, .waitOnlyIfAllReleased, .sameTreatedAsExpired, .failedReleaseTreatedAsExpired,
            .releasedForgottenAtRestart, .nextRoundDropsWait, .noWaitAtRestartInPlace, .evictWithoutLeaseWait:
            MutantPlan(
                name: mutant.rawValue, mutant: mutant, nodes: [3, 5], grown: true,
                faults: [.serverCrashes, .cuts, .operators, .agentCrashes])
        case .clientLeaseNotCapped:
            MutantPlan(
                name: mutant.rawValue, mutant: mutant, nodes: [3, 5], grown: true, faults: [.cuts, .oneWayCuts])
        default: MutantPlan(name: mutant.rawValue, mutant: mutant, nodes: [3, 3, 5], grown: nil, faults: [])
        }
    }

    /// Removes the rule from this process, for good.
    package func remove() -> Bool {
        #if CSNAP_MUTANTS
            Mutants.removed = mutant
            WorldMutants.serverIgnoresDeadline = name == "serverIgnoresDeadline"
            WorldMutants.clientIgnoresLease = name == "clientIgnoresLease"
            return true
        #else
            return false
        #endif
    }

    /// Runs one seed without the rule.
    package func run(seed: UInt64, timing: Timing, recording: Bool = false) -> SeedResult {
        var settings = RunSettings(timing: timing, nodes: nodes[Int(seed % UInt64(nodes.count))], seconds: seconds)
        settings.grown = grown
        var random = Generator(seed: seed)
        var profile = FaultProfile(random: &random, timing: timing)
        for fault in faults { profile[fault] = true }
        for fault in never { profile[fault] = false }
        settings.profile = profile
        return SeedRun(seed: seed, settings: settings, recording: recording).run()
    }
}
