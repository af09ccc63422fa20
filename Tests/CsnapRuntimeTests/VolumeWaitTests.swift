import CsnapCore
import CsnapRuntime
import CsnapSession
import Testing

/// Each refusal of a snapshot, as `csnapctl why` and the command itself say it: the thing, whose fault, what to type.
@Suite("Waits of volumes")
struct VolumeWaitTests {
    static func waits(_ change: (inout VolumeReport) -> Void) -> [WaitReport] {
        var report = VolumeReport(
            generation: 4, snapshots: 2, originSize: 1 << 40, storeSize: 1 << 30, storeUsed: 5, quarantined: 0,
            sessions: 3)
        change(&report)
        return WaitReport.ofVolume("vm-images", .success(.volume(report)), server: 1)
    }

    @Test("nothing waits: nothing is said") func nothing() {
        #expect(Self.waits { _ in } == [])
        #expect(WaitReport.ofVolume("x", .success(.refused(.notActive, culprit: "")), server: 1) == [])
    }

    @Test("a writer that was lost: node, boot, age and the two remedies") func lost() {
        let waits = Self.waits {
            $0.lostWriters = [LostWriter(node: NodeID(3), boot: Boot(41), age: .seconds(720))]
        }
        #expect(waits.map(\.kind) == ["writerLost"])
        #expect(waits[0].seconds == 720 && waits[0].nodes == [3] && waits[0].warning)
        #expect(waits[0].text.contains("Snapshots of vm-images cannot be made: the client of node 3 (boot 41) is not"))
        #expect(waits[0].remedy.contains("bring node 3 back"))
        #expect(waits[0].remedy.contains("`csnapctl strike 3 --fenced`"))
    }

    @Test("a writer that this server never saw: its boot is that of the eviction") func lostBefore() {
        var report = VolumeReport(
            generation: 4, snapshots: 0, originSize: 1, storeSize: 1, storeUsed: 0, quarantined: 0, sessions: 0)
        report.lostWriters = [LostWriter(node: NodeID(3), boot: Boot(0), age: .seconds(9))]
        let evicted = AdmissionReport(node: 3, boot: 41, epoch: 7, status: "lease passed")
        let waits = WaitReport.ofVolume("x", .success(.volume(report)), server: 1, admissions: [evicted])
        #expect(waits[0].text.contains("the client of node 3 (boot 41) is not connected"))
        let back = AdmissionReport(node: 3, boot: 42, epoch: 8, status: "admitted")
        let later = WaitReport.ofVolume("x", .success(.volume(report)), server: 1, admissions: [back])
        #expect(later[0].text.contains("the client of node 3 is not"), "of which boot, nobody knows any more")
        #expect(later[0].remedy.contains("it ends by itself") && !later[0].remedy.contains("--fenced"))
    }

    @Test("another disk: whose, and where to look") func otherDisk() {
        let waits = Self.waits {
            $0.strangers = [NodeID(2), NodeID(3)]
            $0.strangersAge = .seconds(5)
        }
        #expect(waits.map(\.kind) == ["originDiffers"] && waits[0].seconds == 5)
        #expect(waits[0].nodes == [2, 3] && waits[0].warning)
        #expect(waits[0].text.contains("vm-images cannot be made: the origin of node 2, node 3 is another disk"))
        #expect(waits[0].remedy.contains("csnap-client@vm-images"))
    }

    @Test("a half reverted volume: to what, by whom, and how to go on") func reverting() {
        let waits = Self.waits {
            $0.revert = RevertReport(uuid: .zero, number: 3, name: "monday", node: NodeID(2), cursor: 7)
            $0.revertAge = .seconds(90)
        }
        #expect(waits.map(\.kind) == ["reverting"] && waits[0].nodes == [2] && waits[0].seconds == 90)
        #expect(waits[0].remedy.contains("`csnapctl snapshot revert vm-images monday`"))
    }

    @Test("a half received volume: by whom, and how to go on or give it up") func receiving() {
        let waits = Self.waits {
            $0.revert = RevertReport(uuid: .zero, number: 0, name: "", node: NodeID(2), cursor: 0)
            $0.revertAge = .seconds(30)
        }
        #expect(waits.map(\.kind) == ["receiving"] && waits[0].nodes == [2] && waits[0].seconds == 30)
        #expect(waits[0].remedy.contains("`csnapctl snapshot receive --abandon --volume vm-images`"))
    }

    @Test("a barrier that runs: its name and who is late") func barrier() {
        let waits = Self.waits {
            $0.barrier = BarrierReport(name: "monday", age: .milliseconds(500), missing: [NodeID(2)])
        }
        #expect(waits.map(\.kind) == ["barrier"] && waits[0].nodes == [2])
        #expect(waits[0].text == "Snapshot monday of vm-images is being made: waiting for node 2.")
        let several = Self.waits {
            $0.barrier = BarrierReport(
                name: "monday", age: .milliseconds(500), missing: [NodeID(2), NodeID(2)], volumes: ["logs", "x"])
        }
        #expect(several[0].text.contains("waiting for node 2 (logs), node 2 (x)."))
    }

    @Test("writes that wait for readers, and for room in the store") func writes() {
        let waits = Self.waits {
            $0.heldUp = .seconds(2)
            $0.full = .seconds(4)
            $0.holds = [HoldReport(node: NodeID(5), reads: 1, chunks: 7)]
        }
        #expect(waits.map(\.kind) == ["heldWrites", "storeFull"])
        #expect(waits[0].nodes == [5] && waits[0].seconds == 2 && !waits[0].warning)
        #expect(waits[1].seconds == 4 && waits[1].remedy.contains("delete snapshots"))
    }

    @Test("a volume that the server does not have, and a server that says nothing") func absent() {
        let unserved = WaitReport.ofVolume("x", .success(.refused(.unknownVolume, culprit: "x")), server: 2)
        #expect(unserved.map(\.kind) == ["volumeNotServed"] && unserved[0].nodes == [2])
        let leftOut = WaitReport.ofVolume("x", .success(.refused(.leftOut, culprit: "x")), server: 2)
        #expect(leftOut.map(\.kind) == ["volumeLeftOut"] && leftOut[0].nodes == [2] && !leftOut[0].warning)
        #expect(leftOut[0].remedy.contains("`csnapctl transfer NODE`"))
        let hanging = WaitReport.ofVolume("x", .success(.hanging(.seconds(9))), server: 2)
        #expect(hanging.map(\.kind) == ["storeHangs"] && hanging[0].seconds == 9 && hanging[0].nodes == [2])
        #expect(!hanging[0].warning && hanging[0].text.contains("the store of x"))
        let silent = WaitReport.ofVolume("x", .failure(.noServer("")), server: 2, silent: .seconds(7))
        #expect(silent.map(\.kind) == ["serverSilent"] && silent[0].seconds == 7)
        #expect(silent[0].remedy.contains("port"))
    }

    static let refusals: [(CommandRefusal, String, [String])] = [
        (.notActive, "", ["csnapctl why"]), (.leftOut, "x", ["'x'", "csnapctl transfer"]),
        (.unknownVolume, "x", ["'x'", "one configuration"]),
        (.unknownSnapshot, "x", ["'x'", "csnapctl snapshot list"]), (.nameTaken, "x", ["'x'", "another name"]),
        (.badName, "a b", ["'a b'", "64"]), (.busy, "data", ["data", "try again"]),
        (.writerLost, "node 3 (boot 41, 9 s)", ["node 3 (boot 41", "`csnapctl strike 3 --fenced`", "Bring it back"]),
        (.clientLate, "node 2", ["node 2", "disk"]), (.storeFull, "data", ["data", "delete snapshots"]),
        (.storeFailed, "data", ["data", "log"]), (.tooManySnapshots, "data", ["data", "delete"]),
        (.otherClients, "node 2, node 3", ["node 2, node 3", "systemctl stop"]),
        (.noClient, "node 1", ["node 1", "systemctl start"]), (.reverting, "data", ["data", "csnapctl why"]),
        (.notReverting, "data", ["data"]),
        (.inUse, "monday: node 2 reads it", ["monday: node 2 reads it"]),
    ]

    @Test("each refused command names the thing and the remedy", arguments: refusals)
    func refusal(reason: CommandRefusal, culprit: String, words: [String]) {
        let sentence = reason.sentence(culprit)
        for word in words { #expect(sentence.contains(word), "\(sentence)") }
    }
}
