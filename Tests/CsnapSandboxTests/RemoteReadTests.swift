import CsnapSandbox
import Foundation
import Testing

/// A node that does not see the store reads snapshots, and reads and writes branches, through the server, whoever that
/// is.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(2)))
struct RemoteReadTests {
    @Test func theServerReadsForANodeWithoutTheStore() throws {
        let options = SandboxOptions(nodes: 3, profile: "lan", binaries: Tool.binaries)
        let group = try SandboxGroup(options, witnesses: [3])
        defer { group.end() }
        let stage = Stage(group: group) { _ in }
        defer { stage.stopFollowers() }
        let configuration = group.directory.configuration(3)
        let text = try String(contentsOfFile: configuration, encoding: .utf8)
        try text.replacingOccurrences(of: group.directory.store, with: group.directory.path + "/not-here")
            .write(toFile: configuration, atomically: true, encoding: .utf8)
        try stage.found(1)
        try stage.join([2, 3])
        try stage.waitForVoters(1)
        try stage.startLoads()
        try stage.startCyclicLoads()
        let known = try stage.snapshot("s", by: 3)
        // Some chunks are on the origin still, then some in the store, then all.
        for _ in 1...3 { try stage.verify(known, on: 3) }
        try stage.startBranch("branch", of: known.name, by: 3)
        for node in [3, 1] { try stage.verifyBranch(on: node) }
        let server = try stage.serverNow()
        try stage.fault("kill the server's process") { stage.group.node(server).signalServer(SIGKILL) }
        try stage.verify(known, on: 3)
        try stage.waitForNewTenure()
        try stage.verify(known, on: 3)
        try stage.waitForBranchWrites()
        stage.stopBranch()
        for node in [3, 1] { try stage.verifyBranch(on: node) }
        stage.stopCyclicLoads()
        let log = try String(contentsOfFile: group.directory.log(3, "client"), encoding: .utf8)
        #expect(log.contains("the server reads snapshots for this node"))
        #expect(stage.failures == [])
        #expect(stage.tally.verified == 9 * 4)
        #expect(stage.tally.wrong == 0)
    }
}
