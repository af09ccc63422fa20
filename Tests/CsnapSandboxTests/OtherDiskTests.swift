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
        let why = try #require(try volume.caller.why().first { $0.kind == "originDiffers" })
        #expect(why.nodes == [1] && why.warning)

        try volume.restartClient(origin: volume.origin)
        #expect(try volume.caller.why().allSatisfy { $0.kind != "originDiffers" })
        let made = try Program.csnapctl(create)
        #expect(made.code == 0, "\(made)")
    }

    /// Whatever the file says by now.
    @Test func aServerHasTheDisksThatItsAgentStartedWith() throws {
        let volume = try LoneVolume()
        var model = Data(count: LoneVolume.size)
        try volume.write([0..<64 << 10], &model)
        let file = volume.directory + "/csnap.yaml"
        let text = try String(contentsOfFile: file, encoding: .utf8)
        let other = volume.directory + "/other"
        try Data(repeating: 1, count: LoneVolume.size).write(to: URL(fileURLWithPath: other))
        try text.replacing(volume.origin, with: other).write(toFile: file, atomically: true, encoding: .utf8)
        try volume.killServer()
        let made = try Program.csnapctl(["snapshot", "create", "monday", LoneVolume.name, "--socket", volume.socket])
        #expect(made.code == 0, "\(made)")
    }
}
