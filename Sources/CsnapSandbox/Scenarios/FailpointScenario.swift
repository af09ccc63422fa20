#if CSNAP_MUTANTS
    import CsnapCore
    import CsnapRuntime
    import Glibc

    /// Every failpoint fails once in every way, under verified load: service goes on, each snapshot is right, and a
    /// branch has all that was answered.
    ///
    /// `CSNAP_TEST_FAILPOINTS=K/N` plays each N-th of them, from the K-th on.
    struct FailpointScenario: Scenario {
        let name = "failpoints"
        let summary = "each durable step of a server, and of an agent's state file, fails in every way"

        /// Snapshots that exist at once.
        private static let kept = 3

        struct Point: Equatable {
            var step: String
            var side: Failpoints.Side
            var action: Failpoints.Action

            var text: String { "\(step) \(side) \(action)" }
        }

        static let points: [Point] = Failpoints.steps.flatMap { step in
            Failpoints.Side.allCases.flatMap { side in
                Failpoints.Action.allCases.map { Point(step: step, side: side, action: $0) }
            }
        }

        private static func chosen() throws -> [Point] {
            guard let part = getenv("CSNAP_TEST_FAILPOINTS").map({ String(cString: $0) }) else { return points }
            let numbers = part.split(separator: "/").compactMap { Int($0) }
            guard numbers.count == 2, numbers[1] > 0, 0..<numbers[1] ~= numbers[0] else {
                throw SandboxError.scenario("CSNAP_TEST_FAILPOINTS is \(part), not K/N with 0 ≤ K < N")
            }
            return points.enumerated().filter { $0.offset % numbers[1] == numbers[0] }.map(\.element)
        }

        func play(_ stage: Stage) throws {
            let points = try Self.chosen()
            try stage.startCyclicLoads()
            let base = try stage.snapshot("base", by: 1)
            try stage.startBranch("branch", of: base.name, by: 2)
            var known = [try stage.snapshot("first", by: 1)]
            for (index, point) in points.enumerated() where !Interruption.isRequested {
                let server = try stage.serverNow()
                let target = point.step == Failpoints.state ? 1 + server % stage.options.nodes : server
                let armed = try arm(point, stage, server: server, target: target)
                let begun = boottime()
                var number = 0
                try stage.wait("'\(point.text)' is reached") {
                    number += 1
                    // That to the target may have been refused, while its own server was on its way.
                    if number % 10 == 0, point.step == Failpoints.state { self.handOver(stage, target) }
                    try self.work("p\(index)-\(number)", by: 1 + number % stage.options.nodes, stage, &known)
                    return access(armed, F_OK) != 0
                }
                stage.mark("'\(point.text)' reached after \(decimals(Double(boottime() - begun) / 1e9)) s")
                try stage.waitForWrites()
                known.append(try mustMake("p\(index)-after", stage))
                try stage.waitForBranchWrites()
                let reader = 1 + index % stage.options.nodes
                for snapshot in known + [base] { try stage.verify(snapshot, on: reader) }
                try stage.verifyBranch(on: reader)
            }
            stage.stopCyclicLoads()
        }

        /// Makes sure that the point is reached soon; returns the file that is gone when it was.
        private func arm(_ point: Point, _ stage: Stage, server: Int, target: Int) throws -> String {
            let file = stage.group.directory.runtime(target) + "/" + Failpoints.file
            let begin = {
                try SandboxDirectory.write(point.text, to: file, mode: 0o644)
                if Failpoints.ofTaking.contains(point.step) { stage.group.node(server).signalServer(SIGKILL) }
                if point.step == Failpoints.state { self.handOver(stage, target) }
            }
            if stage.faultAt == nil { try stage.fault(point.text, begin) } else { try stage.also(point.text, begin) }
            return file
        }

        /// Whoever is to serve must promise it first, durably, and so must the others; that this fails is the point.
        private func handOver(_ stage: Stage, _ target: Int) {
            guard let server = try? stage.serverNow() else { return }
            let next = server == target ? 1 + target % stage.options.nodes : target
            try? stage.group.command(server, "Transfer", ["node": .integer(Int64(next))])
        }

        /// A snapshot more, and one less; either may be refused while the point does its work.
        private func work(_ name: String, by node: Int, _ stage: Stage, _ known: inout [KnownSnapshot]) throws {
            do {
                known.append(try stage.snapshot(name, by: node))
                while known.count > Self.kept {
                    let oldest = known.removeFirst()
                    try stage.verify(oldest, on: node)
                    try stage.deleteSnapshot(oldest.name, by: node)
                }
            } catch let error as ControlError {
                stage.mark("refused meanwhile: \(error)")
            }
        }

        private func mustMake(_ name: String, _ stage: Stage) throws -> KnownSnapshot {
            var made: KnownSnapshot?
            var tries = 0
            try stage.wait("a snapshot is made again") {
                tries += 1
                do {
                    // Another name each time: what became of the last one is not known.
                    made = try stage.snapshot("\(name)-\(tries)", by: 1)
                } catch let error as ControlError {
                    stage.mark("refused meanwhile: \(error)")
                }
                return made != nil
            }
            guard let made else { throw SandboxError.scenario("no snapshot") }
            return made
        }
    }
#endif
