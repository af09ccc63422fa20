import CsnapCore
import CsnapRuntime
import CsnapSession
import Testing

/// The pure core of the client in a barrier, and when it reads snapshots (docs/data-plane.md).
@Suite struct ClientSnapshotTests {
    typealias Core = ClientCoreTests
    static let attempt = BarrierAttempt(tenure: Core.first, counter: 1)
    static let ack = ClientCore.Action.send(.barrierAck(attempt, origin: 7))
    static let range = ChunkRange(first: 2, count: 1)
    static let pieces = [MapPiece(count: 1, place: .origin)]

    /// A serving core whose chunk 3 is unshared.
    static func serving() -> ClientCore {
        var core = Core.serving()
        _ = Core.write(&core, chunk: 3)
        let asked = Core.queries(core.takeActions())
        core.receive(.grant(request: asked[0].request, epoch: Epoch(1), generation: 1), now: Core.at(1))
        #expect(Core.write(&core, chunk: 3) == .go)
        core.leave()
        _ = core.takeActions()
        return core
    }

    /// In the barrier, with nothing at the disk, flushed and acknowledged.
    static func acknowledged() -> ClientCore {
        var core = serving()
        core.receive(.barrierBegin(attempt), now: Core.at(1))
        core.flushed(attempt, error: 0, sample: 7)
        #expect(core.takeActions() == [.flushOrigin(attempt), ack])
        return core
    }

    static func does(_ core: inout ClientCore, _ action: ClientCore.Action) -> Bool {
        core.takeActions().contains(action)
    }

    static func finishes(_ core: inout ClientCore, _ now: Int64) -> Bool {
        core.finishRead(9, now: Core.at(now))
    }

    // MARK: Open exports

    @Test func theServerIsToldWhatProgramsHaveOpenAndTheNextSessionToo() {
        func told(_ images: [UInt64]) -> ClientCore.Action { .send(.openImages(epoch: Epoch(1), images)) }
        var core = Core.serving()
        core.opened(5)
        #expect(core.takeActions().contains(told([5])))
        core.opened(5)
        core.opened(3)
        #expect(core.takeActions().last == told([3, 5]))
        core.closed(5)
        #expect(core.takeActions().last == told([3, 5]), "one of two")
        core.sessionLost(Core.at(2))
        core.closed(3)
        #expect(!core.takeActions().contains(told([5])), "there is no session")
        core.wake(Core.at(100))
        core.sessionConnected()
        core.receive(Core.welcome(Core.first), now: Core.at(100))
        #expect(core.takeActions().contains(told([5])))
        core.closed(5)
        #expect(core.takeActions() == [told([])])
    }

    // MARK: Barrier

    @Test func beginHoldsWritesDrainsFlushesThenAcknowledges() {
        var core = Self.serving()
        #expect(Core.write(&core, chunk: 3) == .go)
        core.receive(.barrierBegin(Self.attempt), now: Core.at(1))
        #expect(core.takeActions() == [], "a write is at the disk")
        #expect(Core.write(&core, chunk: 3, ticket: 1) == .hold, "also where the chunk is unshared")
        #expect(core.enter(2, offset: 0, length: 0, now: Core.at(1)) == .hold, "a flush as well")
        #expect(core.mayRead(Core.at(1)), "reads of the origin go on")
        #expect(core.takeActions() == [])
        core.leave()
        #expect(core.takeActions() == [.flushOrigin(Self.attempt)])
        core.flushed(Self.attempt, error: 0, sample: 7)
        #expect(core.takeActions() == [Self.ack])
        #expect(Core.write(&core, chunk: 3, ticket: 1) == .hold)
    }

    @Test func endOfTheNewGenerationForgetsTheBitmap() {
        var core = Self.acknowledged()
        core.receive(.barrierEnd(Self.attempt, generation: 2), now: Core.at(1))
        #expect(core.takeActions() == [.wake])
        #expect(Core.write(&core, chunk: 3) == .hold, "shared again")
        let asked = Core.queries(core.takeActions())
        #expect(asked.map(\.ranges) == [[ChunkRange(first: 3, count: 1)]])
        core.receive(.grant(request: asked[0].request, epoch: Epoch(1), generation: 2), now: Core.at(1))
        #expect(Core.write(&core, chunk: 3) == .go)
    }

    @Test func aLargerOriginIsOfferedAndEachChunkIsAskedForAgain() {
        var core = Self.acknowledged()
        let size = core.originSize + (1 << 20)
        core.receive(.barrierEnd(Self.attempt, generation: 1, originSize: size), now: Core.at(1))
        #expect(core.takeActions().contains(.grown(size)))
        #expect(core.originSize == size)
        #expect(Core.write(&core, chunk: 3) == .hold, "new bits start shared, and so do the others")
        let last = size / 65536 - 1
        #expect(Core.write(&core, chunk: last, ticket: 1) == .hold)
        for query in Core.queries(core.takeActions()) {
            core.receive(.grant(request: query.request, epoch: Epoch(1), generation: 1), now: Core.at(1))
        }
        #expect(Core.write(&core, chunk: 3) == .go)
    }

    /// The device grew before `volume resize`: what lies behind the store's size could not be saved.
    @Test func noMoreIsOfferedThanTheStoreKnows() {
        var core = Core.greeting(Core.first)
        guard case .welcome(var welcome) = Core.welcome(Core.first) else { return }
        let whole = core.originSize
        welcome.originSize = whole / 2
        core.receive(.welcome(welcome), now: Core.at(0))
        let actions = core.takeActions()
        #expect(actions.contains(.offer(whole / 2)))
        let notes = actions.compactMap { if case .note(let note) = $0 { note.text } else { nil } }
        #expect(notes.contains { $0.contains("`csnapctl volume resize v`") }, "\(notes)")
        core.receive(.barrierBegin(Self.attempt), now: Core.at(1))
        core.flushed(Self.attempt, error: 0, sample: 7)
        core.receive(.barrierEnd(Self.attempt, generation: 1, originSize: whole), now: Core.at(1))
        #expect(core.takeActions().contains(.grown(whole)), "and it is offered when the store knows it")
    }

    @Test func anAbortedBarrierKeepsTheBitmap() {
        var core = Self.acknowledged()
        core.receive(.barrierEnd(Self.attempt, generation: 1), now: Core.at(1))
        #expect(Core.write(&core, chunk: 3) == .go)
    }

    @Test func othersAttemptsAreIgnored() {
        var core = Self.acknowledged()
        let other = BarrierAttempt(tenure: Core.first, counter: 2)
        core.receive(.barrierEnd(other, generation: 1), now: Core.at(1))
        #expect(Core.write(&core, chunk: 3) == .hold)
        core.flushed(other, error: 0, sample: 7)
        core.flushed(Self.attempt, error: 0, sample: 7)
        #expect(core.takeActions() == [], "and it is acknowledged once")
        core = Self.serving()
        core.receive(.barrierBegin(BarrierAttempt(tenure: Core.second, counter: 1)), now: Core.at(1))
        #expect(Core.write(&core, chunk: 3) == .go, "a tenure that is not adopted begins nothing")
    }

    @Test func anOriginThatCannotBeFlushedIsNotAcknowledged() {
        var core = Self.serving()
        core.receive(.barrierBegin(Self.attempt), now: Core.at(1))
        _ = core.takeActions()
        core.flushed(Self.attempt, error: 5, sample: 0)
        #expect(Self.does(&core, Self.ack) == false)
        #expect(Core.write(&core, chunk: 3) == .hold)
        core.receive(.barrierEnd(Self.attempt, generation: 1), now: Core.at(1))
        #expect(Core.write(&core, chunk: 3) == .go)
    }

    @Test func ungrantedQueriesAreAskedAgainAfterEnd() {
        var core = Self.serving()
        #expect(Core.write(&core, chunk: 5) == .hold)
        #expect(Core.queries(core.takeActions()).count == 1)
        core.receive(.barrierBegin(Self.attempt), now: Core.at(1))
        core.flushed(Self.attempt, error: 0, sample: 7)
        _ = core.takeActions()
        #expect(Core.write(&core, chunk: 5) == .hold)
        #expect(core.takeActions() == [], "not while it lasts")
        core.receive(.barrierEnd(Self.attempt, generation: 2), now: Core.at(1))
        #expect(Core.queries(core.takeActions()).map(\.ranges) == [[ChunkRange(first: 5, count: 1)]])
    }

    @Test func onlyEndOrAWelcomeReleasesIt() {
        var core = Self.acknowledged()
        core.sessionLost(Core.at(2))
        core.receive(.lease(Core.first, until: Core.at(1000)), now: Core.at(2))
        #expect(Core.write(&core, chunk: 3) == .hold)
        // The next server.
        core.receive(.suspend(Core.second), now: Core.at(3))
        core.receive(.server(Core.second, Core.address), now: Core.at(3))
        core.sessionConnected()
        core.receive(.lease(Core.second, until: Core.at(1000)), now: Core.at(3))
        core.receive(.resume(Core.second), now: Core.at(3))
        #expect(Core.write(&core, chunk: 3, at: 4) == .hold)
        core.receive(Core.welcome(Core.second), now: Core.at(4))
        #expect(Core.write(&core, chunk: 3, at: 5) == .go, "its generation says that no snapshot was made")
    }

    @Test func aWelcomeOfTheNextGenerationTellsThatTheSnapshotWasMade() {
        var core = Self.acknowledged()
        core.sessionLost(Core.at(2))
        core.wake(Core.at(100))
        core.sessionConnected()
        core.receive(Core.welcome(Core.first, generation: 2), now: Core.at(100))
        #expect(Core.write(&core, chunk: 3, at: 101) == .hold)
    }

    // MARK: Reads

    static let query = ClientCore.Action.send(
        .queryRead(request: 9, epoch: Epoch(1), snapshot: 4, ranges: [range]))
    static let endRead = ClientCore.Action.send(.endRead(request: 9, epoch: Epoch(1)))
    static let map = ServerFrame.map(request: 9, epoch: Epoch(1), pieces: pieces)

    /// Read 9 is at the disk.
    static func reading() -> ClientCore {
        var core = Core.serving()
        core.read(9, snapshot: 4, range, now: Core.at(1))
        core.receive(map, now: Core.at(1))
        #expect(core.takeActions() == [query, .readMapped(9, pieces)])
        return core
    }

    @Test func aReadAsksReadsAndEnds() {
        var core = Self.reading()
        #expect(Self.finishes(&core, 2) == true)
        #expect(core.takeActions() == [Self.endRead])
        #expect(Self.finishes(&core, 2) == false, "once")
    }

    @Test func theLeaseIsCheckedAgainAfterTheRead() {
        var core = Self.reading()
        #expect(Self.finishes(&core, 1000) == false)
        #expect(core.takeActions() == [Self.endRead])
        core.receive(.lease(Core.first, until: Core.at(2000)), now: Core.at(1001))
        #expect(core.takeActions() == [.wake, Self.query], "it is read again")
    }

    @Test func aReadOfAnEarlierSessionIsVoid() {
        var core = Self.reading()
        core.sessionLost(Core.at(2))
        core.wake(Core.at(100))
        core.sessionConnected()
        core.receive(Core.welcome(Core.first), now: Core.at(100))
        _ = core.takeActions()
        #expect(Self.finishes(&core, 101) == false)
        #expect(core.takeActions() == [Self.query], "the new session has no hold of it to end")
    }

    @Test func aReadWaitsForTheServerAndTheGate() {
        var core = Core.serving()
        core.sessionLost(Core.at(1))
        core.read(9, snapshot: 4, Self.range, now: Core.at(1))
        #expect(Self.does(&core, Self.query) == false)
        core.wake(Core.at(100))
        core.sessionConnected()
        core.receive(Core.welcome(Core.first), now: Core.at(100))
        #expect(Self.does(&core, Self.query) == true)
        core.receive(Self.map, now: Core.at(1000))
        #expect(core.takeActions() == [Self.endRead], "the gate has closed meanwhile")
        core.receive(.lease(Core.first, until: Core.at(2000)), now: Core.at(1001))
        #expect(Self.does(&core, Self.query) == true)
    }

    @Test func aWithdrawnReadLeavesNoHold() {
        var core = Core.serving()
        core.read(9, snapshot: 4, Self.range, now: Core.at(1))
        #expect(core.withdrawRead(9) == true)
        _ = core.takeActions()
        core.receive(Self.map, now: Core.at(1))
        #expect(core.takeActions() == [Self.endRead])
        core = Self.reading()
        #expect(core.withdrawRead(9) == false, "it is at the disk")
    }

    @Test func anErrorOfTheServerEndsTheReadAlone() {
        var core = Core.serving()
        core.read(9, snapshot: 4, Self.range, now: Core.at(1))
        _ = core.takeActions()
        core.receive(.error(request: 9, epoch: Epoch(1), code: 4), now: Core.at(1))
        #expect(core.takeActions() == [.failed(9, code: 4)])
    }

    // MARK: Changes

    @Test func changesAreAskedForOneByOneAndAgainInTheNextSession() {
        var core = Core.serving()
        let query = ChangesQuery(from: 1, to: 2, first: 0)
        let answer = ChangedChunks(chunkSize: 65536, size: 1 << 20, ranges: [], next: nil)
        func asked(_ id: UInt64) -> ClientCore.Action {
            .send(.queryChanges(request: id, epoch: Epoch(1), query))
        }
        for id in UInt64(8)...10 { core.askChanges(id, query) }
        #expect(core.takeActions() == [asked(8)])
        core.receive(.changes(request: 9, epoch: Epoch(1), answer), now: Core.at(1))
        #expect(core.takeActions() == [], "nobody asked that yet")
        core.receive(.changes(request: 8, epoch: Epoch(1), answer), now: Core.at(1))
        #expect(core.takeActions() == [asked(9), .changes(8, answer)])
        core.receive(.error(request: 9, epoch: Epoch(1), code: 4), now: Core.at(1))
        #expect(core.takeActions() == [asked(10), .failed(9, code: 4)])
        core.sessionLost(Core.at(2))
        core.wake(Core.at(100))
        core.sessionConnected()
        core.receive(Core.welcome(Core.first), now: Core.at(100))
        #expect(Self.does(&core, asked(10)) == true)
        #expect(core.withdrawRead(10) == true)
        core.askChanges(11, query)
        #expect(core.takeActions() == [], "the answer to 10 is awaited still")
        core.receive(.changes(request: 10, epoch: Epoch(1), answer), now: Core.at(101))
        #expect(core.takeActions() == [asked(11)], "and nobody hears it")
    }

    // MARK: Reads by the server

    static func readData(_ id: UInt64, epoch: UInt64 = 1) -> ClientCore.Action {
        .send(.readData(request: id, epoch: Epoch(epoch), snapshot: 4, offset: id * 4096, length: 4096))
    }

    static let data = [UInt8](repeating: 3, count: 4096)

    static func readingRemotely(_ ids: ClosedRange<UInt64>) -> ClientCore {
        var core = Core.serving()
        _ = core.takeActions()
        for id in ids { core.readRemotely(id, snapshot: 4, offset: id * 4096, length: 4096, now: Core.at(1)) }
        return core
    }

    @Test func theServerReadsTwoPartsAtOnce() {
        var core = Self.readingRemotely(9...11)
        #expect(core.takeActions() == [Self.readData(9), Self.readData(10)])
        core.receive(.data(request: 10, epoch: Epoch(1), bytes: Self.data), now: Core.at(2))
        #expect(core.takeActions() == [.readData(10, Self.data), Self.readData(11)])
        core.receive(.data(request: 10, epoch: Epoch(1), bytes: Self.data), now: Core.at(2))
        #expect(core.takeActions() == [], "once")
        core.receive(.data(request: 9, epoch: Epoch(1), bytes: [1]), now: Core.at(2))
        #expect(core.takeActions() == [.failed(9, code: 6)], "all of it or nothing")
        core.receive(.error(request: 11, epoch: Epoch(1), code: 4), now: Core.at(2))
        #expect(core.takeActions() == [.failed(11, code: 4)])
    }

    @Test func theNextServerIsAskedAnew() {
        var core = Self.readingRemotely(9...9)
        _ = core.takeActions()
        core.sessionLost(Core.at(2))
        core.receive(.data(request: 9, epoch: Epoch(1), bytes: Self.data), now: Core.at(2))
        core.wake(Core.at(100))
        core.sessionConnected()
        core.receive(Core.welcome(Core.first), now: Core.at(100))
        #expect(Self.does(&core, Self.readData(9)) == true)
        #expect(core.withdrawRead(9) == true)
        core.receive(.data(request: 9, epoch: Epoch(1), bytes: Self.data), now: Core.at(101))
        #expect(core.takeActions() == [], "nobody waits for it")
    }

    // MARK: List

    static func entry(_ number: UInt64, _ name: String) -> SnapshotEntry {
        SnapshotEntry(number: number, uuid: .zero, name: name, size: 1 << 20, createdAt: 0)
    }

    static func exports(_ core: inout ClientCore) -> [String]? {
        for case .exports(let entries, _, _) in core.takeActions() { return entries.map(\.name) }
        return nil
    }

    @Test func snapshotsAreListedPageByPageAndFollowed() {
        var core = Core.fresh()
        core.receive(.identity(Core.boot), now: Core.at(0))
        core.receive(.suspend(Core.first), now: Core.at(0))
        Core.open(&core, Core.first)
        func ask(_ after: UInt64) -> ClientCore.Action {
            .send(.listSnapshots(request: 0, epoch: Epoch(1), after: after))
        }
        func page(_ entries: [SnapshotEntry], hasMore: Bool = false) {
            core.receive(.snapshots(request: 0, epoch: Epoch(1), entries: entries, hasMore: hasMore), now: Core.at(1))
        }
        #expect(Self.does(&core, ask(0)) == true)
        page([Self.entry(1, "a"), Self.entry(2, "b")], hasMore: true)
        #expect(Self.does(&core, ask(2)) == true)
        page([Self.entry(3, "c")])
        #expect(Self.exports(&core) == ["a", "b", "c"])
        core.receive(.snapshotsChanged(epoch: Epoch(1), from: 2), now: Core.at(2))
        #expect(core.takeActions() == [ask(1)])
        core.receive(.snapshotsChanged(epoch: Epoch(1), from: 3), now: Core.at(2))
        #expect(core.takeActions() == [], "one question at a time")
        page([Self.entry(2, "B")])
        #expect(Self.does(&core, ask(2)) == true, "and what changed meanwhile is asked for then")
        page([])
        #expect(Self.exports(&core) == ["a", "B"])
    }
}
