import CsnapCore
import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// A store that comes back as it was earlier: from a backup, or by a path to another disk. What was written meanwhile
/// was not copied into it, so its snapshots would be wrong.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct OldStoreTests {
    @Test func aStorePutBackWhileNothingRanIsRefused() throws {
        let volume = try LoneVolume()
        var model = Data(count: LoneVolume.size)
        try volume.snapshot("monday")
        try volume.stop()
        let copy = volume.directory + "/copy"
        try FileManager.default.copyItem(atPath: volume.store, toPath: copy)

        try volume.start()
        try volume.waitForService()
        try volume.write([0..<256 << 10], &model)
        let epoch = try volume.status().epoch
        try volume.stop()
        let present = volume.directory + "/present"
        try FileManager.default.moveItem(atPath: volume.store, toPath: present)
        try FileManager.default.moveItem(atPath: copy, toPath: volume.store)

        try volume.start()
        try waitUntil("the old store is refused", seconds: 60) {
            volume.log("csnap-agent").contains("it is an old copy or another disk")
        }
        #expect(try volume.status().phase != "active")
        #expect(volume.log("csnap-agent").contains("the group epoch \(epoch)"))
        try volume.stop()
        try FileManager.default.removeItem(atPath: volume.store)
        try FileManager.default.moveItem(atPath: present, toPath: volume.store)
        try volume.start()
        try volume.waitForService()
        let device = try volume.connect("snap/monday")
        #expect(try device.read(offset: 0, count: 256 << 10) == [UInt8](repeating: 0, count: 256 << 10))
        device.disconnect()
    }
}
