import CsnapCore
import CsnapRuntime
import CsnapSandbox
import CsnapStore
import Foundation
import Testing

/// A server is killed while the layer below it holds back what it wrote to the store. That lands when its successor
/// has long been at work, and nobody notices (docs/data-plane.md, "Snapshot store").
@Suite(.serialized, .enabled(if: HeldDisk.isPossible), .timeLimit(.minutes(30)))
struct LateStoreWriteTests {
    static let victim = 1
    /// How long the successor works before the writes land, seconds, if `make late-writes` asks for a long look at all.
    static let asked = ProcessInfo.processInfo.environment["CSNAP_TEST_HELD_SECONDS"].flatMap(Double.init)
    static let held = asked ?? 0
    static let steps: [StoreStep] =
        asked == nil ? [.claim, .data, .created, .checkpoint] : StoreStep.allCases.filter { $0 != .other }

    final class Story {
        let group: SandboxGroup
        let stage: Stage
        let disk: LateDisk
        /// Snapshots that exist and what they must show; three at most.
        private var known: [KnownSnapshot] = []
        private var number = 0
        private var turn = 0

        init() throws {
            group = try SandboxGroup(SandboxOptions(nodes: 3, profile: "fast", binaries: Tool.binaries))
            stage = Stage(group: group) { _ in }
            disk = try LateDisk(of: group.directory.store, in: group.directory.path)
            try group.directory.lead(victim, to: "store", from: group.directory.store, by: disk.path)
            try stage.found(1)
            try stage.join([2, 3])
            try stage.waitForVoters()
            try stage.startLoads()
            try stage.startCyclicLoads()
            try stage.snapshot("base", by: 2)
            try stage.startBranch("branch", of: "base", by: 2)
        }

        func end() {
            disk.release()
            stage.stopCyclicLoads()
            stage.stopLoads()
            stage.stopFollowers()
            group.stopProcesses()
            disk.close()
            group.end()
        }

        func serve(on node: Int) throws {
            try stage.wait("node \(node) serves") {
                let view = try self.stage.currentView()
                if view.server == node { return view.isActive }
                if let server = view.server {
                    try? self.group.command(server, "Transfer", ["node": .integer(Int64(node))])
                }
                return false
            }
        }

        /// The victim serves and dies with this step on its way; it lands `held` seconds after its successor has made a
        /// snapshot.
        func holdBack(_ step: StoreStep) throws {
            let victim = group.node(victim)
            let isOfTaking = step == .claim || step == .taking
            try serve(on: isOfTaking ? 2 : 1)
            disk.hold(from: step) { victim.signalServer(SIGKILL) }
            try stage.wait("a write of '\(step)' is held") {
                if isOfTaking, self.stage.view(of: 2)?.server == 2 {
                    try? self.group.command(2, "Transfer", ["node": .integer(1)])
                }
                if !self.disk.isHolding { try self.work() }
                return self.disk.isHolding
            }
            try stage.wait("another node serves") {
                self.stage.view(of: 3).map { $0.isActive && $0.server != 1 } == true
            }
            try work(until: "the successor makes a snapshot")
            #expect(disk.heldBlocks > 0, "\(step): nothing is held back")
            let end = boottime() + Int64(held * 1e9)
            repeat { try work(until: "the successor makes more of them") } while boottime() < end
            try expectNamedByVictim()
            disk.release()
            try stage.waitForWrites()
            try work(until: "all goes on")
            try verifyInTurn()
        }

        /// The victim's clients are served by another node: its agent names that one, and its own server, which the
        /// flush holds in the kernel.
        private func expectNamedByVictim() throws {
            try stage.wait("node 1 names the server that its clients have") {
                let own = self.stage.view(of: LateStoreWriteTests.victim)
                guard let own, own.isActive, own.resumed else { return false }
                return own.server != LateStoreWriteTests.victim && own.server == self.stage.view(of: 3)?.server
            }
            let caller = try AgentCaller(path: group.directory.controlSocket(LateStoreWriteTests.victim))
            let stop = try caller.why().first { $0.kind == "serverStop" }
            #expect(stop?.nodes == [UInt32(LateStoreWriteTests.victim)], "a flush holds it")
            #expect(stop?.text.contains("serves meanwhile") == true, "\(stop?.text ?? "")")
        }

        /// A snapshot more and one less, by all nodes in turn; true if nothing was refused, as it may be while a server
        /// dies. Node 1 is not read from: its reading of the store waits for the flush that is held.
        @discardableResult
        private func work() throws -> Bool {
            number += 1
            do {
                known.append(try stage.snapshot("s\(number)", by: 1 + number % 3))
                while known.count > 3 {
                    let oldest = known.removeFirst()
                    try stage.verify(oldest, on: 2 + number % 2)
                    try stage.deleteSnapshot(oldest.name, by: 1 + number % 3)
                }
                return true
            } catch is ControlError {
                return false
            }
        }

        private func work(until what: String) throws {
            try stage.wait(what) { try self.work() }
        }

        /// Each image by one node, another one each time: all of them read the same store.
        private func verifyInTurn() throws {
            try stage.waitForBranchWrites()
            for (index, snapshot) in known.enumerated() { try stage.verify(snapshot, on: 1 + (turn + index) % 3) }
            try stage.verifyBranch(on: 1 + turn % 3)
            turn += 1
        }

        /// All of them by each node.
        func verify() throws {
            try stage.waitForBranchWrites()
            for node in 1...3 {
                for snapshot in known { try stage.verify(snapshot, on: node) }
                try stage.verifyBranch(on: node)
            }
        }

        /// What is left when all processes are gone.
        func check() throws -> VolumeCheck {
            stage.stopCyclicLoads()
            stage.stopLoads()
            group.stopProcesses()
            return try group.directory.checkStore()
        }
    }

    @Test func whatADeadServerWroteLandsLate() throws {
        let story = try Story()
        defer { story.end() }
        for step in Self.steps { try story.holdBack(step) }
        try story.verify()
        let check = try story.check()
        #expect(check.problems.isEmpty, "\(check.problems)")
        #expect(story.stage.failures == [])
        #expect(story.stage.tally.wrong == 0)
        // Three snapshots and the branch, of four regions each: once after each step, by each node at the end.
        #expect(story.stage.tally.verified >= (Self.steps.count + 3) * 4 * 4)
        #expect(story.stage.tally.errors == [])
    }

    @Test func quarantinedSpaceComesBackThroughTwentyKills() throws {
        // Node 1 alone may serve: what a dead server of another node left is kept away until that node serves again.
        let options = SandboxOptions(nodes: 3, profile: "lan", binaries: Tool.binaries)
        let group = try SandboxGroup(options, witnesses: [2, 3])
        defer { group.end() }
        let stage = Stage(group: group) { _ in }
        defer { stage.stopFollowers() }
        try stage.found(1)
        try stage.join([2, 3])
        try stage.waitForVoters(1)
        try stage.startLoads()
        try stage.startCyclicLoads()
        defer {
            stage.stopCyclicLoads()
            stage.stopLoads()
        }
        for kill in 1...20 {
            // So that the server that dies has windows open, for its journal and for data.
            try stage.snapshot("s\(kill)", by: 1 + kill % 3)
            try stage.waitForWrites()
            let before = try stage.currentView().tenure
            try stage.fault("kill \(kill)") { group.node(1).signalServer(SIGKILL) }
            try stage.waitForTenure(above: before)
            try stage.wait("nothing of the store is kept away after kill \(kill)") {
                try AgentCaller(path: group.directory.controlSocket(1)).volume(SandboxGroup.volume).quarantined == 0
            }
            try stage.deleteSnapshot("s\(kill)", by: 1 + kill % 3)
        }
        #expect(stage.failures == [])
    }
}
