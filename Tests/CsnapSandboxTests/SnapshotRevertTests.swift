import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// `csnapctl snapshot revert` and `schedule` on a group of one node: real processes, real bytes.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct SnapshotRevertTests {
    private func csnapctl(_ volume: LoneVolume, _ words: String...) throws -> Program.Run {
        try Program.csnapctl(words + ["--socket", volume.socket])
    }

    private func image(_ volume: LoneVolume, _ export: String) throws -> Data {
        let device = try volume.connect(export)
        defer { device.disconnect() }
        var bytes = Data()
        for offset in stride(from: 0, to: LoneVolume.size, by: 1 << 20) {
            bytes += try device.read(offset: UInt64(offset), count: 1 << 20)
        }
        return bytes
    }

    /// Snapshots `0` and `1` below a later layer, and their images with the present one.
    private func layers(_ volume: LoneVolume) throws -> [Data] {
        var model = Data(count: LoneVolume.size)
        var images: [Data] = []
        for (index, layer) in SnapshotForeignTests.layers.enumerated() {
            try volume.write(layer, &model)
            if index < 2 { try volume.snapshot("\(index)") }
            images.append(model)
        }
        return images
    }

    @Test func goesBackAndKeepsEverything() throws {
        // It ends within a block, which nobody can write.
        let end = LoneVolume.size + 4096
        let volume = try LoneVolume(size: end + 100)
        let images = try layers(volume)
        var rest = Data(count: end)
        try volume.write([LoneVolume.size..<end], &rest)
        let inUse = try volume.connect()
        for socket in [volume.socket, volume.directory + "/run/./agent.sock"] {
            let refused = try Program.csnapctl(["snapshot", "revert", "data", "0", "--socket", socket])
            #expect(refused.code == 4 && refused.output.contains("stop it first"), "\(refused.output)")
        }
        inUse.disconnect()
        var run = Program.Run(code: 4, output: "")
        try waitUntil("the connection has ended", seconds: 30) {
            run = try csnapctl(volume, "snapshot", "revert", "data", "0", "--json")
            return run.code != 4
        }
        #expect(run.code == 0, "\(run.output)")
        let result = try JSONSerialization.jsonObject(with: run.json) as? [String: Any]
        let before = try #require(result?["before"] as? String)
        #expect(before.hasPrefix("before-revert-20"))
        #expect(try image(volume, "origin") == images[0])
        #expect(try volume.connect().read(offset: UInt64(LoneVolume.size), count: 4096).allSatisfy { $0 == 0 })
        #expect(try image(volume, "snap/1") == images[1], "a newer snapshot survives")
        #expect(try image(volume, "snap/\(before)") == images[2], "and so does what was there before")
        #expect(try volume.caller.volume("data").revert == nil)
        let unknown = try csnapctl(volume, "snapshot", "revert", "data", "nothing")
        #expect(unknown.code == 4 && unknown.output.contains("'nothing'"), "\(unknown.output)")
    }

    /// Its program dies in the middle, and the server too: the volume has a name in `status` until it is whole.
    @Test func goesOnAfterDeaths() throws {
        let volume = try LoneVolume()
        let images = try layers(volume)
        let revert = try volume.caller.beginRevert("data", "0")
        _ = try volume.caller.createSnapshot("data", "before", uuid: revert.uuid)
        let chunk: UInt64 = 65536
        let source = try volume.connect("snap/0")
        let origin = try volume.connect()
        try origin.write(source.read(offset: 0, count: Int(chunk)), offset: 0)
        try origin.flush()
        try volume.caller.moveRevert("data", revert.uuid, 1)
        // A filesystem is mounted once more, and writes below the cursor.
        try origin.write([UInt8](repeating: 7, count: 4096), offset: 4096)
        try origin.flush()
        source.disconnect()
        origin.disconnect()

        try volume.killServer()
        try waitUntil("another server tells of it", seconds: 60) {
            try volume.caller.why().contains { $0.kind == "reverting" && $0.nodes == [1] }
        }
        #expect(try volume.caller.volume("data").revert?.cursor == 1)
        #expect(try csnapctl(volume, "status").output.contains("data is half reverted to snapshot 0"))
        let other = try csnapctl(volume, "snapshot", "create", "x")
        #expect(other.code == 4 && other.output.contains("is being reverted"), "\(other.output)")
        let delete = try csnapctl(volume, "snapshot", "delete", "0")
        #expect(delete.code == 4 && delete.output.contains("node 1 reverts the volume"), "\(delete.output)")

        var run = Program.Run(code: 4, output: "")
        try waitUntil("the connections have ended", seconds: 30) {
            run = try csnapctl(volume, "snapshot", "revert", "data", "0")
            return run.code != 4
        }
        #expect(run.code == 0, "\(run.output)")
        #expect(run.output.contains("the snapshot before"), "the first one's: \(run.output)")
        #expect(try image(volume, "origin") == images[0])
        #expect(try image(volume, "snap/before") == images[2])
        #expect(try volume.caller.why().allSatisfy { $0.kind != "reverting" })
    }

    @Test func aScheduleMakesAndDeletesItsOwn() throws {
        let volume = try LoneVolume()
        let schedules = volume.directory + "/schedule.d"
        let place = ["--directory", schedules]
        let set = try csnapctl(volume, "snapshot", "schedule", "set", "data", "--hourly", "1", place[0], place[1])
        #expect(set.code == 0 && !set.output.contains("no agent answers"), "\(set.output)")
        let typo = try csnapctl(volume, "snapshot", "schedule", "set", "date", "--hourly", "1", place[0], place[1])
        #expect(typo.code == 4 && typo.output.contains("its configuration names data"), "\(typo.output)")
        let alone = ["snapshot", "schedule", "set", "date", "--hourly", "1", "--socket", "/nowhere"] + place
        let unasked = try Program.csnapctl(alone)
        #expect(unasked.code == 0 && unasked.output.contains("no agent answers"), "\(unasked.output)")
        #expect(try Program.csnapctl(["snapshot", "schedule", "remove", "date"] + place).code == 0)
        func turn() throws -> [String: Any] {
            let run = try csnapctl(
                volume, "snapshot", "schedule", "run", "data", "--json", "--directory", schedules)
            #expect(run.code == 0, "\(run.output)")
            return try #require(try JSONSerialization.jsonObject(with: run.json) as? [String: Any])
        }
        _ = try volume.caller.createSnapshot("data", "mine")
        let first = try turn()
        let made = try #require(first["made"] as? String)
        #expect(made.hasPrefix("auto-20") && first["acted"] as? Bool == true && first["kept"] as? Int == 1)

        // An hour later, by a clock of our own: the first one is no longer kept.
        var later = ScheduleTurn(volume: "data")
        let rule = RetentionRule(hourly: 1, daily: 0, weekly: 0)
        let now = UInt64(time(nil)) + 3600
        try later.run(rule, volume.caller, at: now)
        #expect(later.made == ScheduleTurn.name(at: now) && later.deleted == [made])
        try volume.caller.command(
            "RenameSnapshot",
            ["volume": .string("data"), "name": .string(ScheduleTurn.name(at: now)), "newName": .string("keep")])
        var last = ScheduleTurn(volume: "data")
        try last.run(rule, volume.caller, at: now + 3600)
        #expect(last.deleted == [] && last.kept == 1)
        #expect(
            try volume.caller.snapshots("data").map(\.name) == ["mine", "keep", ScheduleTurn.name(at: now + 3600)])

        let shown = try Program.csnapctl(["snapshot", "schedule", "show", "--json"] + place)
        #expect(shown.output.contains("\"hourly\":1"), "\(shown.output)")
        #expect(try Program.csnapctl(["snapshot", "schedule", "remove", "data"] + place).code == 0)
        let none = try csnapctl(volume, "snapshot", "schedule", "run", "data", "--directory", schedules)
        #expect(none.code == 1 && none.output.contains("has no schedule"), "\(none.output)")
    }
}
