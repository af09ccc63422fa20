import CsnapCore
import CsnapRuntime
import CsnapSession
import Glibc
import Testing

/// Two volumes on a real server: a snapshot of both while it is killed, and one whose store fails.
@Suite("Server, several volumes", .serialized)
struct ServerSeveralTests {
    private struct Group {
        var clients: [TestSession] = []
        var commander: TestSession
    }

    private static func start(_ fixture: ServerFixture, _ tenure: Tenure) throws -> Group {
        #expect(try fixture.hear() == .inert)
        fixture.start(tenure)
        let volumes = ["data", "logs"].map { VolumeDigest(name: $0) }
        #expect(try fixture.hear() == .started(tenure, port: 7001, volumes: volumes))
        var clients: [TestSession] = []
        for (index, volume) in ["data", "logs"].enumerated() {
            let client = try TestSession(fixture.address)
            _ = try client.hello(tenure: tenure, volume: volume, client: UInt64(index + 1))
            #expect(try fixture.hear() == .sessions(ServerFixture.node, count: UInt32(index + 1)))
            clients.append(client)
        }
        fixture.tell(.activate(tenure))
        let commander = try TestSession(fixture.address)
        _ = try commander.hello(tenure: tenure, volume: "", client: 9, image: SessionHello.commands)
        return Group(clients: clients, commander: commander)
    }

    @Test("killed at once or a little later: all or none, and what was answered is there", arguments: 0..<6)
    func killed(tries: Int) throws {
        let fixture = try ServerFixture(withLogs: true)
        let group = try Self.start(fixture, ServerFixture.tenure)
        let uuid = Bits128(high: 7, low: 7)
        let create = SnapshotCommand.createSeveral(volumes: ["data", "logs"], name: "monday", uuid: uuid)
        try group.commander.send(.command(request: 1, epoch: ServerFixture.tenure.epoch, create))
        let attempt = BarrierAttempt(tenure: ServerFixture.tenure, counter: 1)
        for client in group.clients { #expect(try client.hear() == .barrierBegin(attempt)) }
        for client in group.clients { try client.send(fixture.acknowledgement(attempt)) }
        var wasAnswered = false
        if tries == 5 {
            // The last one waits for the answer.
            if case .outcome(1, _, .several(let made)) = try group.commander.hear() { wasAnswered = made.count == 2 }
            #expect(wasAnswered)
        } else {
            for _ in 0..<tries * 200 { _ = BootClock.now() }
        }
        fixture.process.killGroup()
        _ = try fixture.waitForEnd()

        let next = try ServerFixture(store: fixture.storePath, withLogs: true)
        let tenure = Tenure(epoch: Epoch(8), round: Round(1))
        let heirs = try Self.start(next, tenure)
        let lists = try ["data", "logs"].map { volume in
            try ServerSnapshotTests.ask(heirs.commander, .list(volume: volume, after: 0), epoch: tenure.epoch)
        }
        let has = lists.map { list in
            if case .snapshots(let entries, false) = list { entries.map(\.uuid) == [uuid] } else { false }
        }
        #expect(has[0] == has[1], "\(lists)")
        #expect(has[0] || !wasAnswered)
    }

    @Test("told to leave out what fails, it serves the rest; a higher tenure is never left out, nor the last volume")
    func leavesOut() throws {
        let first = try ServerFixture(withLogs: true)
        _ = try Self.start(first, ServerFixture.tenure)
        try end(first)
        let logs = first.storePath + ".logs"
        let other = try ServerFixture(store: logs)
        #expect(try other.hear() == .inert)
        let higher = Tenure(epoch: Epoch(12), round: Round(1))
        other.start(higher)
        #expect(try other.hear() == .started(higher, port: 7001, volumes: ServerFixture.volumes))
        try end(other)

        func answer(_ epoch: UInt64) throws -> ServerToAgent? {
            let server = try ServerFixture(store: first.storePath, withLogs: true, leavesOut: true)
            #expect(try server.hear() == .inert)
            server.start(Tenure(epoch: Epoch(epoch), round: Round(1)))
            let answer = try server.hear()
            if case .failed = answer { #expect(try server.waitForEnd() == .exited(1)) } else { try end(server) }
            return answer
        }
        func alone(_ epoch: UInt64) -> ServerToAgent {
            .started(Tenure(epoch: Epoch(epoch), round: Round(1)), port: 7001, volumes: ServerFixture.volumes)
        }
        #expect(try answer(8) == .failed(.storeTenure, volume: "logs", epochSeen: Epoch(12)))
        #expect(truncate(logs, 12 << 20) == 0)
        #expect(try answer(13) == alone(13))
        #expect(unlink(logs) == 0)
        #expect(try answer(14) == alone(14))
        #expect(truncate(first.storePath, 12 << 20) == 0)
        #expect(try answer(15) == .failed(.storeTruncated, volume: "data", epochSeen: .none))
    }

    @Test("what it is told to serve without is not opened")
    func without() throws {
        let server = try ServerFixture(withLogs: true, leavesOut: true, without: ["logs"], logs: "/nowhere")
        #expect(try server.hear() == .inert)
        server.start()
        #expect(try server.hear() == .started(ServerFixture.tenure, port: 7001, volumes: ServerFixture.volumes))
        let client = try TestSession(server.address)
        #expect(try client.hello(volume: "logs") == .refused(.leftOut, tenure: ServerFixture.tenure))
    }

    @Test(
        "a store that hangs while it is taken is left out in time, or ends the server by its name",
        .enabled(if: StalledDisk.isPossible), arguments: [true, false])
    func hangs(leavesOut: Bool) throws {
        let made = try ServerFixture(withLogs: true)
        #expect(try made.hear() == .inert)
        try end(made)
        let disk = try StalledDisk(of: made.storePath + ".logs", in: made.directory)
        defer { disk.close() }
        let server = try ServerFixture(store: made.storePath, withLogs: true, leavesOut: leavesOut, logs: disk.path)
        #expect(try server.hear() == .inert)
        disk.stall()
        server.start()
        let failed = ServerToAgent.failed(.storeUnreachable, volume: "logs", epochSeen: .none)
        let alone = ServerToAgent.started(ServerFixture.tenure, port: 7001, volumes: ServerFixture.volumes)
        #expect(try server.hear() == (leavesOut ? alone : failed))
        disk.resume()
        if leavesOut { try end(server) } else { #expect(try server.waitForEnd() == .exited(1)) }
    }

    private func end(_ fixture: ServerFixture) throws {
        fixture.process.killGroup()
        #expect(try fixture.waitForEnd() == .signal(SIGKILL))
    }
}
