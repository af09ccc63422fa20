import CsnapCore
import CsnapRuntime
import CsnapSession
import Glibc
import Testing

/// Sessions of a real csnap-server process.
@Suite("Server: sessions", .serialized)
struct ServerSessionTests {
    static let tenure = ServerFixture.tenure

    @Test("sessions before active, grants after it")
    func grants() throws {
        let server = try ServerFixture()
        try server.serve()
        let session = try TestSession(server.address)
        guard case .welcome(let welcome) = try session.hello() else {
            Issue.record("not welcome")
            return
        }
        #expect(welcome.tenure == Self.tenure)
        #expect(welcome.originSize == 1 << 20)
        #expect(welcome.chunkSize == 65536)
        #expect(try server.hear() == .sessions(ServerFixture.node, count: 1))
        try session.query(1)
        // The pong overtakes the grant that waits.
        try session.send(.ping(epoch: Self.tenure.epoch))
        #expect(try session.hear() == .pong(epoch: Self.tenure.epoch))
        server.tell(.activate(Self.tenure))
        let grant = ServerFrame.grant(request: 1, epoch: Self.tenure.epoch, generation: 1)
        #expect(try session.hear() == grant)
        try session.query(1)
        #expect(try session.hear() == grant)
        try session.send(.bye)
        #expect(try session.hear() == nil)
        #expect(try server.hear() == .sessions(ServerFixture.node, count: 0))
    }

    @Test("who is not admitted, struck, of a lower or higher tenure is refused by name")
    func refusals() throws {
        let server = try ServerFixture()
        try server.serve()
        let other = NodeBoot(node: NodeID(2), boot: Boot(1))
        func expect(_ reason: SessionRefusal, _ process: NodeBoot, _ tenure: Tenure = Self.tenure) throws {
            let session = try TestSession(server.address)
            #expect(try session.hello(process, tenure: tenure) == .refused(reason, tenure: Self.tenure))
            #expect(try session.hear() == nil)
        }
        try expect(.notAdmitted, other)
        try expect(.lowerTenure, ServerFixture.node, Tenure(epoch: Epoch(6), round: Round(1)))
        try expect(.higherTenure, ServerFixture.node, Tenure(epoch: Epoch(7), round: Round(2)))
        server.tell(.admit(other))
        let admitted = try TestSession(server.address)
        #expect(try isWelcome(admitted, other))
        #expect(try server.hear() == .sessions(other, count: 1))
        server.tell(.strike(other, .leasePassed))
        #expect(try admitted.hear() == nil)
        #expect(try server.hear() == .sessions(other, count: 0))
        #expect(try server.hear() == .struck(other))
        try expect(.struck, other)
        server.tell(.admit(other))
        try expect(.struck, other)
    }

    /// The last step of a change of key makes no seal fail.
    @Test("the old key is refused once the agent was told to read the keys again")
    func oldKey() throws {
        let server = try ServerFixture()
        try server.serve()
        for step in [KeyRotation.begin, .switch, .finish] { try step.apply(to: server.directory + "/key") }
        let new = try KeyRing.load(server.directory + "/key")
        #expect(try isWelcome(try TestSession(server.address)), "nobody has told it")
        #expect(try server.hear() == .sessions(ServerFixture.node, count: 1))
        server.tell(.keys)
        #expect(try isWelcome(try TestSession(server.address, keys: new)))
        #expect(try TestSession(server.address).hello() == nil)
    }

    @Test("what it is told while its predecessor has the lock is not taken for its agent's end")
    func keysBeforeInert() throws {
        var lock: FileLock?
        let server = try ServerFixture(beforeStart: { lock = try FileLock.acquire($0.serverLock, note: nil) })
        server.tell(.keys)
        #expect(!waitReadable(server.process.channelDescriptor, milliseconds: 1000))
        lock = nil
        try server.serve()
        _ = lock
    }

    private func isWelcome(_ session: TestSession, _ process: NodeBoot = ServerFixture.node) throws -> Bool {
        if case .welcome = try session.hello(process) { true } else { false }
    }

    /// What the stores say while the gate is closed is queued all at once when it opens.
    @Test("a client that reads is not cut off for what comes at once")
    func burst() throws {
        let fixture = try ServerFixture()
        let (client, commander) = try ServerSnapshotTests.start(fixture)
        try ServerSnapshotTests.makeMonday(fixture, client, commander)
        let now = BootClock.now()
        for round in 0..<20 as Range<UInt64> {
            for request in 0..<7 as Range<UInt64> {
                try client.send(
                    .readData(
                        request: 100 + 10 * round + request, epoch: Self.tenure.epoch, snapshot: 1,
                        offset: request << 16, length: 64 << 10))
            }
            fixture.tell(.lease(soft: now, hard: now + .seconds(900)))
            usleep(50_000)
            fixture.tell(.lease(soft: now + .seconds(600), hard: now + .seconds(900)))
            for request in 0..<7 as Range<UInt64> {
                let heard = try client.hear()
                guard case .data(100 + 10 * round + request, _, let bytes) = heard, bytes.count == 64 << 10 else {
                    Issue.record("round \(round), request \(request): \(heard.map { "\($0)" } ?? "it is cut off")")
                    return
                }
            }
        }
    }

    @Test("who has another key, sends garbage or floods is cut off; the others go on")
    func misbehaving() throws {
        let server = try ServerFixture()
        try server.serve()
        server.tell(.activate(Self.tenure))
        let good = try TestSession(server.address)
        #expect(try isWelcome(good))
        let stranger = try TestSession(server.address, keys: KeyRing(.generate()))
        // The end comes in the server's preamble's wake, or as a reset.
        #expect(throws: (any Error).self) { _ = try stranger.hello() ?? { throw Timeout() }() }
        let garbage = try TestSession(server.address)
        garbage.raw([UInt8](repeating: 0x55, count: 1000))
        #expect((try? garbage.hear()) == nil)
        let other = NodeBoot(node: NodeID(2), boot: Boot(1))
        server.tell(.admit(other))
        let tooMany = try TestSession(server.address)
        #expect(try isWelcome(tooMany, other))
        // Pings whose pongs are never read: the server must not keep them all, and must not wait.
        tooMany.flood(400_000)
        for request in 0..<100 as Range<UInt64> {
            try good.query(request)
            #expect(try good.hear() == .grant(request: request, epoch: Self.tenure.epoch, generation: 1))
        }
        var counts: [ServerToAgent?] = []
        while counts.count < 3 { counts.append(try server.hear()) }
        #expect(counts.first == .sessions(ServerFixture.node, count: 1))
        // It was cut off.
        #expect(counts.dropFirst() == [.sessions(other, count: 1), .sessions(other, count: 0)])
    }
}
