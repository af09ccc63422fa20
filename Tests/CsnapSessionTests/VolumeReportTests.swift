import CsnapCore
import CsnapSession
import Testing

/// What the server tells of a volume where something waits or would be refused: who, and for how long.
@Suite("Volume report")
struct VolumeReportTests {
    typealias Rig = SnapshotRig

    static func report(_ rig: inout Rig) throws -> VolumeReport {
        let actions = rig.served.received(
            .command(request: 2, epoch: Rig.tenure.epoch, .examine(volume: "data")), on: Rig.commander)
        guard case .send(.outcome(2, _, .volume(let report)), to: Rig.commander) = actions.first else {
            throw Missing()
        }
        return report
    }

    struct Missing: Error {}

    @Test("a lost writer: node, boot and since when; one that is back is none")
    func lostWriter() throws {
        var rig = Rig()
        _ = rig.served.closed(ConnectionID(3))
        _ = rig.served.pass(.seconds(720))
        #expect(try Self.report(&rig).lostWriters == [LostWriter(node: NodeID(3), boot: Boot(5), age: .seconds(720))])
        _ = rig.join(Rig.nodes[2], on: 13)
        #expect(try Self.report(&rig).lostWriters == [])
        _ = rig.served.closed(ConnectionID(13))
        #expect(try Self.report(&rig).lostWriters == [LostWriter(node: NodeID(3), boot: Boot(5), age: .zero)])
    }

    @Test("a barrier: the snapshot's name, its age, and whom it waits for")
    func barrier() throws {
        var rig = Rig()
        #expect(try Self.report(&rig).barrier == nil)
        _ = rig.create()
        _ = rig.acknowledge(on: 1)
        _ = rig.served.pass(.milliseconds(400))
        let barrier = BarrierReport(name: "monday", age: .milliseconds(400), missing: [NodeID(2), NodeID(3)])
        #expect(try Self.report(&rig).barrier == barrier)
    }

    @Test("writes that wait: for readers, and for room")
    func waitingWrites() throws {
        var rig = Rig()
        _ = rig.read(5, on: 1)
        _ = rig.write(6, on: 2)
        rig.served.isStoreSlow = true
        _ = rig.write(7, chunk: 1, on: 2)
        _ = rig.served.answer(.full)
        rig.served.isStoreSlow = false
        _ = rig.served.pass(.milliseconds(50))
        let report = try Self.report(&rig)
        #expect(report.waitingWrites == 2)
        #expect(report.heldUp == .milliseconds(50) && report.full == .milliseconds(50))
        #expect(report.holds == [HoldReport(node: NodeID(1), reads: 1, chunks: 1)])
    }

    @Test("a snapshot that is being read is not deleted, and its reader is named")
    func readWhileDeleted() {
        var rig = Rig()
        _ = rig.read(5, on: 2)
        let delete = SnapshotCommand.delete(volume: "data", name: "monday")
        _ = rig.served.received(.command(request: 2, epoch: Rig.tenure.epoch, delete), on: Rig.commander)
        let use = SnapshotUse(number: 3, culprit: "node 2 reads it")
        #expect(rig.served.orders.last == .delete(name: "monday", inUse: [use]))
        _ = rig.endRead(5, on: 2)
        _ = rig.served.received(.command(request: 3, epoch: Rig.tenure.epoch, delete), on: Rig.commander)
        #expect(rig.served.orders.last == .delete(name: "monday", inUse: []))
    }

    @Test("what a program has open is not deleted until it is closed or its session ends")
    func openWhileDeleted() {
        var rig = Rig()
        func used() -> [SnapshotUse] {
            let delete = SnapshotCommand.delete(volume: "data", name: "monday")
            _ = rig.served.received(.command(request: 2, epoch: Rig.tenure.epoch, delete), on: Rig.commander)
            guard case .delete(_, _, let uses) = rig.served.orders.last else { return [] }
            return uses
        }
        func open(_ images: [UInt64], on id: UInt64) {
            _ = rig.served.received(.openImages(epoch: Rig.tenure.epoch, images), on: ConnectionID(id))
        }
        open([3, 4], on: 1)
        open([3], on: 2)
        #expect(
            used() == [
                SnapshotUse(number: 3, culprit: "node 1, node 2 have it open"),
                SnapshotUse(number: 4, culprit: "node 1 has it open"),
            ])
        open([4], on: 1)
        _ = rig.served.closed(ConnectionID(2))
        #expect(used() == [SnapshotUse(number: 4, culprit: "node 1 has it open")])
        open([], on: 1)
        #expect(used() == [])
    }

    @Test("a client that has not said yet what is open there may have anything open")
    func deletedBeforeItIsToldWhatIsOpen() {
        var rig = Rig()
        _ = rig.served.closed(ConnectionID(2))
        rig.saysWhatIsOpen = false
        _ = rig.join(Rig.nodes[1], on: 12)
        func delete() -> [SessionAction] {
            let delete = SnapshotCommand.delete(volume: "data", name: "monday")
            return rig.served.received(.command(request: 2, epoch: Rig.tenure.epoch, delete), on: Rig.commander)
        }
        let refused = CommandOutcome.refused(.inUse, culprit: "monday: node 2 has not said yet what is open there")
        #expect(delete() == [Rig.outcome(refused, request: 2)])
        #expect(!rig.served.orders.contains { if case .delete = $0 { true } else { false } })
        _ = rig.served.received(.openImages(epoch: Rig.tenure.epoch, [3]), on: ConnectionID(12))
        _ = delete()
        let use = SnapshotUse(number: 3, culprit: "node 2 has it open")
        #expect(rig.served.orders.last == .delete(name: "monday", inUse: [use]))
    }
}
