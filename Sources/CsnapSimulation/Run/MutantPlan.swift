package import CsnapCore

/// Where to look for the damage that a missing rule does: which worlds, which faults.
package struct MutantPlan: Sendable {
    package var name: String
    package var mutant: Mutant?
    var nodes: [Int]
    var grown: Bool?
    /// Always on beside what the seed draws; nil: only what the seed draws.
    var faults: [FaultClass]
    /// Nothing but these, if there are any.
    var only: [FaultClass] = []
    /// Faults come in pairs, close to each other and often.
    var isPaired = false
    var longestCut: Int64?
    /// Nil: what the caller asks for.
    var timing: Timing?
    package var seconds: Int64 = 20

    /// Rules that the core does not hold itself: the server's own deadline, the client's own lease, the seal.
    package static let worldRules = ["serverIgnoresDeadline", "clientIgnoresLease", "openerIgnoresSeal"]

    package static var all: [MutantPlan] {
        Mutant.allCases.map { plan(for: $0) }
            + worldRules.map { name in
                MutantPlan(
                    name: name, mutant: nil, nodes: [3], grown: true,
                    faults: [.agentPauses, .cuts, .clientPauses, .damage])
            }
    }

    private static func plan(for mutant: Mutant) -> MutantPlan {
        var plan = MutantPlan(name: mutant.rawValue, mutant: mutant, nodes: [3, 3, 5], grown: nil, faults: [])
        switch mutant {
        case .oldVotersOnlyAfterPending, .commitAtNewMajorityOnly,
            .pendingConfigurationIgnored, .candidateNeedsOldMajorityOnly, .tableNotCarriedAtGrowth, .pendingInHash:
            plan.nodes = [3, 4, 5]
            plan.grown = false
            plan.faults = [.cuts, .agentCrashes]
            plan.seconds = 30
        case .configurationHashIgnored:
            plan.nodes = [3, 4]
            plan.grown = true
            plan.only = [.hostPauses, .voterChanges, .agentCrashes, .hostCrashes, .cuts]
            plan.seconds = 60
            plan.isPaired = true
        case .pendingVoterGrantsAlone:
            plan.nodes = [3, 4, 5]
            plan.grown = true
            plan.only = [
                .cuts, .jams, .agentPauses, .oneWayCuts, .delay, .duplicate, .voterChanges, .slowState, .hostPauses,
            ]
            plan.seconds = 40
            plan.isPaired = true
        case .staleProposalAccepted:
            plan.nodes = [4, 5]
            plan.grown = true
            plan.only = [.jams, .voterChanges]
            plan.seconds = 60
            plan.isPaired = true
        case .noWaitAtRestartInPlace, .activeOnMajorityOfReady:
            plan.nodes = [3, 5]
            plan.grown = true
            plan.only = [.serverCrashes, .cuts, .oneWayCuts]
            plan.isPaired = true
        case .waitOnlyIfAllReleased, .sameTreatedAsExpired, .failedReleaseTreatedAsExpired, .releasedForgottenAtRestart,
            .nextRoundDropsWait:
            plan.nodes = [4, 5]
            plan.grown = true
            plan.only = [.handOvers]
            plan.timing = .lan
            plan.seconds = 60
        case .noWaitAfterRelease, .evictWithoutLeaseWait:
            plan.nodes = [3, 4, 5]
            plan.grown = true
            plan.only = [.cuts, .oneWayCuts, .operators, .agentCrashes, .departures, .serverCrashes]
            plan.isPaired = true
        case .noEpochOrderInTable, .admissionLostAtRestart:
            plan.only = [.delay, .duplicate, .jams, .replay, .agentCrashes, .cuts, .operators, .slowState]
            plan.seconds = 30
        case .clientLeaseNotCapped:
            plan.nodes = [3, 5]
            plan.grown = true
            plan.faults = [.cuts, .oneWayCuts]
        case .cloneReleasesPromise:
            plan.nodes = [3]
            plan.grown = true
            plan.only = [.agentCrashes, .slowKills]
        case .admissionAfterHigherPromise:
            plan.nodes = [5]
            plan.grown = true
            plan.only = [.cuts, .slowState, .stalledState, .agentPauses, .duplicate, .operators, .delay]
            plan.isPaired = true
        case .voteRecoveredAtOnce, .lateGrantCounted, .pendingVoterForgets, .lostVoterKept, .hearsayEndsBoot,
            .tableNotRenewed:
            // Tried directly (DirectedVoteRules): the world hardly ever punishes them.
            plan.seconds = 5
        case .votesWithoutProposal, .voteRecoveredByOne:
            plan.nodes = [3, 4, 5]
            plan.only = [.lostState, .jams, .cuts, .agentPauses, .delay, .voterChanges, .agentCrashes]
            plan.seconds = 60
            plan.isPaired = true
        case .rejoinGivesUp:
            plan.only = [.cuts]
            plan.longestCut = 40_000_000_000
            plan.seconds = 60
        default: break
        }
        return plan
    }

    /// Removes the rule from this process, for good.
    package func remove() -> Bool {
        #if CSNAP_MUTANTS
            Mutants.removed = mutant
            WorldMutants.serverIgnoresDeadline = name == "serverIgnoresDeadline"
            WorldMutants.clientIgnoresLease = name == "clientIgnoresLease"
            WorldMutants.openerIgnoresSeal = name == "openerIgnoresSeal"
            return true
        #else
            return false
        #endif
    }

    /// Runs one seed without the rule.
    package func run(seed: UInt64, timing asked: Timing, recording: Bool = false) -> SeedResult {
        let timing = self.timing ?? asked
        var settings = RunSettings(timing: timing, nodes: nodes[Int(seed % UInt64(nodes.count))], seconds: seconds)
        settings.grown = grown
        var random = Generator(seed: seed)
        var profile = FaultProfile(random: &random, timing: timing)
        for fault in faults { profile[fault] = true }
        if !only.isEmpty {
            profile = FaultProfile()
            for fault in only where (fault != .delay && fault != .slowState) || random.next(below: 2) == 0 {
                profile[fault] = true
            }
        }
        if isPaired {
            profile.period = timing.promise.nanoseconds
            profile.pairing = 300
            profile.burst = 2
        }
        if let longestCut { profile.longest = longestCut }
        settings.profile = profile
        return SeedRun(seed: seed, settings: settings, recording: recording).run()
    }
}
