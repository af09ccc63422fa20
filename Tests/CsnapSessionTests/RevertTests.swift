import CsnapCore
import CsnapSession
import Testing

/// docs/decisions/0058-a-revert-is-a-client.md
@Suite("Revert, sessions")
struct RevertTests {
    typealias Rig = SnapshotRig

    /// Only node 1 has a client; it is also where commands come from.
    static func alone(deadServers: [SessionWriter] = []) -> Rig {
        var rig = Rig(deadServers: deadServers)
        for id in [2, 3] as [UInt64] { _ = rig.served.received(.bye, on: ConnectionID(id)) }
        return rig
    }

    static func ask(_ rig: inout Rig, _ command: SnapshotCommand, request: UInt64 = 1) -> [SessionAction] {
        rig.served.received(.command(request: request, epoch: Rig.tenure.epoch, command), on: Rig.commander)
    }

    static let begin = SnapshotCommand.beginRevert(volume: "data", name: "monday", uuid: Rig.uuid)
    static let end = SnapshotCommand.endRevert(volume: "data", uuid: Rig.uuid)
    static let report = RevertReport(uuid: Rig.uuid, number: 3, name: "monday", node: NodeID(1), cursor: 0)

    @Test("it needs the volume for itself: other clients, a lost writer, or none here refuse it by name")
    func refused() {
        var rig = Rig()
        let others = Rig.outcome(.refused(.otherClients, culprit: "node 2, node 3"))
        #expect(Self.ask(&rig, Self.begin) == [others])
        _ = rig.served.received(.bye, on: ConnectionID(2))
        _ = rig.served.closed(ConnectionID(3))
        let lost = Rig.outcome(.refused(.writerLost, culprit: "node 3 (boot 5, 0 s)"))
        #expect(Self.ask(&rig, Self.begin) == [lost])
        _ = rig.served.strike(Rig.nodes[2], isFenced: true)
        _ = rig.served.received(.bye, on: ConnectionID(1))
        #expect(Self.ask(&rig, Self.begin) == [Rig.outcome(.refused(.noClient, culprit: "node 1"))])
    }

    @Test("while it lasts another node's client waits, counts as back, and is welcome when it has ended")
    func exclusive() throws {
        var rig = Self.alone()
        #expect(Self.ask(&rig, Self.begin) == [Rig.outcome(.reverting(Self.report))])
        #expect(rig.join(Rig.nodes[1], on: 12) == [.sessions(Rig.nodes[1], count: 1)], "no welcome, and no record")
        #expect(rig.served.closed(ConnectionID(12)) == [.sessions(Rig.nodes[1], count: 0)])
        _ = rig.join(Rig.nodes[1], on: 12)
        _ = rig.served.pass(.seconds(9))
        let waiting = try VolumeReportTests.report(&rig)
        #expect(waiting.revert == Self.report && waiting.revertAge == .seconds(9))
        #expect(try VolumeReportTests.report(&rig).lostWriters == [])
        #expect(rig.write(9, on: 1) == [Rig.grant(9, to: 1)], "its own client writes")
        let ended = Self.ask(&rig, Self.end)
        #expect(ended.contains { $0.isWelcome } && ended.contains(Rig.outcome(.done)))
        #expect(rig.write(10, on: 12) == [Rig.grant(10, to: 12)])
    }

    @Test("a client that waits for its end tells which kernel runs: dead servers of another one are settled")
    func settling() {
        let dead = SessionWriter(
            node: NodeID(2), machineID: Bits128(high: 5, low: 2), kernelBootID: Bits128(high: 6, low: 1))
        var rig = Self.alone(deadServers: [dead])
        _ = Self.ask(&rig, Self.begin)
        _ = rig.join(Rig.nodes[1], on: 12, kernel: 2)
        _ = rig.served.pass(SessionLimits().settle)
        #expect(rig.served.orders.last == .settleKernel(dead))
    }

    @Test("a received snapshot is made while nobody else has the volume, or not at all")
    func receive() {
        var rig = Self.alone()
        let begin = SnapshotCommand.beginReceive(volume: "data", uuid: Rig.uuid)
        let finish = SnapshotCommand.finishReceive(volume: "data", name: "monday", uuid: Rig.uuid)
        let nothing = Rig.outcome(.refused(.notReverting, culprit: "data"))
        #expect(Self.ask(&rig, finish) == [nothing], "given up, or never begun")
        let report = RevertReport(uuid: Rig.uuid, number: 0, name: "", node: NodeID(1), cursor: 0)
        #expect(Self.ask(&rig, begin) == [Rig.outcome(.reverting(report))])
        #expect(rig.join(Rig.nodes[1], on: 12) == [.sessions(Rig.nodes[1], count: 1)], "no welcome")
        let other = SnapshotCommand.finishReceive(volume: "data", name: "monday", uuid: Bits128(high: 1, low: 1))
        #expect(Self.ask(&rig, other) == [nothing])
        #expect(Self.ask(&rig, finish) == [.send(.barrierBegin(Rig.attempt), to: ConnectionID(1))])
        #expect(
            Self.ask(&rig, Self.end, request: 2) == [Rig.outcome(.refused(.busy, culprit: "data"), request: 2)],
            "nobody is let in meanwhile")
        _ = rig.acknowledge(on: 1)
        #expect(Self.ask(&rig, Self.end).contains { $0.isWelcome })
        var reverting = Self.alone()
        _ = Self.ask(&reverting, Self.begin)
        #expect(Self.ask(&reverting, finish) == [nothing], "a revert is no receive")
    }

    @Test("nobody slips in between the command and its record")
    func reserved() {
        var rig = Self.alone()
        rig.served.isStoreSlow = true
        _ = Self.ask(&rig, Self.begin)
        _ = rig.join(Rig.nodes[1], on: 12)
        #expect(Self.ask(&rig, Self.begin, request: 2) == [Rig.outcome(.refused(.busy, culprit: "data"), request: 2)])
        let reverting = Rig.outcome(.refused(.reverting, culprit: "data"))
        #expect(rig.create() == [reverting])
        #expect(Self.ask(&rig, .resize(volume: "data")) == [reverting])
        let unknown = CommandOutcome.refused(.unknownSnapshot, culprit: "monday")
        #expect(rig.served.answer(.outcome(unknown)).contains(Rig.outcome(unknown)))
        #expect(rig.served.answerAll().contains { $0.isWelcome }, "refused: whoever waited is welcome")
    }

    @Test("another node gives it up only when nothing of its client can reach the origin any more")
    func givenUp() {
        var rig = Self.alone()
        _ = Self.ask(&rig, .beginReceive(volume: "data", uuid: Rig.uuid))
        let other = ConnectionID(8)
        _ = rig.served.opened(other)
        _ = rig.served.received(SessionTableTests.hello(Rig.nodes[1], volume: "", image: "commands"), on: other)
        func giveUp() -> CommandOutcome? {
            let frame = ClientFrame.command(request: 1, epoch: Rig.tenure.epoch, Self.end)
            for action in rig.served.received(frame, on: other) {
                if case .send(.outcome(_, _, let outcome), other) = action { return outcome }
            }
            return nil
        }
        #expect(giveUp() == .refused(.otherClients, culprit: "node 1"))
        _ = rig.served.closed(ConnectionID(1))
        #expect(giveUp() == .refused(.writerLost, culprit: "node 1 (boot 5, 0 s)"))
        _ = rig.served.strike(Rig.nodes[0], isFenced: true)
        #expect(giveUp() == .done)
    }

    @Test("no snapshot is made meanwhile but its own")
    func snapshots() {
        var rig = Self.alone()
        _ = Self.ask(&rig, Self.begin)
        let other = SnapshotCommand.create(volume: "data", name: "x", uuid: Bits128(high: 1, low: 1))
        #expect(Self.ask(&rig, other) == [Rig.outcome(.refused(.reverting, culprit: "data"))])
        #expect(rig.create() == [.send(.barrierBegin(Rig.attempt), to: ConnectionID(1))])
    }

    @Test("a successor finds the record: only that node's client is welcome, and another one may go on")
    func takenOver() throws {
        var volume = SessionTableTests.volume
        volume.revert = Self.report
        var rig = Rig()
        rig.served = ServedTable(SessionTable(tenure: Rig.tenure, volumes: [volume], admitted: Rig.nodes))
        #expect(rig.join(Rig.nodes[1], on: 2) == [.sessions(Rig.nodes[1], count: 1)])
        _ = rig.served.opened(Rig.commander)
        _ = rig.served.received(SessionTableTests.hello(Rig.nodes[1], volume: "", image: "commands"), on: Rig.commander)
        _ = rig.served.activate(Rig.tenure)
        let begun = Self.ask(&rig, Self.begin)
        var moved = Self.report
        moved.node = NodeID(2)
        #expect(begun.contains { $0.isWelcome })
        #expect(begun.contains(Rig.outcome(.reverting(moved))))
        #expect(rig.write(9, on: 2) == [Rig.grant(9, to: 2)])
        #expect(rig.join(Rig.nodes[0], on: 1) == [.sessions(Rig.nodes[0], count: 1)], "now it is node 1 that waits")
        _ = rig.served.pass(.seconds(5))
        #expect(try VolumeReportTests.report(&rig).revertAge == .seconds(5), "as long as this server serves, at least")
    }
}
