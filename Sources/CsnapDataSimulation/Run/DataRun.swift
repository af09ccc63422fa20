import CsnapCore
package import CsnapSession
import CsnapSimulation
package import CsnapStore

/// What one seed came to.
package struct DataResult: Sendable {
    package var seed: UInt64
    package var violation: DataViolation?
    package var statistics: DataStatistics
    package var hash: UInt64
    package var lines: [String]
    package var faults: [DataFault]
}

/// One seed: its world, some seconds of faults, then peace.
package struct DataRun: Sendable {
    package var seed: UInt64
    package var seconds: Int64
    /// Nil: drawn from the seed.
    package var plan: DataPlan?
    package var isRecording: Bool

    package init(seed: UInt64, seconds: Int64 = 10, plan: DataPlan? = nil, recording: Bool = false) {
        self.seed = seed
        self.seconds = seconds
        self.plan = plan
        isRecording = recording
    }

    package func run() -> DataResult {
        var random = Generator(seed: seed &* 0x1000_0001)
        let drawn = DataPlan(&random)
        let plan = plan ?? drawn
        let world = DataWorld(plan, seed: seed, recording: isRecording)
        world.run(seconds: seconds)
        return DataResult(
            seed: seed, violation: world.violation, statistics: world.statistics, hash: world.trace.hash,
            lines: world.trace.lines, faults: plan.faults)
    }
}

/// A rule that is removed, and where to look for the damage.
package struct DataMutantPlan: Sendable {
    package enum Rule: Sendable {
        case session(SessionMutant)
        case store(StoreMutant)
        case looksBeforeEntering
    }

    package var name: String
    var rule: Rule
    /// On in every world; the others are drawn.
    var faults: [DataFault] = []
    /// Nothing but `faults`.
    var isPure = false
    var change: @Sendable (inout DataPlan) -> Void = { _ in }

    package static var all: [DataMutantPlan] {
        SessionMutant.allCases.map { plan(for: $0) } + [
            DataMutantPlan(name: "looksBeforeEntering", rule: .looksBeforeEntering),
            DataMutantPlan(name: StoreMutant.grantBeforeFlush.rawValue, rule: .store(.grantBeforeFlush)),
            readersOfBranches("reuseUnderBranchReaders", .session(.reuseUnderReaders)),
            readersOfBranches("sweptUnderBranchReaders", .store(.sweptUnderReaders)),
        ]
    }

    /// What is overwritten in a branch is freed under those who read it: slow ones, and no snapshot is dropped.
    private static func readersOfBranches(_ name: String, _ rule: Rule) -> DataMutantPlan {
        DataMutantPlan(name: name, rule: rule, isPure: true) {
            $0.branches = 3
            $0.slowReads = 2000
            $0.drops = false
        }
    }

    private static func plan(for mutant: SessionMutant) -> DataMutantPlan {
        var plan = DataMutantPlan(name: mutant.rawValue, rule: .session(mutant))
        switch mutant {
        case .ackOfAnyAttempt:
            plan.change = {
                $0.patience = 60
                $0.slowFlush = 100
                $0.slowMessages = 150
            }
        case .lostClientCounted, .holdsEndWithConnection, .goOnAfterAck, .voidReadShown:
            plan.faults = [.connections]
            plan.change = { $0.slowDisk = 100 }
        case .lostWritersIgnored, .writerClearedAtDisconnect: plan.faults = [.nodeCrashes, .clientKills]
        case .surpassedWriterClearedAtOnce:
            plan.faults = [.nodeCrashes]
            plan.isPure = true
            plan.change = {
                $0.pace = 100
                $0.slowDisk = 700
                $0.patience = 1000
            }
        case .welcomeInBarrier, .bitmapKeptAtWelcome: plan.faults = [.connections, .serverKills]
        case .branchWriteAnsweredAtOnce, .branchWrittenBeforeActivation, .branchWriteNotSentAgain,
            .earlierSessionKept, .fullBranchWriteFailed:
            plan.writeBranches(mutant)
        case .failedCopyGranted: plan.faults = [.originErrors]
        case .fullStoreGranted: plan.change = { $0.windows = 48 }
        case .readNotCheckedAfterwards:
            plan.faults = [.cuts]
            plan.isPure = true
            plan.change = { onlyReadsAreSlow(&$0) }
        case .reuseUnderReaders, .forgottenBeforeActivation:
            plan.isPure = true
            plan.change = {
                $0.followsDrops = mutant == .forgottenBeforeActivation
                $0.windows = 48
                $0.snapshots = 40
                $0.drops = true
                $0.pace = 40
                $0.slowReads = 2000
            }
        case .strikeKeepsHolds, .strikeKeepsSessions:
            plan.faults = [.cuts, .strikes]
            plan.change = { $0.slowDisk = 700 }
        case .ackBeforeFlushed:
            plan.faults = [.powerCuts]
            plan.isPure = true
            plan.change = { $0.hasOwnCaches = true }
        case .answeredBeforeActivation: plan.faults = [.serverKills]
        case .holdsKeptAtHello: plan.faults = [.connections]
        case .lateClientHeard: plan.killGreetings()
        case .holdsKeptAtBye:
            plan.faults = [.clientStops]
            plan.isPure = true
            plan.change = {
                $0.slowReads = 2000
                $0.staysAway = true
                $0.proves = false
            }
        case .grantInBarrier, .waitingWriteNotLookedAtAgain, .welcomeBeforeRecord, .grantDespiteHold, .anybodyEndsRead,
            .ackBeforeDrained, .bitmapKeptAtEnd, .oneGrantedChunkIsEnough:
            plan.change = { $0.slowDisk = 100 }
        }
        return plan
    }

    private static func onlyReadsAreSlow(_ plan: inout DataPlan) {
        plan.period = 2000
        plan.pace = 40
        plan.slowReads = 2000
        plan.slowDisk = 10
        plan.slowFlush = 5
        plan.slowMessages = 5
        plan.patience = 1000
    }

    private mutating func killGreetings() {
        faults = [.connections, .clientKills]
        isPure = true
        change = {
            $0.period = 300
            $0.slowMessages = 400
            $0.slowReads = 2000
            $0.pace = 5
        }
    }

    private mutating func writeBranches(_ mutant: SessionMutant) {
        faults = [.connections]
        switch mutant {
        case .earlierSessionKept:
            isPure = true
            change = {
                $0.branches = 3
                $0.period = 300
                $0.slowMessages = 400
                $0.pace = 5
            }
        case .fullBranchWriteFailed:
            change = {
                $0.branches = 3
                $0.windows = 48
            }
        default:
            faults.append(.serverKills)
            change = { $0.branches = 3 }
        }
    }

    /// Removes the rule from this process, for good.
    package func remove() -> Bool {
        #if CSNAP_MUTANTS
            switch rule {
            case .session(let mutant): SessionMutants.removed = mutant
            case .store(let mutant): StoreMutants.removed = mutant
            case .looksBeforeEntering: DataRules.looksBeforeEntering = true
            }
            return true
        #else
            return false
        #endif
    }

    /// Runs one seed without the rule.
    package func run(seed: UInt64, recording: Bool = false) -> DataResult {
        var random = Generator(seed: seed &* 0x1000_0001)
        var plan = DataPlan(&random)
        if isPure { plan.faults = [] }
        plan.faults += faults.filter { !plan.has($0) }
        change(&plan)
        return DataRun(seed: seed, plan: plan, recording: recording).run()
    }
}
