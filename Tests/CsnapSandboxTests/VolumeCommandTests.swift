import CsnapRuntime
import CsnapSandbox
import Foundation
import Glibc
import Testing

/// `csnapctl volume` against an agent, a server and a client as processes.
@Suite(.serialized)
struct VolumeCommandTests {
    @Test func aVolumeIsCheckedWhileItServesAndItsOriginGrows() throws {
        let volume = try LoneVolume()
        var model = Data(count: LoneVolume.size)
        try volume.snapshot("monday")
        try volume.write([0..<4096, 1_000_448..<1_100_800], &model)
        let config = ["--config", volume.directory + "/csnap.yaml"]
        let check = try Program.csnapctl(["volume", "check", "data", "--json"] + config)
        #expect(check.code == 0, "\(check.output)")
        let report = try JSONDecoder().decode(VolumeCheck.self, from: check.json)
        #expect(report.done && report.online && report.problems.isEmpty)
        #expect(report.entries >= 2 && report.snapshots == 1)
        let offline = try Program.csnapctl(["volume", "check", "data", "--offline"] + config)
        #expect(offline.code == 4)
        #expect(offline.output.contains("in use by a server on this node"), "\(offline.output)")

        let larger = LoneVolume.size + (8 << 20)
        #expect(truncate(volume.origin, larger) == 0)
        let before = try volume.connect()
        #expect(before.size == UInt64(LoneVolume.size))
        let resize = try Program.csnapctl(["volume", "resize", "data"] + config)
        #expect(resize.code == 0, "\(resize.output)")
        #expect(resize.output.contains("\(larger) bytes"))
        try before.write([UInt8](repeating: 7, count: 512), offset: 0)
        before.disconnect()
        let after = try volume.connect()
        #expect(after.size == UInt64(larger))
        let bytes = [UInt8](repeating: 9, count: 4096)
        try after.write(bytes, offset: UInt64(larger - 4096))
        #expect(try after.read(offset: UInt64(larger - 4096), count: 4096) == bytes)
        after.disconnect()
        let snapshot = try volume.connect("snap/monday")
        #expect(snapshot.size == UInt64(LoneVolume.size))
        #expect(try snapshot.read(offset: 0, count: 4096) == [UInt8](repeating: 0, count: 4096))
        snapshot.disconnect()
        let again = try Program.csnapctl(["volume", "check", "data"] + config)
        #expect(again.code == 0 && again.output.contains("clean"), "\(again.output)")
    }

    @Test func eachCommandAnswersInJSONWhenAsked() throws {
        let volume = try LoneVolume()
        try volume.snapshot("monday")
        func answer(_ words: [String]) throws -> JSONValue {
            let run = try Program.csnapctl(words + ["--json", "--config", volume.directory + "/csnap.yaml"])
            #expect(run.code == 0, "\(run.output)")
            return try JSON.decode(JSONValue.self, from: Array(run.output.utf8))
        }
        func object(_ words: [String: String]) -> JSONValue { .object(words.mapValues { .string($0) }) }
        let holds = try answer(["holds"])
        #expect(holds["name"] == .string("data") && holds["holds"] == .array([]))
        #expect(holds["waitingWrites"] == .integer(0))
        #expect(try answer(["volume", "list"]) == .array([holds]))
        let renamed = try answer(["snapshot", "rename", "monday", "tuesday"])
        #expect(renamed == object(["volume": "data", "renamed": "monday", "name": "tuesday"]))
        let deleted = try answer(["snapshot", "delete", "tuesday"])
        #expect(deleted == object(["volume": "data", "deleted": "tuesday"]))
    }

    /// A csnap that is older than the store leaves it alone and says so wherever somebody may look.
    @Test func aStoreOfANewerVersionIsRefusedByName() throws {
        let volume = try LoneVolume()
        try volume.snapshot("monday")
        try volume.stop()
        try StoreFile.changeVersion(volume.store, by: 1)
        let before = try Data(contentsOf: URL(fileURLWithPath: volume.store))
        let config = ["--config", volume.directory + "/csnap.yaml"]
        try volume.start()
        try waitUntil("why names the store, the cause and the remedy", seconds: 60) {
            let why = try Program.csnapctl(["why"] + config)
            return why.code == 3 && why.output.contains(LoneVolume.name) && why.output.contains("upgrade csnap")
        }
        let cause = "the store \(volume.store) has format version 2, this csnap knows 1; upgrade csnap"
        try waitUntil("the log says why", seconds: 60) { volume.log("csnap-agent").contains(cause) }
        try volume.stop()
        for words in [["--offline"], ["--repair", "--force", "--fenced"]] {
            let check = try Program.csnapctl(["volume", "check", "data"] + words + config)
            #expect(check.code == 1 && check.output.contains(cause), "\(check.output)")
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: volume.store)) == before, "its bytes are what they were")
        // The newer csnap.
        try StoreFile.changeVersion(volume.store, by: -1)
        try volume.start()
        try volume.waitForService()
        try waitUntil("the snapshot is offered", seconds: 60) { (try? volume.connect("snap/monday")) != nil }
    }

    /// What dead servers keep away is free on an operator's word, and the volume is served again.
    @Test func deadServersAreSettledOnTheOperatorsWord() throws {
        let volume = try LoneVolume()
        var model = Data(count: LoneVolume.size)
        try volume.write([0..<1 << 20], &model)
        try volume.snapshot("monday")
        try volume.killServer()
        var later = model
        try volume.write([0..<1 << 20], &later)
        try volume.stop()
        let config = ["--config", volume.directory + "/csnap.yaml"]
        let words = ["volume", "check", "data", "--repair", "--fenced"] + config
        let said = try Program.csnapctl(words)
        #expect(said.code == 0 && said.output.contains("nothing is kept away any more"), "\(said.output)")
        let json = try Program.csnapctl(words + ["--json"])
        let report = try JSONDecoder().decode(VolumeCheck.self, from: json.json)
        #expect(report.settled ?? 0 > 0 && report.repaired == false && report.problems.isEmpty)
        try volume.start()
        try volume.waitForService()
        try waitUntil("the snapshot is offered", seconds: 60) { (try? volume.connect("snap/monday")) != nil }
        for (export, image) in [("snap/monday", model), ("origin", later)] {
            let device = try volume.connect(export)
            #expect(try Data(device.read(offset: 0, count: 1 << 20)) == image.prefix(1 << 20), "\(export)")
            device.disconnect()
        }
    }

    @Test func whatOneWordNeedsAnotherForIsSaid() throws {
        for word in ["--force", "--fenced"] {
            let run = try Program.csnapctl(["volume", "check", "data", word])
            #expect(run.code == 2 && run.output.contains("\(word) is for --repair"), "\(run.output)")
        }
    }
}
