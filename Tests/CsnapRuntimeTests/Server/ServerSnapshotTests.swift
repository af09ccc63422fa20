import CsnapCore
import CsnapRuntime
import CsnapSession
import Testing

/// Snapshots on a real server process and a real store.
@Suite("Server snapshots", .serialized)
struct ServerSnapshotTests {
    static let epoch = ServerFixture.tenure.epoch
    static let uuid = Bits128(high: 7, low: 7)
    static let chunk = [ChunkRange(first: 3, count: 1)]

    static func ask(_ session: TestSession, _ command: SnapshotCommand, epoch: Epoch = epoch) throws -> CommandOutcome?
    {
        try session.send(.command(request: 1, epoch: epoch, command))
        guard case .outcome(_, _, let outcome) = try session.hear() else { return nil }
        return outcome
    }

    static func map(_ session: TestSession, _ request: UInt64, epoch: Epoch = epoch) throws -> MapPiece.Place? {
        try session.send(.queryRead(request: request, epoch: epoch, snapshot: 1, ranges: chunk))
        guard case .map(request, _, let pieces) = try session.hear(), pieces.count == 1 else { return nil }
        return pieces[0].place
    }

    /// A server with a client's session and one for commands, active.
    /// `whileInert` is done between the opening of the devices and the taking.
    static func start(
        _ fixture: ServerFixture, _ tenure: Tenure = ServerFixture.tenure, whileInert: () throws -> Void = {}
    ) throws -> (client: TestSession, commander: TestSession) {
        #expect(try fixture.hear() == .inert)
        try whileInert()
        fixture.start(tenure)
        #expect(try fixture.hear() == .started(tenure, port: 7001, volumes: ServerFixture.volumes))
        let client = try TestSession(fixture.address)
        _ = try client.hello(tenure: tenure)
        #expect(try fixture.hear() == .sessions(ServerFixture.node, count: 1))
        fixture.tell(.activate(tenure))
        let commander = try TestSession(fixture.address)
        _ = try commander.hello(tenure: tenure, volume: "", client: 2, image: SessionHello.commands)
        return (client, commander)
    }

    /// The first snapshot of `start`'s server, in a barrier; its outcome is left to be heard.
    static func makeMonday(_ fixture: ServerFixture, _ client: TestSession, _ commander: TestSession) throws {
        let create = SnapshotCommand.create(volume: "data", name: "monday", uuid: uuid)
        try commander.send(.command(request: 1, epoch: epoch, create))
        let attempt = BarrierAttempt(tenure: ServerFixture.tenure, counter: 1)
        #expect(try client.hear() == .barrierBegin(attempt))
        try client.send(fixture.acknowledgement(attempt))
        #expect(try client.hear() == .barrierEnd(attempt, generation: 2))
        #expect(try client.hear() == .snapshotsChanged(epoch: epoch, from: 1))
    }

    /// The same, and what is heard of it.
    private static func monday(
        _ fixture: ServerFixture, _ client: TestSession, _ commander: TestSession
    ) throws -> SnapshotEntry {
        try makeMonday(fixture, client, commander)
        guard case .outcome(1, _, .snapshot(let made)) = try commander.hear() else {
            throw SystemError("there is no snapshot", "monday", code: 0)
        }
        return made
    }

    @Test("a snapshot is made in a barrier, holds its chunk for a reader, then keeps it, also for the next server")
    func story() throws {
        let fixture = try ServerFixture()
        let (client, commander) = try Self.start(fixture)
        let made = try Self.monday(fixture, client, commander)
        #expect(made.name == "monday" && made.number == 1 && made.uuid == Self.uuid && made.size == 1 << 20)
        let create = SnapshotCommand.create(volume: "data", name: "monday", uuid: Self.uuid)
        #expect(try Self.ask(commander, create) == .snapshot(made), "the same command again finds it")

        #expect(try Self.map(client, 5) == .origin)
        let held = try Self.ask(commander, .delete(volume: "data", name: "monday"))
        #expect(held == .refused(.inUse, culprit: "monday: node 1 reads it"))
        try client.send(.queryWrite(request: 6, epoch: Self.epoch, ranges: Self.chunk))
        try client.send(.ping(epoch: Self.epoch))
        #expect(try client.hear() == .pong(epoch: Self.epoch), "the write waits for the reader")
        try client.send(.endRead(request: 5, epoch: Self.epoch))
        #expect(try client.hear() == .grant(request: 6, epoch: Self.epoch, generation: 2))
        let place = try Self.map(client, 7)
        guard case .store = place else {
            Issue.record("not in the store: \(String(describing: place))")
            return
        }
        let changed = ChangedChunks(chunkSize: 65536, size: 1 << 20, ranges: Self.chunk, next: nil)
        let query = ChangesQuery(from: 1, to: nil, first: 0)
        #expect(try Self.ask(commander, .changes(volume: "data", query)) == .changes(changed))
        try client.send(.queryChanges(request: 8, epoch: Self.epoch, query))
        #expect(try client.hear() == .changes(request: 8, epoch: Self.epoch, changed))
        let unknown = ChangesQuery(from: 9, to: 1, first: 0)
        try client.send(.queryChanges(request: 9, epoch: Self.epoch, unknown))
        #expect(try client.hear() == .error(request: 9, epoch: Self.epoch, code: 4))
        let refused = try Self.ask(commander, .changes(volume: "data", unknown))
        #expect(refused == .refused(.unknownSnapshot, culprit: "number 9"))
        fixture.tell(.stop)
        _ = try fixture.waitForEnd()

        let next = try ServerFixture(store: fixture.storePath)
        let tenure = Tenure(epoch: Epoch(8), round: Round(1))
        let (heir, asker) = try Self.start(next, tenure)
        let list = try Self.ask(asker, .list(volume: "data", after: 0), epoch: tenure.epoch)
        #expect(list == .snapshots([made], hasMore: false))
        #expect(try Self.map(heir, 1, epoch: tenure.epoch) == place)
        try heir.send(.endRead(request: 1, epoch: tenure.epoch))
        try heir.send(.ping(epoch: tenure.epoch))
        #expect(try heir.hear() == .pong(epoch: tenure.epoch), "it is heard before the deletion")
        let deleted = try Self.ask(asker, .delete(volume: "data", name: "monday"), epoch: tenure.epoch)
        #expect(deleted == .snapshot(made))
        #expect(try heir.hear() == .snapshotsChanged(epoch: tenure.epoch, from: 1))
        #expect(try Self.map(heir, 2, epoch: tenure.epoch) == nil, "an error, no place")
    }

    @Test("a command that says a uuid, repeated, does nothing to another snapshot that has the name by now")
    func repeatedCommands() throws {
        let fixture = try ServerFixture()
        let (client, commander) = try Self.start(fixture)
        let made = try Self.monday(fixture, client, commander)
        #expect(try Self.ask(commander, .show(volume: "data", name: "monday")) == .snapshot(made))
        let show = SnapshotCommand.show(volume: "data", name: "none")
        #expect(try Self.ask(commander, show) == .refused(.unknownSnapshot, culprit: "none"))
        let rename = SnapshotCommand.rename(volume: "data", from: "monday", to: "day", uuid: made.uuid)
        var renamed = made
        renamed.name = "day"
        #expect(try Self.ask(commander, rename) == .snapshot(renamed))
        #expect(try Self.ask(commander, rename) == .snapshot(renamed), "it is done already")
        func branch(_ name: String, _ uuid: UInt64) throws -> Bits128 {
            let uuid = Bits128(high: 9, low: uuid)
            let branch = SnapshotCommand.branch(volume: "data", from: "day", name: name, uuid: uuid)
            guard case .snapshot = try Self.ask(commander, branch) else { return .zero }
            return uuid
        }
        let first = try branch("try", 1)
        let delete = SnapshotCommand.delete(volume: "data", name: "try", uuid: first)
        guard case .snapshot = try Self.ask(commander, delete) else {
            Issue.record("not deleted")
            return
        }
        let second = try branch("try", 2)
        #expect(try Self.ask(commander, delete) == .done, "it is gone already")
        let other = SnapshotCommand.delete(volume: "data", name: "try", uuid: made.uuid)
        #expect(try Self.ask(commander, other) == .refused(.unknownSnapshot, culprit: "try"))
        let wrong = SnapshotCommand.rename(volume: "data", from: "try", to: "tried", uuid: made.uuid)
        #expect(try Self.ask(commander, wrong) == .refused(.unknownSnapshot, culprit: "try"))
        guard case .snapshots(let left, _) = try Self.ask(commander, .list(volume: "data", after: 0)) else {
            Issue.record("no list")
            return
        }
        #expect(left.map(\.uuid) == [made.uuid, second])
    }

    @Test("a writer on record that the next server does not hear of makes it refuse, by name, until it is fenced")
    func writersOutliveServers() throws {
        let fixture = try ServerFixture()
        _ = try Self.start(fixture)
        fixture.tell(.stop)
        _ = try fixture.waitForEnd()
        let next = try ServerFixture(store: fixture.storePath)
        #expect(try next.hear() == .inert)
        let tenure = Tenure(epoch: Epoch(8), round: Round(1))
        next.start(tenure)
        #expect(try next.hear() == .started(tenure, port: 7001, volumes: ServerFixture.volumes))
        next.tell(.activate(tenure))
        let commander = try TestSession(next.address)
        _ = try commander.hello(tenure: tenure, volume: "", client: 2, image: SessionHello.commands)
        let create = SnapshotCommand.create(volume: "data", name: "monday", uuid: Self.uuid)
        guard case .refused(.writerLost, let culprit) = try Self.ask(commander, create, epoch: tenure.epoch) else {
            Issue.record("not refused")
            return
        }
        #expect(culprit.hasPrefix("node 1 ("))
        // Its own boot stays admitted: a lower one is the one that is off.
        next.tell(.strike(NodeBoot(node: ServerFixture.node.node, boot: Boot(4)), .fenced))
        #expect(try next.hear() == .struck(NodeBoot(node: ServerFixture.node.node, boot: Boot(4))))
        guard case .snapshot = try Self.ask(commander, create, epoch: tenure.epoch) else {
            Issue.record("still refused")
            return
        }
    }
}
