import CsnapCore
import CsnapRuntime
import CsnapSession
import Glibc
import Testing

/// Deadlines and ends of a real csnap-server process.
@Suite("Server: lease and end", .serialized)
struct ServerLeaseTests {
    static let tenure = ServerFixture.tenure

    @Test("past soft nothing is answered or accepted; a renewed lease reopens")
    func soft() throws {
        let server = try ServerFixture()
        try server.serve()
        server.tell(.activate(Self.tenure))
        let session = try TestSession(server.address)
        _ = try session.hello()
        let past = BootClock.now()
        server.tell(.lease(soft: past, hard: past + .seconds(900)))
        // Wait until the server has taken that: then answers stop. Each answer before proves it had not.
        var request: UInt64 = 1
        repeat {
            try session.query(request)
            request += 1
        } while waitReadable(session.descriptor, milliseconds: 1000) && heard(session)
        let late = try TestSession(server.address)
        try session.query(1000)
        #expect(!waitReadable(session.descriptor, milliseconds: 500))
        #expect(!waitReadable(late.descriptor, milliseconds: 100), "not even a preamble")
        let record = try #require(try ServiceRecord.read(server.runtime.serviceRecord).last)
        #expect(record.tenure == Self.tenure)
        #expect(record.processID == server.process.processID)
        let renewed = BootClock.now()
        #expect(try #require(record.lastServiceAt) < renewed - .milliseconds(500))
        server.tell(.lease(soft: renewed + .seconds(600), hard: renewed + .seconds(900)))
        var last: ServerFrame?
        repeat {
            last = try session.hear()
        } while last != nil
            && last != .grant(request: 1000, epoch: Self.tenure.epoch, generation: 1)
        #expect(last != nil)
        #expect(try isWelcome(late.hello(client: 2)))
        let after = try #require(try ServiceRecord.read(server.runtime.serviceRecord).last)
        #expect(try #require(after.lastServiceAt) > renewed)
        #expect(after.count > record.count)
    }

    private func heard(_ session: TestSession) -> Bool {
        (try? session.hear()) != nil
    }

    private func isWelcome(_ frame: ServerFrame?) -> Bool {
        if case .welcome = frame { true } else { false }
    }

    @Test("past hard the process ends at once")
    func hard() throws {
        let server = try ServerFixture()
        let before = BootClock.now()
        try server.serve(soft: .seconds(3), hard: .seconds(4))
        #expect(try server.waitForEnd() == .exited(3))
        #expect(BootClock.now() - before >= .seconds(4))
        let record = try #require(try ServiceRecord.read(server.runtime.serviceRecord).last)
        #expect(try #require(record.lastServiceAt) < before + .seconds(4))
        #expect(record.gateOpenAt >= before)
    }

    @Test("a hard deadline that is past already ends it before it touches the store")
    func hardAtStart() throws {
        let server = try ServerFixture()
        #expect(try server.hear() == .inert)
        let store = try Files.read(server.storePath, limit: 32 << 20)
        server.start(soft: .seconds(-2), hard: .seconds(-1))
        #expect(try server.waitForEnd() == .exited(3))
        #expect(try Files.read(server.storePath, limit: 32 << 20) == store)
    }

    @Test("past soft the store is not written")
    func softAtStart() throws {
        let server = try ServerFixture()
        #expect(try server.hear() == .inert)
        let store = try Files.read(server.storePath, limit: 32 << 20)
        server.start(soft: .seconds(-1), hard: .milliseconds(500))
        #expect(try server.waitForEnd() == .exited(3))
        #expect(try Files.read(server.storePath, limit: 32 << 20) == store)
    }

    @Test("the agent's death and its STOP end it")
    func ends() throws {
        for serves in [false, true] {
            let server = try ServerFixture()
            if serves { try server.serve() } else { #expect(try server.hear() == .inert) }
            shutdown(server.process.channelDescriptor, Int32(SHUT_RDWR))
            #expect(try server.waitForEnd() == .exited(4))
            let stopped = try ServerFixture()
            if serves { try stopped.serve() } else { #expect(try stopped.hear() == .inert) }
            stopped.tell(.stop)
            #expect(try stopped.waitForEnd() == .exited(0))
        }
    }

    @Test("server.lock is held from inert to the end, and names the agent's start bits after START")
    func lock() throws {
        let server = try ServerFixture()
        #expect(try server.hear() == .inert)
        #expect(try FileLock.isHeld(server.runtime.serverLock))
        server.start()
        #expect(try server.hear() == .started(Self.tenure, port: 7001, volumes: ServerFixture.volumes))
        let note = String(decoding: try Files.read(server.runtime.serverLock), as: UTF8.self)
        #expect(note == Bits128(high: 4, low: 4).hex + "\n")
        server.process.killGroup()
        #expect(try server.waitForEnd() == .signal(SIGKILL))
        #expect(try !FileLock.isHeld(server.runtime.serverLock))
    }

    @Test("a second START in one process ends it")
    func secondStart() throws {
        let server = try ServerFixture()
        try server.serve()
        server.start(Tenure(epoch: Epoch(7), round: Round(2)))
        #expect(try server.waitForEnd() == .exited(1))
    }
}
