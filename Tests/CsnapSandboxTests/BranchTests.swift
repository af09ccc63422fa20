import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// A branch of a snapshot is written like a disk, and changes nothing else (docs/decisions/0084).
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(5)))
struct BranchTests {
    private static let chunk = 64 << 10

    @Test func aBranchIsWrittenAndOutlivesServers() throws {
        let volume = try LoneVolume()
        var origin = Data(count: LoneVolume.size)
        try volume.write([0..<16 * Self.chunk], &origin)
        try volume.snapshot("monday")
        let monday = origin
        let made = try volume.branch("try", of: "monday")
        #expect(made.base == 1 && made.size == UInt64(LoneVolume.size))
        var branch = monday
        var random = SystemRandomNumberGenerator()
        for round in 0..<6 {
            let device = try volume.connect("snap/try")
            for _ in 0..<20 {
                let start = Int.random(in: 0..<20 * Self.chunk / 4096, using: &random) * 4096
                let count = Int.random(in: 1...40, using: &random) * 4096
                try write(device, &branch, start, count)
            }
            try device.writeZeroes(offset: UInt64(3 * Self.chunk - 4096), count: 2 * Self.chunk)
            branch.replaceSubrange(
                3 * Self.chunk - 4096..<5 * Self.chunk - 4096, with: Data(count: 2 * Self.chunk))
            try device.flush()
            // What the branch shares with the snapshot, and the snapshot with the origin, goes on its way.
            try volume.write([round * 3 * Self.chunk..<(round * 3 + 4) * Self.chunk], &origin)
            if round % 2 == 1 { try volume.killServer() }
            try write(device, &branch, 7 * Self.chunk + 4096, 8192)
            device.disconnect()
            try expect("try", branch, volume)
            try expect("monday", monday, volume)
            try expect("origin", origin, volume)
        }
        #expect(throws: (any Error).self, "a snapshot never changes") {
            try volume.connect("snap/monday").write([UInt8](repeating: 1, count: 4096), offset: 0)
        }
        try commands(volume)
        try volume.stop()
        let check = try VolumeChecker(path: volume.store, origin: volume.origin).check("data") { _, _ in }
        #expect(check.problems == [])
    }

    private func write(_ device: NBDClient, _ model: inout Data, _ start: Int, _ count: Int) throws {
        var bytes = [UInt8](repeating: 0, count: count)
        arc4random_buf(&bytes, count)
        try device.write(bytes, offset: UInt64(start))
        model.replaceSubrange(start..<start + count, with: bytes)
    }

    private func expect(_ image: String, _ model: Data, _ volume: LoneVolume) throws {
        let device = try volume.connect(image == "origin" ? image : "snap/\(image)")
        for start in stride(from: 0, to: 24 * Self.chunk, by: Self.chunk) {
            let bytes = try device.read(offset: UInt64(start), count: Self.chunk)
            #expect(bytes == [UInt8](model[start..<start + Self.chunk]), "\(image) at \(start)")
        }
        device.disconnect()
    }

    /// What may be done with it, and what is refused by name.
    private func commands(_ volume: LoneVolume) throws {
        func csnapctl(_ words: String...) throws -> Program.Run {
            try Program.csnapctl(["snapshot"] + words + ["--config", volume.directory + "/csnap.yaml"])
        }
        let list = try csnapctl("list")
        #expect(list.output.contains("\ttry\tbranch of monday\n"), "\(list.output)")
        let refusals = [
            (["delete", "monday"], "try is a branch of it"), (["branch", "try", "again"], "try is a branch"),
            (["diff", "try"], "try is a branch"), (["send", "try"], "try is a branch"),
            (["revert", "data", "try"], "try is a branch"), (["branch", "monday", "try"], "snapshot 'try' already"),
            (["branch", "tuesday", "other"], "no snapshot 'tuesday'"),
            (["delete", "tuesday"], "no snapshot 'tuesday'"), (["rename", "monday", "try"], "snapshot 'try' already"),
        ]
        for (words, reason) in refusals {
            let run = try Program.csnapctl(["snapshot"] + words + ["--config", volume.directory + "/csnap.yaml"])
            #expect(run.code == 4 && run.output.contains(reason), "\(words): \(run.code) \(run.output)")
        }
        let device = try volume.connect("snap/try")
        try volume.killServer()
        let inUse = try csnapctl("delete", "try")
        #expect(inUse.code == 4 && inUse.output.contains("try: node 1 has it open"), "\(inUse.output)")
        #expect(try device.read(offset: 0, count: 4096).count == 4096)
        device.disconnect()
        #expect(try csnapctl("rename", "try", "tried").code == 0)
        #expect(try csnapctl("delete", "tried").code == 0)
        #expect(try csnapctl("delete", "monday").code == 0)
        #expect(try volume.caller.snapshots(LoneVolume.name) == [])
    }
}
