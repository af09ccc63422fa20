import CsnapCore
import CsnapRuntime
import CsnapSession
import Glibc
import Testing

/// An origin that grows under a real csnap-server process.
@Suite("Server: resize", .serialized)
struct ServerResizeTests {
    @Test("a larger origin is taken in a barrier and kept; a smaller one is refused; snapshots keep their size")
    func story() throws {
        let fixture = try ServerFixture()
        let (client, commander) = try ServerSnapshotTests.start(fixture)
        let epoch = ServerSnapshotTests.epoch
        let (resize, origin) = (SnapshotCommand.resize(volume: "data"), fixture.directory + "/origin")
        #expect(try ServerSnapshotTests.ask(commander, resize) == .done, "nothing to do")

        // A short last chunk, saved before and after the growth.
        #expect(truncate(origin, (1 << 20) + 4096) == 0)
        func grow(_ counter: UInt64, to size: UInt64) throws {
            try commander.send(.command(request: 1, epoch: epoch, resize))
            let attempt = BarrierAttempt(tenure: ServerFixture.tenure, counter: counter)
            #expect(try client.hear() == .barrierBegin(attempt))
            try client.send(fixture.acknowledgement(attempt))
            let generation = counter == 1 ? 1 : 2
            #expect(
                try client.hear() == .barrierEnd(attempt, generation: UInt64(generation), originSize: size))
            guard case .outcome(_, _, .done) = try commander.hear() else { throw Timeout() }
        }
        try grow(1, to: (1 << 20) + 4096)
        let create = SnapshotCommand.create(volume: "data", name: "monday", uuid: ServerSnapshotTests.uuid)
        try commander.send(.command(request: 1, epoch: epoch, create))
        let attempt = BarrierAttempt(tenure: ServerFixture.tenure, counter: 2)
        #expect(try client.hear() == .barrierBegin(attempt))
        try client.send(fixture.acknowledgement(attempt))
        #expect(try client.hear() == .barrierEnd(attempt, generation: 2))
        #expect(try client.hear() == .snapshotsChanged(epoch: epoch, from: 1))
        guard case .outcome(_, _, .snapshot(let made)) = try commander.hear() else { throw Timeout() }
        #expect(made.size == (1 << 20) + 4096)
        #expect(truncate(origin, 4 << 20) == 0)
        try grow(3, to: 4 << 20)
        let chunks = [ChunkRange(first: 16, count: 1), ChunkRange(first: 63, count: 1)]
        try client.send(.queryWrite(request: 5, epoch: epoch, ranges: chunks))
        #expect(try client.hear() == .grant(request: 5, epoch: epoch, generation: 2))
        try client.send(
            .queryWrite(request: 6, epoch: epoch, ranges: [ChunkRange(first: 64, count: 1)]))
        #expect(try client.hear() == .error(request: 6, epoch: epoch, code: SessionQueryError.outOfRange.rawValue))
        guard case .volume(let report) = try ServerSnapshotTests.ask(commander, .examine(volume: "data")) else {
            throw Timeout()
        }
        #expect(report.originSize == 4 << 20)

        #expect(truncate(origin, 2 << 20) == 0)
        #expect(try ServerSnapshotTests.ask(commander, resize) == .refused(.originSmaller, culprit: "data"))
        #expect(truncate(origin, 4 << 20) == 0)
        fixture.tell(.stop)
        _ = try fixture.waitForEnd()

        // Its successor has waited since before the growth; found by hand: it refused the store at first.
        let next = try ServerFixture(store: fixture.storePath, originSize: 1 << 20)
        let tenure = Tenure(epoch: Epoch(8), round: Round(1))
        let (_, asker) = try ServerSnapshotTests.start(next, tenure) {
            #expect(truncate(next.directory + "/origin", 4 << 20) == 0)
        }
        let list = try ServerSnapshotTests.ask(asker, .list(volume: "data", after: 0), epoch: tenure.epoch)
        #expect(list == .snapshots([made], hasMore: false))
    }
}
