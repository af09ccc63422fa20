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

        // The same but for one block in front.
        let other = volume.directory + "/other"
        try FileManager.default.copyItem(atPath: volume.origin, toPath: other)
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: other))
        try file.write(contentsOf: Data(repeating: 1, count: 4096))
        try file.close()
        try volume.restartClient(origin: other)
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
}
