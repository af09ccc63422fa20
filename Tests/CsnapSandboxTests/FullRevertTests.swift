import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// A revert overwrites what younger snapshots need, so it needs room in the store.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct FullRevertTests {
    /// Bytes: the store of 64 MiB has room for two copies of it, and not for three.
    private static let size = 18 << 20

    @Test func itSaysWhatItWaitsForAndGoesOnWhenThereIsRoom() throws {
        let volume = try LoneVolume(size: Self.size)
        var model = Data(count: Self.size)
        try volume.write([0..<Self.size], &model)
        let first = model
        for name in ["first", "second"] {
            try volume.snapshot(name)
            try volume.write([0..<Self.size], &model)
        }

        let log = volume.directory + "/revert.log"
        func begin() throws -> Process {
            try volume.waitUntilUnused()
            let revert = Process()
            revert.executableURL = URL(fileURLWithPath: Tool.directory + "/csnapctl")
            revert.arguments = ["snapshot", "revert", LoneVolume.name, "first", "--socket", volume.socket]
            _ = FileManager.default.createFile(atPath: log, contents: nil)
            revert.standardError = FileHandle(forWritingAtPath: log)
            revert.standardOutput = FileHandle.nullDevice
            try revert.run()
            return revert
        }

        let interrupted = try begin()
        defer { interrupted.terminate() }
        let origin = try FileHandle(forReadingFrom: URL(fileURLWithPath: volume.origin))
        try waitUntil("it writes", seconds: 30) {
            try origin.seek(toOffset: 0)
            return try origin.read(upToCount: 4096) == first.prefix(4096)
        }
        let other = try Program.csnapctl(["snapshot", "revert", LoneVolume.name, "second", "--socket", volume.socket])
        #expect(other.code == 4 && other.output.contains("another revert or receive of data"), "\(other.output)")
        interrupted.interrupt()
        interrupted.waitUntilExit()
        let words = try String(contentsOfFile: log, encoding: .utf8)
        #expect(interrupted.terminationStatus == 1 && words.contains("go on with the same command"), "\(words)")
        #expect(words.contains("`csnapctl snapshot revert data before-revert-20"), "\(words)")
        #expect(try volume.caller.volume(LoneVolume.name).revert?.snapshot == "first")

        let revert = try begin()
        defer { revert.terminate() }
        try waitUntil("it says that there is no room", seconds: 60) {
            let said = try String(contentsOfFile: log, encoding: .utf8)
            #expect(revert.isRunning, "\(said)")
            return said.contains("its snapshot store has no room") && said.contains("delete snapshots")
        }
        let delete = try Program.csnapctl(["snapshot", "delete", "second", "--socket", volume.socket])
        #expect(delete.code == 0, "\(delete.output)")
        revert.waitUntilExit()
        let said = try String(contentsOfFile: log, encoding: .utf8)
        #expect(revert.terminationStatus == 0, "\(said)")
        let device = try volume.connect()
        #expect(try Data(device.read(offset: 0, count: Self.size)) == first)
        device.disconnect()
    }
}
