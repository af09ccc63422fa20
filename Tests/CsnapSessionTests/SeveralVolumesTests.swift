import CsnapCore
import CsnapSession
import Testing

/// docs/decisions/0056-several-volumes-one-decision.md
@Suite("Several volumes at one instant")
struct SeveralVolumesTests {
    typealias Rig = SnapshotRig

    /// Nodes 1 and 2 have a client of each of two volumes: `data` on connections 1 and 2, `logs` on 11 and 12. The
    /// store of `logs` has the lower uuid, so it decides.
    static func rig() -> Rig {
        var rig = Rig()
        var logs = SessionTableTests.volume
        logs.name = "logs"
        logs.storeUUID = Bits128(high: 0, low: 1)
        let volumes = [SessionTableTests.volume, logs]
        let nodes = Array(Rig.nodes.prefix(2))
        rig.served = ServedTable(SessionTable(tenure: Rig.tenure, volumes: volumes, admitted: nodes))
        for (index, name) in ["data", "logs"].enumerated() {
            for node in nodes {
                let id = ConnectionID(UInt64(index * 10) + UInt64(node.node.value))
                _ = rig.served.opened(id)
                let hello = SessionTableTests.hello(node, client: id.value, volume: name)
                _ = rig.served.received(hello, on: id)
            }
        }
        _ = rig.served.opened(Rig.commander)
        _ = rig.served.received(SessionTableTests.hello(volume: "", image: "commands"), on: Rig.commander)
        _ = rig.served.activate(Rig.tenure)
        rig.served.orders = []
        return rig
    }

    static func create(_ rig: inout Rig, _ volumes: [String] = ["data", "logs"]) -> [SessionAction] {
        let command = SnapshotCommand.createSeveral(volumes: volumes, name: "monday", uuid: Rig.uuid)
        return rig.served.received(
            .command(request: 1, epoch: Rig.tenure.epoch, command), on: Rig.commander)
    }

    static let all: [UInt64] = [1, 2, 11, 12]
    static let find = StoreOrder.find(name: "monday", uuid: Rig.uuid)
    static let prepare = StoreOrder.prepare(name: "monday", uuid: Rig.uuid, decider: Bits128(high: 0, low: 1))
    static let commit = StoreOrder.commit(name: "monday", uuid: Rig.uuid)

    /// END to all, those of `data` in the first generation.
    static func ends(_ data: UInt64, _ logs: UInt64) -> [SessionAction] {
        Rig.ends(generation: data, to: [1, 2]) + Rig.ends(generation: logs, to: [11, 12])
    }

    @Test("one barrier over the clients of all; prepared in each store but one, whose commit decides; then END")
    func commits() {
        var rig = Self.rig()
        #expect(Self.create(&rig) == Self.all.map { .send(.barrierBegin(Rig.attempt), to: ConnectionID($0)) })
        for id in Self.all.dropLast() { #expect(rig.acknowledge(on: id) == []) }
        #expect(rig.served.orders == [Self.find, Self.find], "nobody is asked before all stand still")
        rig.served.isStoreSlow = true
        #expect(rig.acknowledge(on: 12) == [])
        #expect(rig.served.waiting.map { $0.order } == [.sampleOrigin, .sampleOrigin])
        #expect(rig.served.answer() == [] && rig.served.answer() == [])
        #expect(rig.served.waiting.map { $0.order } == [Self.prepare] && rig.served.waiting[0].volume == 0)
        #expect(rig.served.answer() == [])
        #expect(rig.served.waiting.map { $0.order } == [Self.commit] && rig.served.waiting[0].volume == 1)
        #expect(rig.served.answer() == [])
        #expect(rig.served.waiting.map { $0.order } == [.commitPrepared(uuid: Rig.uuid)])
        let made = rig.served.answer()
        #expect(Array(made.prefix(4)) == Self.ends(6, 5))
        let several = ["logs", "data"].enumerated().map { index, name in
            VolumeSnapshot(
                volume: name,
                entry: SnapshotEntry(
                    number: 4 + UInt64(index), uuid: Rig.uuid, name: "monday", size: 655361, createdAt: 0))
        }
        #expect(made.contains(Rig.outcome(.several(several))))
    }

    @Test("one late client of one volume: none is made, and all go on in the old generation")
    func late() throws {
        var rig = Self.rig()
        _ = Self.create(&rig)
        for id in Self.all.dropLast() { _ = rig.acknowledge(on: id) }
        let barrier = BarrierReport(name: "monday", age: .zero, missing: [NodeID(2)], volumes: ["logs"])
        #expect(try VolumeReportTests.report(&rig).barrier == barrier, "asked of the volume whose clients stand still")
        let aborted = Self.ends(4, 4) + [Rig.outcome(.refused(.clientLate, culprit: "node 2 (logs)"))]
        #expect(rig.served.pass(.seconds(1)) == aborted)
        #expect(!rig.served.orders.contains(Self.prepare))
        #expect(rig.write(9, on: 1) == [Rig.grant(9, to: 1)])
    }

    @Test("a node is struck when one of its clients has acknowledged and come back, and the other has not")
    func struck() {
        var rig = Self.rig()
        _ = Self.create(&rig)
        _ = rig.acknowledge(on: 12)
        _ = rig.served.closed(ConnectionID(12))
        _ = rig.served.opened(ConnectionID(22))
        let again = SessionTableTests.hello(Rig.nodes[1], client: 12, volume: "logs")
        #expect(rig.served.received(again, on: ConnectionID(22)) == [], "it waits for the end of the barrier")
        let actions = rig.served.strike(Rig.nodes[1])
        #expect(actions.contains(.close(ConnectionID(22), .struck)))
        #expect(actions.contains(Rig.outcome(.refused(.writerLost, culprit: "node 2 (boot 5, 0 s)"))))
    }

    @Test("a lost writer of one volume refuses all of them")
    func lostWriter() {
        var rig = Self.rig()
        _ = rig.served.closed(ConnectionID(12))
        #expect(Self.create(&rig) == [Rig.outcome(.refused(.writerLost, culprit: "node 2 (boot 5, 0 s)"))])
    }

    @Test("a store that cannot: what is prepared is forgotten, durably, before anybody goes on")
    func cannot() {
        var rig = Self.rig()
        _ = Self.create(&rig)
        rig.served.isStoreSlow = true
        for id in Self.all { _ = rig.acknowledge(on: id) }
        #expect(rig.served.answer() == [] && rig.served.answer() == [], "all have one disk")
        #expect(rig.served.answer() == [], "prepared")
        let full = CommandOutcome.refused(.storeFull, culprit: "logs")
        #expect(rig.served.answer(.outcome(full)) == [], "the store that decides says no")
        #expect(rig.served.waiting.map { $0.order } == [.abandon(uuid: Rig.uuid)])
        #expect(rig.served.answer() == Self.ends(4, 4) + [Rig.outcome(full)])
        #expect(rig.served.waiting.isEmpty)
    }

    @Test("one at a time per volume, and no volume is left behind by a refusal")
    func busy() {
        var rig = Self.rig()
        _ = Self.create(&rig)
        #expect(rig.create(request: 2) == [Rig.outcome(.refused(.busy, culprit: "data"), request: 2)])
        _ = rig.served.pass(.seconds(1))
        let unknown = CommandOutcome.refused(.unknownVolume, culprit: "other")
        #expect(Self.create(&rig, ["data", "other"]) == [Rig.outcome(unknown)])
        rig.served.isStoreSlow = true
        _ = Self.create(&rig)
        let taken = CommandOutcome.refused(.nameTaken, culprit: "monday")
        #expect(rig.served.answer(.outcome(taken)) == [])
        #expect(rig.served.answer() == [Rig.outcome(taken)])
        rig.served.isStoreSlow = false
        #expect(Self.create(&rig).count == 4)
    }

    @Test("what decides is not deleted before the others have followed")
    func deleted() {
        var rig = Self.rig()
        _ = Self.create(&rig)
        rig.served.isStoreSlow = true
        for id in Self.all { _ = rig.acknowledge(on: id) }
        _ = rig.served.answer()
        _ = rig.served.answer()
        let delete = SnapshotCommand.delete(volume: "logs", name: "monday")
        let answer = rig.served.received(
            .command(request: 2, epoch: Rig.tenure.epoch, delete), on: Rig.commander)
        #expect(answer == [Rig.outcome(.refused(.busy, culprit: "monday"), request: 2)])
    }

    // MARK: Takeover

    static func left(_ decider: UInt64) -> PreparedResolution {
        var data = SessionTableTests.volume
        data.prepared = [SessionVolume.Prepared(uuid: Rig.uuid, decider: Bits128(high: 0, low: decider))]
        var logs = SessionTableTests.volume
        logs.storeUUID = Bits128(high: 0, low: 1)
        return PreparedResolution([data, logs])
    }

    @Test("a successor asks the store that decides: it has it, so the others follow")
    func decided() throws {
        var resolution = Self.left(1)
        let asked = resolution.begin()
        #expect(asked.map { $0.volume } == [1] && asked.map { $0.order } == [.find(name: "", uuid: Rig.uuid)])
        let next = resolution.answered(asked[0].ticket, .outcome(.snapshot(Rig.made)))
        #expect(next.map { $0.volume } == [0] && next.map { $0.order } == [.commitPrepared(uuid: Rig.uuid)])
        #expect(!resolution.isDone)
        #expect(resolution.answered(next[0].ticket, .committed(Rig.made, generation: 9)) == [])
        #expect(resolution.isDone && resolution.volumes[0].generation == 9)
    }

    @Test("it does not have it, so it was never made")
    func undecided() {
        var resolution = Self.left(1)
        let asked = resolution.begin()
        let next = resolution.answered(asked[0].ticket, .absent)
        #expect(next.map { $0.order } == [.abandon(uuid: Rig.uuid)])
        #expect(resolution.answered(next[0].ticket, .done) == [])
        #expect(resolution.isDone && resolution.volumes[0].generation == 4)
    }

    @Test("a store that decides and is not served: the snapshot stays, rather than lose what cannot come back")
    func unknownDecider() {
        var resolution = Self.left(77)
        #expect(resolution.begin().map { $0.order } == [.commitPrepared(uuid: Rig.uuid)])
    }

    @Test("nothing prepared: nothing is asked")
    func nothing() {
        var resolution = PreparedResolution([SessionTableTests.volume])
        #expect(resolution.begin() == [] && resolution.isDone)
    }
}
