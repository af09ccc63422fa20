import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// A node's configuration names another disk as the origin, of the same size: what its programs write is not what the
/// server saves.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct OtherDiskTests {
    @Test func noSnapshotIsMadeBeforeAllHaveOneDisk() throws {
        let volume = try LoneVolume()
        var model = Data(count: LoneVolume.size)
        try volume.write([0..<64 << 10], &model)
        try volume.snapshot("monday")

        try volume.restartClientWithOtherDisk()
        let create = ["snapshot", "create", "tuesday", LoneVolume.name, "--socket", volume.socket]
        let refused = try Program.csnapctl(create)
        #expect(refused.code == 4 && refused.output.contains("the origin of node 1 is another disk"), "\(refused)")
        try waitUntil("`why` names it", seconds: 60) {
            try volume.caller.why().contains { $0.kind == "originDiffers" && $0.nodes == [1] && $0.warning }
        }

        try volume.restartClient(disk: nil)
        #expect(try volume.caller.why().allSatisfy { $0.kind != "originDiffers" })
        let made = try Program.csnapctl(create)
        #expect(made.code == 0, "\(made)")
    }

    /// Whatever the file says by now.
    @Test func aServerHasTheDisksThatItsAgentStartedWith() throws {
        let volume = try LoneVolume()
        var model = Data(count: LoneVolume.size)
        try volume.write([0..<64 << 10], &model)
        let other = volume.directory + "/other"
        try Data(repeating: 1, count: LoneVolume.size).write(to: URL(fileURLWithPath: other))
        try volume.configure(origin: other)
        try volume.killServer()
        let made = try Program.csnapctl(["snapshot", "create", "monday", LoneVolume.name, "--socket", volume.socket])
        #expect(made.code == 0, "\(made)")
    }

    /// What it wrote would be in no snapshot. Its predecessor is proven gone though it lives.
    @Test func aClientWithOtherDisksThanItsAgentIsNotServed() throws {
        let volume = try LoneVolume()
        let other = volume.directory + "/other"
        try FileManager.default.copyItem(atPath: volume.origin, toPath: other)
        try volume.configure(origin: other)
        volume.endClient(SIGKILL)
        try volume.startClient()
        try waitUntil("the wait is named", seconds: 60) { try volume.caller.why().contains { $0.kind == "otherDisks" } }
        let why = try Program.csnapctl(["why", "--socket", volume.socket])
        #expect(why.code == 3 && why.output.contains("csnap-client@data"), "\(why)")
        try waitUntil("the client says it", seconds: 60) {
            volume.log("csnap-client").contains("another origin or store")
        }
        #expect(try volume.status().clients.first?.suspended == true)
        try snapshotIsMade(volume)

        try volume.configure(origin: volume.origin)
        volume.endClient()
        try volume.startClient()
        try volume.waitForService()
        #expect(try volume.caller.why().allSatisfy { $0.kind != "otherDisks" })
        var model = Data(count: LoneVolume.size)
        try volume.write([0..<4096], &model)
    }

    /// It served until its agent came back with another file.
    @Test func anAgentWithOtherDisksThanItsClientDoesNotServeIt() throws {
        let volume = try LoneVolume()
        var model = Data(count: LoneVolume.size)
        try volume.write([0..<4096], &model)
        let other = volume.directory + "/other"
        try FileManager.default.copyItem(atPath: volume.origin, toPath: other)
        try volume.configure(origin: other)
        volume.killAgent()
        try volume.startAgent()
        try waitUntil("the wait is named", seconds: 60) {
            (try? volume.caller.why().contains { $0.kind == "otherDisks" }) == true
        }
        try snapshotIsMade(volume)

        try volume.configure(origin: volume.origin)
        volume.killAgent()
        try volume.startAgent()
        try waitUntil("the agent answers", seconds: 60) { (try? volume.status()) != nil }
        try volume.waitForService()
        try volume.write([4096..<8192], &model)
    }

    /// Nobody waits for the client for ever.
    private func snapshotIsMade(_ volume: LoneVolume) throws {
        try waitUntil("a snapshot is made", seconds: 60) {
            try Program.csnapctl(["snapshot", "create", "monday", LoneVolume.name, "--socket", volume.socket]).code == 0
        }
    }
}
