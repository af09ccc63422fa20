import CsnapCore
import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// A revert is refused before it has written anything. What an earlier command left half written stays marked.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct RefusedRevertTests {
    @Test func aHalfWrittenVolumeStaysMarked() throws {
        let volume = try LoneVolume()
        var model = Data(count: LoneVolume.size)
        try volume.write([0..<64 << 10], &model)
        try volume.snapshot("monday")
        // Its client has another disk, so the snapshot of the present is refused.
        try volume.restartClientWithOtherDisk()
        func refuse() throws {
            let run = try Program.csnapctl(["snapshot", "revert", LoneVolume.name, "monday", "--socket", volume.socket])
            #expect(run.code == 4 && run.output.contains("is another disk"), "\(run)")
        }

        try refuse()
        #expect(try volume.caller.volume(LoneVolume.name).revert == nil, "nothing was written")

        _ = try volume.caller.beginReceive(LoneVolume.name, Bits128(high: 1, low: 1).hex)
        try refuse()
        let left = try #require(try volume.caller.volume(LoneVolume.name).revert, "a stream is half received")
        #expect(left.snapshot == "monday" && !left.receiving)
        try waitUntil("`why` names it", seconds: 60) {
            try volume.caller.why().contains { $0.kind == "reverting" && $0.nodes == [1] }
        }
        try refuse()
        #expect(try volume.caller.volume(LoneVolume.name).revert != nil, "nor does another try end it")
    }

    /// Its client offers what the node's device has.
    @Test func aNodeWithAShorterDeviceRevertsNothing() throws {
        let volume = try LoneVolume()
        var model = Data(count: LoneVolume.size)
        try volume.write([0..<64 << 10], &model)
        try volume.snapshot("monday")
        let short = volume.directory + "/short"
        try FileManager.default.copyItem(atPath: volume.origin, toPath: short)
        #expect(truncate(short, off_t(LoneVolume.size / 2)) == 0)
        try volume.restartClient(disk: short)
        let run = try Program.csnapctl(["snapshot", "revert", LoneVolume.name, "monday", "--socket", volume.socket])
        #expect(run.code == 4 && run.output.contains("enlarge the device here"), "\(run)")
        #expect(try volume.caller.volume(LoneVolume.name).revert == nil)
    }

    @Test func oneCommandAtATimeAndWhatIsInterruptedEarlyLeavesNoRecord() throws {
        let volume = try LoneVolume()
        var model = Data(count: LoneVolume.size)
        try volume.write([0..<64 << 10], &model)
        try volume.snapshot("monday")
        try volume.waitUntilUnused()

        // Another command has begun and is not connected yet.
        let other = open(volume.directory + "/run/client-data.lock", O_RDONLY)
        #expect(flock(other, LOCK_EX | LOCK_NB) == 0)
        let stream = volume.directory + "/stream"
        let header = StreamHeader(
            cluster: .zero, volume: LoneVolume.name, snapshot: Bits128(high: 1, low: 2), name: "tuesday", created: 0,
            base: .zero, size: UInt64(LoneVolume.size), chunkSize: 65536, start: 0)
        var bytes: [UInt8] = []
        _ = try StreamWriter(header) { bytes += $0 }
        try Data(bytes).write(to: URL(fileURLWithPath: stream))
        for words in ["revert data monday", "receive", "receive --abandon"] {
            let command = "\(Tool.directory)/csnapctl snapshot \(words) --socket \(volume.socket) <\(stream)"
            let run = try Program.run("/bin/sh", ["-c", command])
            #expect(run.code == 4 && run.output.contains("another revert or receive of data runs"), "\(run)")
        }
        #expect(try volume.caller.volume(LoneVolume.name).revert == nil)
        close(other)

        // The snapshot of the present waits for the client.
        let client = pid_t(try #require(try volume.status().clients.first).pid)
        kill(client, SIGSTOP)
        defer { kill(client, SIGCONT) }
        let revert = Process()
        revert.executableURL = URL(fileURLWithPath: Tool.directory + "/csnapctl")
        revert.arguments = ["snapshot", "revert", LoneVolume.name, "monday", "--socket", volume.socket]
        let said = Pipe()
        revert.standardError = said
        try revert.run()
        defer { revert.terminate() }
        try waitUntil("it has begun", seconds: 30) { try volume.caller.volume(LoneVolume.name).revert != nil }
        revert.interrupt()
        let words = String(decoding: said.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        revert.waitUntilExit()
        #expect(revert.terminationStatus != 0 && words.contains("Nothing was written\n"), "\(words)")
        #expect(try volume.caller.volume(LoneVolume.name).revert == nil)
    }
}
