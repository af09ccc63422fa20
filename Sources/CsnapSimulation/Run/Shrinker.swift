extension RunSettings {
    /// Smaller settings under which the seed still breaks that rule: whole classes of faults are left out, one after
    /// the other, and the time after the violation is cut off. At most one run per class and one more.
    package func shrunk(seed: UInt64, violation: Violation) -> RunSettings {
        shrunk(seed: seed, violation: violation) { SeedRun(seed: seed, settings: $0).run().violation }
    }

    package func shrunk(
        seed: UInt64, violation: Violation, judge: (RunSettings) -> Violation?
    ) -> RunSettings {
        var best = self
        func breaks(_ settings: RunSettings) -> Violation? {
            judge(settings).flatMap { $0.rule == violation.rule ? $0 : nil }
        }
        var time = violation.time
        for fault in FaultClass.allCases where !best.without.contains(fault) {
            guard SeedRun(seed: seed, settings: best).faults[fault] else { continue }
            var smaller = best
            smaller.without.append(fault)
            guard let found = breaks(smaller) else { continue }
            best = smaller
            time = found.time
        }
        var shorter = best
        shorter.seconds = min(best.seconds, time / 1_000_000_000 + 1)
        if shorter.seconds < best.seconds, breaks(shorter) != nil { best = shorter }
        return best
    }

    /// The options of `csnap-sim trace` that say the same, apart from the profile.
    package var options: String {
        "--seconds \(seconds)" + (nodes.map { " --nodes \($0)" } ?? "")
            + (without.isEmpty ? "" : " --without " + without.map { "\($0)" }.joined(separator: ","))
    }
}
