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
        let report = try JSONDecoder().decode(VolumeCheck.self, from: Data(check.output.utf8))
        #expect(report.done && report.online && report.problems.isEmpty)
        #expect(report.entries >= 2 && report.snapshots == 1)
        let offline = try Program.csnapctl(["volume", "check", "data", "--offline"] + config)
        #expect(offline.code == 1)
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
}
