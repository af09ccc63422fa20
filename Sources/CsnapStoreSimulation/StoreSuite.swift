import CsnapCore
import CsnapStore

/// All that is tried with the store on simulated disks, in parts that run beside each other.
package struct StoreSuite: Sendable {
    /// Operations of the enumerated sequences.
    package var length = 2
    /// Only every n-th of them.
    package var stride = 1
    /// Seeds of longer sequences.
    package var random: Range<UInt64> = 0..<0
    /// Seeds of chains of killed servers.
    package var chains: Range<UInt64> = 0..<1000
    /// Every n-th death of those whose writes land late.
    package var deathStride = 1
    /// Every n-th operation that is killed after each beginning.
    package var killStride = 1
    /// Every n-th change of a byte is tried.
    package var flipStride = 53
    /// After every n-th byte that is changed the store is repaired.
    package var repairStride = 997

    /// The same, small enough to be run once for each mutant.
    package static let small: StoreSuite = {
        var suite = StoreSuite()
        suite.length = 1
        suite.chains = 0..<300
        suite.deathStride = 12
        suite.killStride = 4
        suite.flipStride = 97
        suite.repairStride = 9973
        return suite
    }()

    package enum Part: String, CaseIterable, Sendable {
        case rules
        /// Server after server is killed, and their writes land late.
        case chains
        case lostWrites
        case flippedBytes
        case repairedBytes
        /// The power fails at each request of each sequence.
        case crashImages
        case randomImages
        /// A server dies, and the power fails while the next one takes the store.
        case killedImages
        /// A server dies, and its writes land while the next one works.
        case lateWrites
    }

    package init() {}

    /// What job number `job` of `jobs` has to do of a part.
    package func run(_ part: Part, job: Int = 0, of jobs: Int = 1) -> ImageReport {
        var report = ImageReport()
        do {
            switch part {
            case .rules:
                for index in Swift.stride(from: job, to: StoreRules.all.count, by: jobs) {
                    let rule = StoreRules.all[index]
                    report.sequences += 1
                    do {
                        if let problem = try rule.problem() { report.problems.append("\(rule.name): \(problem)") }
                    } catch {
                        report.problems.append("\(rule.name): \(error)")
                    }
                }
            case .crashImages:
                var images = try CrashImages()
                images.enumerate(length: length, part: job * stride, of: jobs * stride, StoreOperation.alphabet)
                report = images.report
            case .randomImages:
                var images = try CrashImages()
                for seed in random where seed % UInt64(jobs) == UInt64(job) && !images.report.isOver {
                    images.random(seed: seed)
                }
                report = images.report
            case .killedImages:
                var images = try CrashImages()
                let alphabet = StoreOperation.alphabet
                let count = CrashImages.beginnings.count * alphabet.count
                for index in Swift.stride(from: job * killStride, to: count, by: jobs * killStride) {
                    images.runKilled(CrashImages.beginnings[index / alphabet.count], alphabet[index % alphabet.count])
                }
                report = images.report
            case .lateWrites:
                var late = try LateWrites()
                late.enumerate(part: job * deathStride, of: jobs * deathStride)
                report = late.report
            case .chains:
                var chains = LateChains()
                for seed in self.chains where seed % UInt64(jobs) == UInt64(job) && !chains.report.isOver {
                    chains.run(seed: seed)
                }
                report = chains.report
            case .flippedBytes:
                for var flips in try BitFlips.all() {
                    flips.enumerate(part: job * flipStride, of: jobs * flipStride)
                    report.add(flips.report)
                    report.sequences += flips.noticed
                }
            case .repairedBytes:
                for isTall in [false, true] {
                    var repairs = try Repairs(isTall: isTall)
                    repairs.enumerate(from: job * repairStride, stride: jobs * repairStride)
                    report.add(repairs.report)
                    report.sequences += repairs.repaired
                }
            case .lostWrites:
                guard job == 0 else { break }
                for var flips in try BitFlips.all() {
                    flips.lose()
                    report.add(flips.report)
                    report.sequences += flips.noticed
                }
            }
        } catch {
            report.problems.append("\(part.rawValue): \(error)")
        }
        return report
    }
}
