import CsnapCore
import CsnapSession
import Testing

@Suite("Session table")
struct SessionTableTests {
    static let tenure = Tenure(epoch: Epoch(7), round: Round(3))
    static let node = NodeBoot(node: NodeID(1), boot: Boot(5))
    static let volume = SessionVolume(
        name: "data", storeUUID: Bits128(high: 1, low: 1), originSize: 65536 * 10 + 1, chunkSize: 65536, generation: 4)

    static func table(
        limits: SessionLimits = SessionLimits(), admitted: [NodeBoot] = [node], deadServers: [SessionWriter] = []
    ) -> ServedTable {
        var volume = volume
        volume.deadServers = deadServers
        return ServedTable(
            SessionTable(tenure: tenure, volumes: [volume], leftOut: ["logs"], admitted: admitted, limits: limits))
    }

    static func hello(
        _ process: NodeBoot = node, client: UInt64 = 1, volume: String = "data", image: String = "origin",
        tenure: Tenure = tenure, versions: ClosedRange<UInt16> = 1...1, kernel: UInt64 = 1
    ) -> ClientFrame {
        .hello(
            SessionHello(
                versions: versions, process: process, client: Bits128(high: 0, low: client),
                machineID: Bits128(high: 5, low: UInt64(process.node.value)),
                kernelBootID: Bits128(high: 6, low: kernel),
                volume: volume, image: image, tenure: tenure))
    }

    static let query = ClientFrame.queryWrite(
        request: 9, epoch: tenure.epoch, ranges: [ChunkRange(first: 0, count: 11)])
    static let grant = ServerFrame.grant(request: 9, epoch: tenure.epoch, generation: 4)
    static let first = ConnectionID(1)

    static func welcome(_ session: UInt64) -> ServerFrame {
        .welcome(
            SessionWelcome(
                session: session, tenure: tenure, storeUUID: volume.storeUUID, originSize: volume.originSize,
                chunkSize: 65536, generation: 4))
    }

    /// A table with one session on connection 1.
    static func withSession(limits: SessionLimits = SessionLimits()) -> ServedTable {
        var table = table(limits: limits)
        #expect(table.opened(first) == [])
        #expect(
            table.received(hello(), on: first) == [.send(welcome(1), to: first), .sessions(node, count: 1)])
        return table
    }

    @Test("each wrong hello is refused by its name, and the connection closed")
    func refusals() {
        let cases: [(ClientFrame, SessionRefusal)] = [
            (Self.hello(NodeBoot(node: NodeID(2), boot: Boot(5))), .notAdmitted),
            (Self.hello(NodeBoot(node: NodeID(1), boot: Boot(6))), .notAdmitted),
            (Self.hello(NodeBoot(node: NodeID(1), boot: Boot(4))), .struck),
            (Self.hello(tenure: Tenure(epoch: Epoch(6), round: Round(9))), .lowerTenure),
            (Self.hello(tenure: Tenure(epoch: Epoch(7), round: Round(2))), .lowerTenure),
            (Self.hello(tenure: Tenure(epoch: Epoch(7), round: Round(4))), .higherTenure),
            (Self.hello(tenure: Tenure(epoch: Epoch(8), round: Round(1))), .higherTenure),
            (Self.hello(volume: "other"), .unknownVolume),
            (Self.hello(volume: "logs"), .leftOut),
            (Self.hello(image: "snap/monday"), .unknownImage),
            (Self.hello(versions: 2...9), .version),
        ]
        for (frame, reason) in cases {
            var table = Self.table()
            _ = table.opened(Self.first)
            #expect(
                table.received(frame, on: Self.first) == [
                    .send(.refused(reason, tenure: Self.tenure), to: Self.first),
                    .close(Self.first, .refused(reason)),
                ])
            #expect(table.sessionCount == 0)
        }
    }

    @Test("grants wait until active, once per request, then come at once and again")
    func grants() {
        var table = Self.withSession()
        #expect(table.received(Self.query, on: Self.first) == [])
        #expect(table.received(Self.query, on: Self.first) == [])
        #expect(table.activate(Tenure(epoch: Epoch(7), round: Round(2))) == [])
        #expect(table.activate(Self.tenure) == [.send(Self.grant, to: Self.first)])
        #expect(table.activate(Self.tenure) == [])
        for _ in 0..<2 { #expect(table.received(Self.query, on: Self.first) == [.send(Self.grant, to: Self.first)]) }
    }

    @Test("a query outside of the origin is answered by an error, its session goes on")
    func ranges() {
        var table = Self.withSession()
        _ = table.activate(Self.tenure)
        let wrong = [
            [], [ChunkRange(first: 11, count: 1)], [ChunkRange(first: 0, count: 12)],
            [ChunkRange(first: 0, count: 1), ChunkRange(first: .max, count: .max)],
        ]
        for ranges in wrong {
            let code: SessionQueryError = ranges.isEmpty ? .empty : .outOfRange
            let answer = ServerFrame.error(request: 1, epoch: Self.tenure.epoch, code: code.rawValue)
            let frame = ClientFrame.queryWrite(request: 1, epoch: Self.tenure.epoch, ranges: ranges)
            #expect(table.received(frame, on: Self.first) == [.send(answer, to: Self.first)])
        }
        // Each of the ranges is possible; all together they would be too much work for one order.
        let all = ClientFrame.queryWrite(
            request: 1, epoch: Self.tenure.epoch,
            ranges: [ChunkRange](repeating: ChunkRange(first: 0, count: 11), count: 1490))
        let code = SessionQueryError.tooLong.rawValue
        let answer = ServerFrame.error(request: 1, epoch: Self.tenure.epoch, code: code)
        #expect(table.received(all, on: Self.first) == [.send(answer, to: Self.first)])
        #expect(table.sessionCount == 1)
    }

    @Test("copies go together for one flush, but not so many that other orders wait long")
    func copiesTogether() {
        func copies(_ count: Int, of chunks: UInt32, chunkSize: UInt32 = 64 << 10) -> [[ChunkRange]]? {
            let orders = [StoreOrder](repeating: .copyOut([ChunkRange(first: 0, count: chunks)]), count: count)
            guard case .copyOut(let together) = StoreWork(first: orders, chunkSize: chunkSize) else { return nil }
            return together
        }
        #expect(copies(100, of: 1)?.count == 64)
        #expect(copies(100, of: 32)?.count == 2, "4 MiB")
        #expect(copies(100, of: 33)?.count == 1)
        #expect(copies(100, of: 8192)?.count == 1)
        #expect(copies(100, of: 1, chunkSize: 1 << 20)?.count == 4)
        #expect(copies(100, of: 512, chunkSize: 4 << 10)?.count == 2)
    }

    @Test("a strike ends the boot's sessions in one step, and it never comes back")
    func strike() {
        var table = Self.withSession()
        _ = table.received(Self.query, on: Self.first)
        #expect(
            table.strike(Self.node) == [
                .send(.goAway(tenure: Self.tenure), to: Self.first), .close(Self.first, .struck),
                .sessions(Self.node, count: 0), .struck(Self.node),
            ])
        #expect(table.activate(Self.tenure) == [], "its waiting query is cancelled")
        #expect(table.admit(Self.node) == [])
        _ = table.opened(ConnectionID(2))
        let again = table.received(Self.hello(), on: ConnectionID(2))
        #expect(again.first == .send(.refused(.struck, tenure: Self.tenure), to: ConnectionID(2)))
        // Struck before it was ever seen.
        let unseen = NodeBoot(node: NodeID(9), boot: Boot(1))
        #expect(table.strike(unseen) == [.struck(unseen)])
        #expect(table.admit(unseen) == [])
        _ = table.opened(ConnectionID(3))
        let refused = table.received(Self.hello(unseen), on: ConnectionID(3))
        #expect(refused.first == .send(.refused(.struck, tenure: Self.tenure), to: ConnectionID(3)))
    }

    @Test("a higher boot is admitted in place of the lower; a late strike of the lower does it no harm")
    func higherBoot() {
        var table = Self.withSession()
        let next = NodeBoot(node: NodeID(1), boot: Boot(6))
        #expect(
            table.admit(next) == [
                .send(.goAway(tenure: Self.tenure), to: Self.first), .close(Self.first, .surpassed),
                .sessions(Self.node, count: 0),
            ])
        #expect(table.strike(Self.node) == [.struck(Self.node)])
        _ = table.opened(ConnectionID(2))
        let welcomed = table.received(Self.hello(next), on: ConnectionID(2))
        #expect(welcomed == [.send(Self.welcome(2), to: ConnectionID(2)), .sessions(next, count: 1)])
        #expect(table.admit(Self.node) == [], "a lower boot is not admitted any more")
    }

    @Test("one client speaks for a node: its new session replaces the old one, and so does its successor's")
    func replacement() {
        var table = Self.withSession()
        for id in 2...4 as ClosedRange<UInt64> { _ = table.opened(ConnectionID(id)) }
        let replaced = table.received(Self.hello(), on: ConnectionID(2))
        #expect(replaced.contains(.close(Self.first, .replaced)))
        #expect(table.sessions(of: Self.node) == 1)
        let succeeded = table.received(Self.hello(client: 2), on: ConnectionID(3))
        #expect(succeeded.contains(.close(ConnectionID(2), .replaced)))
        #expect(table.sessions(of: Self.node) == 1)
        let late = table.received(Self.hello(), on: ConnectionID(4))
        #expect(late.first == .send(.refused(.succeeded, tenure: Self.tenure), to: ConnectionID(4)))
        #expect(table.closed(ConnectionID(3)) == [.sessions(Self.node, count: 0)])
        #expect(table.closed(ConnectionID(3)) == [])
    }

    @Test("what breaks the protocol ends that connection alone, by name")
    func violations() {
        let cases: [(ClientFrame, SessionEnd)] = [
            (Self.hello(), .helloTwice), (.bye, .bye), (.ping(epoch: Epoch(6)), .wrongEpoch(Epoch(6))),
            (.queryWrite(request: 1, epoch: Epoch(8), ranges: []), .wrongEpoch(Epoch(8))),
        ]
        for (frame, end) in cases {
            var table = Self.withSession()
            #expect(table.received(frame, on: Self.first).contains(.close(Self.first, end)))
            #expect(table.sessionCount == 0)
            #expect(table.received(Self.query, on: Self.first) == [], "nothing more is heard from it")
        }
        var table = Self.table()
        _ = table.opened(Self.first)
        #expect(table.received(Self.query, on: Self.first) == [.close(Self.first, .helloMissing)])
        _ = table.opened(ConnectionID(2))
        let garbage = table.receivedGarbage(.foreign, on: ConnectionID(2))
        #expect(garbage == [.close(ConnectionID(2), .garbage(.foreign))])
    }

    @Test("nothing grows beyond its bound")
    func bounds() {
        var limits = SessionLimits()
        limits.sessions = 2
        limits.strangers = 3
        limits.waitingQueries = 4
        var table = Self.withSession(limits: limits)
        for request in 0..<4 as Range<UInt64> {
            let frame = ClientFrame.queryWrite(
                request: request, epoch: Self.tenure.epoch, ranges: [ChunkRange(first: 0, count: 1)])
            #expect(table.received(frame, on: Self.first) == [])
        }
        #expect(table.received(Self.query, on: Self.first).first == .close(Self.first, .tooManyQueries))
        for id in 2...4 as ClosedRange<UInt64> { #expect(table.opened(ConnectionID(id)) == []) }
        #expect(table.opened(ConnectionID(5)) == [.close(ConnectionID(5), .tooManyStrangers)])
        _ = table.received(Self.hello(volume: "", image: "commands"), on: ConnectionID(2))
        _ = table.received(Self.hello(volume: "", image: "commands"), on: ConnectionID(3))
        let third = table.received(Self.hello(client: 4), on: ConnectionID(4))
        #expect(third.first == .send(.refused(.tooManySessions, tenure: Self.tenure), to: ConnectionID(4)))
    }

    @Test("a flood of strangers keeps no client out: who has said nothing for long makes room, and nobody else")
    func flood() {
        var table = Self.table()
        for id in 1...64 as ClosedRange<UInt64> { #expect(table.opened(ConnectionID(id)) == []) }
        #expect(table.opened(ConnectionID(65)) == [.close(ConnectionID(65), .tooManyStrangers)])
        table.now = table.now + .milliseconds(500)
        for id in 66..<130 as Range<UInt64> {
            #expect(table.opened(ConnectionID(id)) == [.close(ConnectionID(id - 65), .tooManyStrangers)])
        }
        #expect(table.opened(ConnectionID(130)) == [.close(ConnectionID(130), .tooManyStrangers)])
        table.now = table.now + .milliseconds(500)
        #expect(table.opened(ConnectionID(131)) == [.close(ConnectionID(66), .tooManyStrangers)])
        let greeted = table.received(Self.hello(), on: ConnectionID(131))
        #expect(greeted.contains { if case .send(.welcome, ConnectionID(131)) = $0 { true } else { false } })
    }
}
