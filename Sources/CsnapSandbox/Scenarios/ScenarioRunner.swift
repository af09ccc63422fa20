import CsnapCore
import CsnapRuntime

/// Plays one scenario from an empty directory to its result; nothing of it is left afterwards.
package struct ScenarioRunner {
    private let scenario: any Scenario
    private let options: SandboxOptions
    private let progress: (String) -> Void

    /// Bytes each surviving client must have read back right.
    package static let leastVerified: UInt64 = 4 << 20

    package init(_ scenario: any Scenario, options: SandboxOptions, progress: @escaping (String) -> Void) {
        self.scenario = scenario
        self.options = options
        self.progress = progress
    }

    /// Throws only when the sandbox itself could not be made; what goes wrong in the story is in the result.
    package func run() throws -> ScenarioResult {
        let group = try SandboxGroup(
            options, witnesses: scenario.witnesses(of: options.nodes), storeSize: scenario.storeSize,
            volumes: scenario.volumes)
        if options.keep { progress("kept afterwards: \(group.directory.path)") }
        let stage = Stage(group: group, progress: progress)
        var result = ScenarioResult(scenario: scenario.name, profile: options.profile, nodes: options.nodes)
        do {
            try scenario.prepare(stage)
            try scenario.play(stage)
            try linger(stage)
        } catch {
            stage.fail("\(error)")
            for node in stage.survivors { stage.explain(node) }
        }
        stage.stopCyclicLoads()
        result.snapshots = stage.tally
        result.ioErrors = stage.tally.errors.count
        judgeService(stage, &result)
        stopLoads(stage, &result)
        if stage.faultAt != nil, !Interruption.isRequested { verify(stage, &result) }
        stage.stopFollowers()
        group.stopProcesses()
        judgeEvidence(stage, &result)
        for volume in group.volumes { checkStore(of: volume, stage) }
        result.timeline = TimelineMerger.merge(
            stage.followers.values.flatMap(\.snapshot), marks: stage.marks, fault: stage.faultAt ?? boottime())
        result.failures = stage.failures
        group.end()
        return result
    }

    /// The load goes on: two seconds after all is back, or as long as was asked for.
    private func linger(_ stage: Stage) throws {
        guard let fault = stage.faultAt else { return }
        let elapsed = Double(boottime() - fault) / 1e9
        stage.settle(seconds: options.seconds.map { max($0 - elapsed, 0.2) } ?? 2)
        try stage.waitForWrites()
    }

    private func judgeService(_ stage: Stage, _ result: inout ScenarioResult) {
        result.serverBefore = stage.before?.server
        result.epochBefore = stage.before?.tenure.epoch.value
        guard let fault = stage.faultAt, let before = stage.before else { return }
        let after = try? stage.currentView()
        result.serverAfter = after?.server
        result.epochAfter = after?.tenure.epoch.value
        if let after, after.tenure > before.tenure {
            let completions = stage.survivors.map { stage.firstCompletion(of: $0, above: before.tenure) }
            if completions.allSatisfy({ $0 != nil }), let last = completions.compactMap({ $0 }).max() {
                result.seconds = Double(last - fault) / 1e9
            }
        }
        let now = boottime()
        let waits = stage.survivors.compactMap { stage.loads[$0]?.snapshot.longestWait(after: fault, now: now) }
        result.pauseMaxSeconds = Double(waits.max() ?? 0) / 1e9
    }

    private func stopLoads(_ stage: Stage, _ result: inout ScenarioResult) {
        stage.stopLoads()
        for node in stage.living {
            let errors = stage.loads[node]?.snapshot.errors ?? []
            result.ioErrors += errors.count
            for error in errors { stage.fail("I/O error: \(error)") }
        }
    }

    /// Each survivor reads back what it and the lost nodes had acknowledged.
    private func verify(_ stage: Stage, _ result: inout ScenarioResult) {
        let lost = stage.loads.keys.filter { !stage.living.contains($0) }.sorted().compactMap { stage.loads[$0] }
        for node in stage.living where stage.loads[node] != nil {
            let end = boottime() + Int64(20e9)
            var verifier = Verifier()
            do {
                let device = try NBDClient(
                    path: stage.group.directory.volumeSocket(node), export: "origin",
                    cancelled: { boottime() > end || Interruption.isRequested })
                for load in [stage.loads[node]].compactMap({ $0 }) + lost + stage.retired {
                    try verifier.verify(load.snapshot, of: load.node, on: device)
                }
                device.disconnect()
            } catch {
                stage.fail("node \(node) could not read back: \(error)")
            }
            for fault in verifier.faults { stage.fail("verification on node \(node): \(fault)") }
            stage.expect(
                verifier.bytesVerified >= ScenarioRunner.leastVerified,
                "node \(node) verified \(verifier.bytesVerified) bytes only")
            result.bytesVerifiedAfterFault += verifier.bytesVerified
        }
    }

    private func judgeEvidence(_ stage: Stage, _ result: inout ScenarioResult) {
        var intervals: [ServiceOverlap.Interval] = []
        for node in stage.joined {
            do {
                intervals += try ServiceOverlap.intervals(in: stage.group.directory.serviceRecord(node))
            } catch {
                stage.fail("the service record of node \(node): \(error)")
            }
        }
        result.serversAtOnceMax = ServiceOverlap.atOnce(intervals)
        stage.expect(result.serversAtOnceMax <= 1, "\(result.serversAtOnceMax) servers at once")
        stage.expect(!intervals.isEmpty, "no server left evidence of its service (service.record)")
    }

    /// Whatever happened, the store that is left is whole.
    private func checkStore(of volume: String, _ stage: Stage) {
        do {
            let check = try stage.group.directory.checkStore(volume)
            for problem in check.problems { stage.fail("the store of \(volume): \(problem.code): \(problem.text)") }
        } catch {
            stage.fail("the store of \(volume) cannot be checked: \(error)")
        }
    }
}

extension Stage {
    /// Adds to the failures why a node waits, as its own agent says.
    func explain(_ node: Int) {
        guard let status = group.status(node) else {
            fail("node \(node): its agent does not answer")
            return
        }
        for wait in status.waits { fail("node \(node): \(wait.text) (\(decimals(wait.seconds)) s)") }
    }
}
