import CsnapCore
import CsnapSession
import Testing

/// docs/data-plane.md, "Snapshot creation is a barrier" and "Writers".
@Suite("Snapshot barrier")
struct SnapshotBarrierTests {
    typealias Rig = SnapshotRig

    @Test("BEGIN to every client; when all have acknowledged the snapshot is committed, then END")
    func commit() {
        var rig = Rig()
        #expect(rig.create() == Rig.begins())
        #expect(rig.acknowledge(on: 1) == [])
        #expect(rig.acknowledge(on: 3) == [])
        #expect(!rig.served.orders.contains(.commit(name: "monday", uuid: Rig.uuid)))
        rig.served.isStoreSlow = true
        #expect(rig.acknowledge(on: 2) == [], "END waits for the store")
        #expect(rig.served.answer() == [], "its disk is that of the clients")
        #expect(rig.served.answer() == Rig.success())
    }

    @Test("who has another disk than the server is named and nothing made; what was written meanwhile is none")
    func otherDisk() throws {
        var rig = Rig()
        let second = BarrierAttempt(tenure: Rig.tenure, counter: 2)
        func acknowledge(_ attempt: BarrierAttempt, _ sums: [UInt32]) -> [SessionAction] {
            (1...3).flatMap { rig.acknowledge(attempt, origin: sums[Int($0) - 1], on: $0) }
        }
        let (same, other) = (ServedTable.origin, ServedTable.origin + 1)
        _ = rig.create()
        #expect(acknowledge(Rig.attempt, [same, other, other]) == Rig.begins(second), "looked at once more")
        #expect(rig.write(9, on: 1) == [], "all stand still for that")
        let refusal = Rig.outcome(.refused(.originDiffers, culprit: "node 3"))
        #expect(acknowledge(second, [same, same, other]) == Rig.ends(second, generation: 4) + [refusal])
        #expect(!rig.served.orders.contains(.commit(name: "monday", uuid: Rig.uuid)))
        _ = rig.served.pass(.seconds(4))
        let report = try VolumeReportTests.report(&rig)
        #expect(report.strangers == [NodeID(3)] && report.strangersAge == .seconds(4))

        let third = BarrierAttempt(tenure: Rig.tenure, counter: 3)
        #expect(rig.create() == Rig.begins(third))
        #expect(acknowledge(third, [same, same, same]) == Rig.success(attempt: third))
        #expect(try VolumeReportTests.report(&rig).strangers == [])
    }

    @Test("a node that had another disk is a stranger until its client has gone, or another one has come")
    func otherDiskGone() throws {
        var rig = Rig()
        _ = rig.create()
        for counter in 1...2 as ClosedRange<UInt64> {
            let attempt = BarrierAttempt(tenure: Rig.tenure, counter: counter)
            for id in 1...3 as ClosedRange<UInt64> { _ = rig.acknowledge(attempt, origin: 0, on: id) }
        }
        #expect(try VolumeReportTests.report(&rig).strangers == [NodeID(1), NodeID(2), NodeID(3)])
        _ = rig.served.closed(ConnectionID(1))
        _ = rig.join(Rig.nodes[0], on: 11)
        #expect(try VolumeReportTests.report(&rig).strangers == [NodeID(1), NodeID(2), NodeID(3)], "the same client")
        _ = rig.served.received(.bye, on: ConnectionID(2))
        #expect(try VolumeReportTests.report(&rig).strangers == [NodeID(1), NodeID(3)])
        _ = rig.served.closed(ConnectionID(11))
        _ = rig.join(Rig.nodes[0], client: 33, on: 13)
        #expect(try VolumeReportTests.report(&rig).strangers == [NodeID(3)])
        _ = rig.served.strike(Rig.nodes[2])
        #expect(try VolumeReportTests.report(&rig).strangers == [])
    }

    @Test("a command that is sent again on a new connection takes over the answer of the snapshot that is being made")
    func sentAgain() {
        var rig = Rig()
        _ = rig.create()
        _ = rig.served.closed(Rig.commander)
        let again = ConnectionID(19)
        _ = rig.served.opened(again)
        _ = rig.served.received(SessionTableTests.hello(Rig.nodes[0], volume: "", image: "commands"), on: again)
        func create(_ uuid: Bits128) -> [SessionAction] {
            let command = SnapshotCommand.create(volume: "data", name: "monday", uuid: uuid)
            return rig.served.received(.command(request: 8, epoch: Rig.tenure.epoch, command), on: again)
        }
        #expect(create(Rig.uuid) == [], "it waits")
        let busy = ServerFrame.outcome(request: 8, epoch: Rig.tenure.epoch, .refused(.busy, culprit: "data"))
        #expect(create(Bits128(high: 8, low: 8)) == [.send(busy, to: again)], "another command")
        let made = ServerFrame.outcome(request: 8, epoch: Rig.tenure.epoch, .snapshot(Rig.made))
        let last = (1...3).flatMap { rig.acknowledge(on: $0) }
        #expect(last.contains(.send(made, to: again)), "\(last)")
    }

    @Test("the second look has a second of its own, however long the store took for the first")
    func patience() {
        var rig = Rig()
        _ = rig.create()
        rig.served.isStoreSlow = true
        for id in 1...3 as ClosedRange<UInt64> { _ = rig.acknowledge(origin: UInt32(id), on: id) }
        #expect(rig.served.pass(.seconds(2)) == [], "the store has no deadline")
        #expect(rig.served.answer() == Rig.begins(BarrierAttempt(tenure: Rig.tenure, counter: 2)))
        #expect(rig.served.pass(.milliseconds(999)) == [])
        #expect(rig.served.pass(.milliseconds(1)).contains(Rig.outcome(.refused(.clientLate, culprit: Self.all))))
    }

    private static let all = "node 1, node 2, node 3"

    @Test("what a session asked for is given up with it, and ungranted copies with BEGIN; a branch is written")
    func cancelled() {
        var rig = Rig()
        rig.served.isStoreSlow = true
        _ = rig.write(8, on: 1)
        _ = rig.read(9, on: 2)
        let data = BranchData(branch: 1 << 52 + 1, offset: 0, length: 512, bytes: [])
        _ = rig.served.received(.writeBranch(request: 10, epoch: Rig.tenure.epoch, data), on: ConnectionID(2))
        let tickets = rig.served.waiting.map { $0.ticket }
        _ = rig.served.closed(ConnectionID(2))
        #expect(rig.served.cancelled == [tickets[1]])
        _ = rig.create()
        rig.served.waiting.removeFirst(3)
        _ = rig.served.answer()
        #expect(rig.served.cancelled == [tickets[1]], "node 2 is lost: no barrier")
        _ = rig.join(Rig.nodes[1], on: 12)
        _ = rig.served.answerAll()
        #expect(rig.create(request: 2) == [])
        #expect(rig.served.answer().count == 3)
        #expect(rig.served.cancelled == [tickets[1], tickets[0]])
    }

    @Test("a client that is lost while all are asked again forbids the snapshot")
    func lostBeforeSecondLook() {
        var rig = Rig()
        _ = rig.create()
        for id in 1...3 as ClosedRange<UInt64> { _ = rig.acknowledge(origin: UInt32(id), on: id) }
        let lost = rig.served.closed(ConnectionID(2))
        #expect(lost.contains(Rig.outcome(.refused(.writerLost, culprit: "node 2 (boot 5, 0 s)"))))
    }

    @Test("a resize is measured, stands still for all, and END tells the size; chunks behind the old end are granted")
    func resize() {
        var rig = Rig()
        let behind: UInt64 = 12
        #expect(rig.write(1, chunk: behind, on: 1) != [Rig.grant(1, to: 1)])
        let command = ClientFrame.command(request: 1, epoch: Rig.tenure.epoch, .resize(volume: "data"))
        #expect(rig.served.received(command, on: Rig.commander) == Rig.begins())
        #expect(rig.acknowledge(on: 1) == [])
        #expect(!rig.served.orders.contains(.resize))
        #expect(rig.acknowledge(on: 2) == [])
        let ends = (1...3).map {
            SessionAction.send(
                .barrierEnd(Rig.attempt, generation: 4, originSize: 1 << 20), to: ConnectionID($0))
        }
        #expect(rig.acknowledge(on: 3) == ends + [Rig.outcome(.done)])
        #expect(rig.served.orders.suffix(3) == [.measure, .sampleOrigin, .resize])
        #expect(rig.write(2, chunk: behind, on: 1) == [Rig.grant(2, to: 1)])
    }

    @Test("without a client there is nothing to wait for")
    func alone() {
        var served = SessionTableTests.table()
        _ = served.activate(Rig.tenure)
        _ = served.opened(Rig.commander)
        _ = served.received(SessionTableTests.hello(volume: "", image: "commands"), on: Rig.commander)
        let command = SnapshotCommand.create(volume: "data", name: "monday", uuid: Rig.uuid)
        let frame = ClientFrame.command(request: 1, epoch: Rig.tenure.epoch, command)
        #expect(served.received(frame, on: Rig.commander) == [Rig.outcome(.snapshot(Rig.made))])
    }

    @Test("a late client: abort, by name, and nothing has changed")
    func late() {
        var rig = Rig()
        _ = rig.create()
        _ = rig.acknowledge(on: 1)
        #expect(rig.served.table.nextWake == Instant(nanoseconds: 0) + .seconds(1))
        #expect(rig.served.pass(.milliseconds(999)) == [])
        let aborted =
            Rig.ends(generation: 4) + [Rig.outcome(.refused(.clientLate, culprit: "node 2, node 3"))]
        #expect(rig.served.pass(.milliseconds(1)) == aborted)
        #expect(rig.write(9, on: 1) == [Rig.grant(9, to: 1)])
        let second = BarrierAttempt(tenure: Rig.tenure, counter: 2)
        #expect(rig.create() == Rig.begins(second), "the next attempt has a number of its own")
    }

    @Test("BEGIN, ACK and END carry the attempt; others are ignored")
    func attempts() {
        var rig = Rig()
        _ = rig.create()
        _ = rig.served.pass(.seconds(1))
        _ = rig.create()
        for id in 1...3 as ClosedRange<UInt64> {
            #expect(rig.acknowledge(Rig.attempt, on: id) == [], "of the first attempt")
            let other = Tenure(epoch: Rig.tenure.epoch, round: Round(2))
            #expect(rig.acknowledge(BarrierAttempt(tenure: other, counter: 2), on: id) == [])
        }
        #expect(!rig.served.orders.contains(.commit(name: "monday", uuid: Rig.uuid)))
    }

    @Test("a connection that breaks before its acknowledgement aborts; one that has acknowledged does not")
    func broken() {
        var rig = Rig()
        _ = rig.create()
        let broken = rig.served.closed(ConnectionID(2))
        #expect(broken.contains(Rig.outcome(.refused(.writerLost, culprit: "node 2 (boot 5, 0 s)"))))
        #expect(broken.contains(.send(.barrierEnd(Rig.attempt, generation: 4), to: ConnectionID(3))))
        var second = Rig()
        _ = second.create()
        _ = second.acknowledge(on: 2)
        _ = second.served.closed(ConnectionID(2))
        _ = second.acknowledge(on: 1)
        let end = second.acknowledge(on: 3)
        #expect(end == Rig.success(to: [1, 3]))
    }

    @Test("from BEGIN to END nothing is granted; ungranted queries are handed back and asked again")
    func nothingGranted() {
        var rig = Rig()
        rig.served.isStoreSlow = true
        #expect(rig.write(8, on: 1) == [])
        #expect(rig.create() == [])
        let copyOut = rig.served.waiting.removeFirst()
        #expect(rig.served.answer() == Rig.begins())
        #expect(rig.served.table.completed(copyOut.ticket, volume: 0, .copied, at: rig.served.now) == [])
        #expect(rig.write(9, on: 2) == [])
        #expect(rig.served.waiting.isEmpty, "nor is it even asked of the store")
        rig.served.isStoreSlow = false
        for id in 1...3 as ClosedRange<UInt64> { _ = rig.acknowledge(on: id) }
        #expect(rig.write(8, on: 1) == [Rig.grant(8, generation: 5, to: 1)], "the same request again")
    }

    @Test("WELCOME of origin clients waits from BEGIN to END")
    func welcomeWaits() {
        var rig = Rig()
        _ = rig.create()
        _ = rig.acknowledge(on: 2)
        #expect(rig.join(Rig.nodes[1], on: 12).contains(.close(ConnectionID(2), .replaced)))
        #expect(rig.served.sessions(of: Rig.nodes[1]) == 0)
        _ = rig.acknowledge(on: 1)
        let end = rig.acknowledge(on: 3)
        guard case .send(.welcome(let welcome), let id)? = end.first(where: { $0.isWelcome }) else {
            Issue.record("no welcome in \(end)")
            return
        }
        #expect(id == ConnectionID(12))
        #expect(welcome.generation == 5, "the generation tells the outcome")
    }

    @Test("a snapshot is created only when each writer has acknowledged or is cleared")
    func lostWriter() {
        var rig = Rig()
        _ = rig.served.closed(ConnectionID(3))
        _ = rig.served.pass(.seconds(720))
        let refused = [Rig.outcome(.refused(.writerLost, culprit: "node 3 (boot 5, 720 s)"))]
        #expect(rig.create() == refused)
        #expect(rig.served.strike(Rig.nodes[2]) == [.struck(Rig.nodes[2])], "a strike proves nothing of the disk")
        #expect(rig.create() == refused)
        _ = rig.served.strike(Rig.nodes[2], isFenced: true)
        #expect(rig.served.orders.contains { if case .clearWriter = $0 { true } else { false } })
        #expect(rig.served.orders.last == .settle(Rig.nodes[2]))
        #expect(rig.create().count == 2, "BEGIN to the two that are left")
    }

    @Test("BYE of a node's last client clears its writer")
    func bye() {
        var rig = Rig()
        _ = rig.served.received(.bye, on: ConnectionID(3))
        #expect(rig.create().count == 2)
    }

    @Test("another kernel on the same machine settles its writer after a while")
    func anotherKernel() {
        var rig = Rig()
        _ = rig.served.strike(Rig.nodes[2])
        let next = NodeBoot(node: NodeID(3), boot: Boot(6))
        _ = rig.served.admit(next)
        _ = rig.join(next, on: 13, kernel: 2)
        #expect(rig.create() == [Rig.outcome(.refused(.writerLost, culprit: "node 3 (boot 5, 0 s)"))])
        _ = rig.served.pass(.seconds(59))
        #expect(rig.create() == [Rig.outcome(.refused(.writerLost, culprit: "node 3 (boot 5, 59 s)"))])
        _ = rig.served.pass(.seconds(1))
        #expect(rig.create().count == 3)
    }

    @Test("the writer record is durable before the first WELCOME")
    func recordFirst() {
        var served = SessionTableTests.table()
        served.isStoreSlow = true
        _ = served.opened(ConnectionID(1))
        #expect(served.received(SessionTableTests.hello(), on: ConnectionID(1)) == [])
        let welcomed = served.answer()
        #expect(welcomed.contains { $0.isWelcome })
        _ = served.closed(ConnectionID(1))
        _ = served.opened(ConnectionID(2))
        #expect(served.received(SessionTableTests.hello(), on: ConnectionID(2)).contains { $0.isWelcome }, "once only")
    }

    @Test("writers that a server finds in the store count like its own")
    func inherited() {
        let writer = SessionWriter(node: NodeID(8), machineID: .zero, kernelBootID: .zero)
        var volume = SessionTableTests.volume
        volume.writers = [writer]
        var served = ServedTable(SessionTable(tenure: Rig.tenure, volumes: [volume], admitted: [Rig.nodes[0]]))
        _ = served.activate(Rig.tenure)
        _ = served.opened(Rig.commander)
        _ = served.received(SessionTableTests.hello(volume: "", image: "commands"), on: Rig.commander)
        let command = SnapshotCommand.create(volume: "data", name: "monday", uuid: Rig.uuid)
        let frame = ClientFrame.command(request: 1, epoch: Rig.tenure.epoch, command)
        let refused = [Rig.outcome(.refused(.writerLost, culprit: "node 8 (0 s)"))]
        #expect(served.received(frame, on: Rig.commander) == refused)
    }

    @Test("one at a time per volume; a repeated command finds what the first made; a bad name is refused")
    func refusals() {
        var rig = Rig()
        _ = rig.create()
        let other = Bits128(high: 8, low: 8)
        #expect(rig.create(request: 2, uuid: other) == [Rig.outcome(.refused(.busy, culprit: "data"), request: 2)])
        _ = rig.served.pass(.seconds(1))
        for name in ["", "-x", ".x", "a b", "a/b", String(repeating: "a", count: 65), "ä"] {
            #expect(rig.create(name) == [Rig.outcome(.refused(.badName, culprit: name))])
        }
        rig.served.isStoreSlow = true
        _ = rig.create()
        #expect(rig.served.answer(.outcome(.snapshot(Rig.made))) == [Rig.outcome(.snapshot(Rig.made))])
        rig.served.isStoreSlow = false
        #expect(rig.create().count == 3, "nothing is left of it")
    }

    @Test("a commit that the store refuses ends the barrier without a new generation")
    func refusedByStore() {
        var rig = Rig()
        _ = rig.create()
        for id in 1...2 as ClosedRange<UInt64> { _ = rig.acknowledge(on: id) }
        rig.served.isStoreSlow = true
        _ = rig.acknowledge(on: 3)
        #expect(rig.served.pass(.seconds(60)) == [], "the store decides now, however long it takes")
        let full = CommandOutcome.refused(.storeFull, culprit: "")
        #expect(rig.served.answer(.outcome(full)) == Rig.ends(generation: 4) + [Rig.outcome(full)])
    }

    @Test("commands are refused until the server is active, and for volumes it does not have")
    func inactive() {
        var served = SessionTableTests.table()
        _ = served.opened(Rig.commander)
        _ = served.received(SessionTableTests.hello(volume: "", image: "commands"), on: Rig.commander)
        #expect(served.sessions(of: SessionTableTests.node) == 0, "no client of a volume")
        let list = ClientFrame.command(request: 1, epoch: Rig.tenure.epoch, .list(volume: "data", after: 0))
        #expect(served.received(list, on: Rig.commander) == [Rig.outcome(.refused(.notActive, culprit: ""))])
        _ = served.activate(Rig.tenure)
        #expect(served.received(list, on: Rig.commander) == [Rig.outcome(.snapshots([], hasMore: false))])
        let other = ClientFrame.command(request: 2, epoch: Rig.tenure.epoch, .list(volume: "x", after: 0))
        let unknown = Rig.outcome(.refused(.unknownVolume, culprit: "x"), request: 2)
        #expect(served.received(other, on: Rig.commander) == [unknown])
    }
}

extension SessionAction {
    var isWelcome: Bool {
        if case .send(.welcome, _) = self { true } else { false }
    }
}
