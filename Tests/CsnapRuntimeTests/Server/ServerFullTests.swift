import CsnapCore
import CsnapRuntime
import CsnapSession
import Testing

/// A store without room under a real csnap-server process.
@Suite("Server: full store", .serialized)
struct ServerFullTests {
    private static let epoch = ServerSnapshotTests.epoch
    /// All chunks of the origin.
    private static let all = [ChunkRange(first: 0, count: 16)]

    /// One after the other; frames that only tell of changes are passed over.
    private struct Rig {
        let fixture: ServerFixture
        let client: TestSession
        let commander: TestSession
        var attempts: UInt64 = 0

        init(whenFull: String) throws {
            fixture = try ServerFixture(whenFull: whenFull)
            (client, commander) = try ServerSnapshotTests.start(fixture)
        }

        func hear() throws -> ServerFrame? {
            while let frame = try client.hear() {
                if case .snapshotsChanged = frame { continue }
                return frame
            }
            return nil
        }

        /// The next frame that is no grant.
        func hearPastGrants() throws -> ServerFrame? {
            while let frame = try hear() {
                if case .grant = frame { continue }
                return frame
            }
            return nil
        }

        mutating func create(_ name: String, priority: Int32) throws {
            attempts += 1
            let uuid = Bits128(high: 1, low: attempts)
            let create = SnapshotCommand.create(volume: "data", name: name, uuid: uuid, priority: priority)
            try commander.send(.command(request: attempts, epoch: epoch, create))
            let attempt = BarrierAttempt(tenure: ServerFixture.tenure, counter: attempts)
            #expect(try hearPastGrants() == .barrierBegin(attempt))
            try client.send(fixture.acknowledgement(attempt))
            #expect(try hear() == .barrierEnd(attempt, generation: 1 + attempts))
            guard case .outcome(_, _, .snapshot) = try commander.hear() else { throw Timeout() }
        }

        func write() throws {
            try client.send(.queryWrite(request: 100 + attempts, epoch: epoch, ranges: all))
        }

        func names() throws -> [String] {
            guard
                case .snapshots(let entries, false) = try ServerSnapshotTests.ask(
                    commander, .list(volume: "data", after: 0))
            else { throw Timeout() }
            return entries.map(\.name)
        }

        func delete(_ name: String) throws {
            _ = try ServerSnapshotTests.ask(commander, .delete(volume: "data", name: name))
        }

        /// The next that the agent is told of the store.
        func notice() throws -> StoreNotice.Kind? {
            while let message = try fixture.hear() {
                if case .store(let notice) = message { return notice.kind }
            }
            return nil
        }
    }

    @Test("hold: the write waits by name, until snapshots are deleted")
    func hold() throws {
        var rig = try Rig(whenFull: "hold")
        var marks: [StoreNotice.Kind] = []
        while marks.isEmpty || !marks.contains(where: { if case .space(_, true) = $0 { true } else { false } }) {
            try #require(rig.attempts < 20, "never full")
            try rig.create("s\(rig.attempts)", priority: 0)
            try rig.write()
            while waitReadable(rig.fixture.process.channelDescriptor, milliseconds: 300) {
                if let kind = try rig.notice() { marks.append(kind) }
            }
        }
        let made = rig.attempts
        for index in 0..<made - 1 { try rig.delete("s\(index)") }
        #expect(try rig.hear() == .grant(request: 100 + made, epoch: Self.epoch, generation: 1 + made))
        #expect(made > 3)
        var last = try rig.notice()
        while case .space(_, true) = last { last = try rig.notice() }
        guard case .space(_, false) = last else {
            Issue.record("the agent was not told that nothing waits: \(String(describing: last))")
            return
        }
        #expect(try rig.names() == ["s\(made - 1)"])
    }

    @Test("drop: no write waits, the lowest priority goes, then the oldest; what is read stays")
    func drop() throws {
        var rig = try Rig(whenFull: "drop")
        try rig.create("precious", priority: 9)
        try rig.write()
        #expect(try rig.hear() == .grant(request: 101, epoch: Self.epoch, generation: 2))
        try rig.create("read", priority: -9)
        try rig.write()
        #expect(try rig.hear() == .grant(request: 102, epoch: Self.epoch, generation: 3))
        try rig.client.send(.queryRead(request: 500, epoch: Self.epoch, snapshot: 2, ranges: ServerSnapshotTests.chunk))
        guard case .map(500, _, _) = try rig.hear() else { throw Timeout() }
        try rig.client.send(.endRead(request: 500, epoch: Self.epoch))
        for index in 3..<15 {
            try rig.create("s\(index)", priority: index == 3 ? -1 : 0)
            try rig.write()
            #expect(
                try rig.hear() == .grant(request: 100 + rig.attempts, epoch: Self.epoch, generation: 1 + rig.attempts))
        }
        var dropped: [String] = []
        while dropped.count < 2 { if case .dropped(let name) = try rig.notice() { dropped.append(name) } }
        #expect(dropped == ["s3", "s4"])
        let left = try rig.names()
        #expect(left.contains("precious") && left.contains("read") && left.contains("s14"))
        #expect(!left.contains("s3") && !left.contains("s4"))
    }
}
