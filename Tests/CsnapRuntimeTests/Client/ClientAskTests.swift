import CsnapCore
import CsnapRuntime
import CsnapSession
import Testing

/// The pure core of the client: when it says goodbye, and how much it asks for at once.
@Suite struct ClientAskTests {
    typealias Core = ClientCoreTests

    @Test func whenItsAgentStopsItSaysGoodbyeIfNothingIsAtTheDisk() {
        func part(writing: Bool) -> [ClientCore.Action] {
            var core = Core.serving()
            if writing { #expect(core.enter(0, offset: 0, length: 0, now: Core.at(1)) == .go) }
            core.receive(.part(Core.first), now: Core.at(2))
            #expect(!core.takeActions().contains(.send(.bye)), "its gate is open")
            core.receive(.suspend(Core.first), now: Core.at(2))
            core.receive(.part(Core.second), now: Core.at(2))
            #expect(!core.takeActions().contains(.send(.bye)), "another tenure")
            core.receive(.part(Core.first), now: Core.at(2))
            core.wake(Core.at(500))
            return core.takeActions()
        }
        #expect(part(writing: false) == [.send(.bye), .disconnect], "and it stays away")
        #expect(part(writing: true) == [])
    }

    /// Snapshots were made without it meanwhile: what it knew to be unshared may be shared again.
    @Test func afterItsGoodbyeNoWritePassesBeforeTheNextWelcome() {
        var core = Core.serving()
        #expect(Core.write(&core, chunk: 0) == .hold)
        let asked = Core.queries(core.takeActions())
        core.receive(.grant(request: asked[0].request, epoch: Epoch(1), generation: 1), now: Core.at(1))
        #expect(Core.write(&core, chunk: 0) == .go)
        core.leave()
        core.receive(.suspend(Core.first), now: Core.at(2))
        core.receive(.part(Core.first), now: Core.at(2))
        core.receive(.identity(NodeBoot(node: NodeID(1), boot: Boot(2))), now: Core.at(3))
        core.receive(.suspend(.none), now: Core.at(3))
        core.receive(.server(Core.first, Core.address), now: Core.at(3))
        core.receive(.resume(Core.first), now: Core.at(3))
        core.receive(.lease(Core.first, until: Core.at(2000)), now: Core.at(3))
        #expect(Core.write(&core, chunk: 0, at: 4) == .hold, "its session is not open yet")
        core.sessionConnected()
        _ = core.takeActions()
        core.receive(Core.welcome(Core.first, generation: 2), now: Core.at(5))
        #expect(Core.write(&core, chunk: 0, at: 6) == .hold)
        #expect(Core.queries(core.takeActions()).map(\.ranges) == [[ChunkRange(first: 0, count: 1)]])
    }

    /// The server ends a session that asks for too much at once, and would again when all is asked anew.
    @Test func readsOfSnapshotsAreAskedAFewHundredAtATime() {
        var core = Core.serving()
        _ = core.takeActions()
        var open: [UInt64] = []
        var most = 0
        func take() {
            for case .send(.queryRead(let id, _, _, _)) in core.takeActions() { open.append(id) }
            most = max(most, open.count)
        }
        let all = (1...1000).map { UInt64($0) }
        for id in all { core.read(id, snapshot: 3, ClientSnapshotTests.range, now: Core.at(1)) }
        take()
        #expect(open == Array(all.prefix(256)))
        core.receive(.error(request: 1, epoch: Epoch(1), code: 2), now: Core.at(1))
        open.removeFirst()
        let isOver = core.withdrawRead(2)
        #expect(isOver, "its program has gone")
        open.removeFirst()
        var finished = 0
        while let id = open.first {
            core.receive(.map(request: id, epoch: Epoch(1), pieces: ClientSnapshotTests.pieces), now: Core.at(1))
            let holds = core.finishRead(id, now: Core.at(1))
            #expect(holds)
            open.removeFirst()
            finished += 1
            take()
        }
        #expect(finished == 998 && most == 256)
    }

    /// Of a large origin, which knows no unshared chunk.
    private static func servingMuch(_ size: UInt64) -> ClientCore {
        var core = ClientCore(
            client: Bits128(high: 1, low: 2), volume: "v", processID: 3, machine: Core.machine, originSize: size)
        core.receive(.identity(Core.boot), now: Core.at(0))
        core.receive(.server(Core.first, Core.address), now: Core.at(0))
        core.sessionConnected()
        if case .welcome(var welcome) = Core.welcome(Core.first) {
            welcome.originSize = size
            core.receive(.welcome(welcome), now: Core.at(0))
        }
        core.receive(.lease(Core.first, until: Core.at(1000)), now: Core.at(0))
        core.receive(.resume(Core.first), now: Core.at(0))
        return core
    }

    /// Those of a connection that has ended leave room to ask for others.
    @Test func whatIsWithdrawnLeavesRoomToAskForOthers() {
        var core = Self.servingMuch(1 << 36)
        let length = 64 * Core.chunk
        for ticket in 0..<9 as Range<UInt32> {
            _ = core.enter(ticket, offset: UInt64(ticket) * length, length: length, now: Core.at(1))
        }
        #expect(Core.queries(core.takeActions()).count == 8)
        _ = core.enter(10, offset: 1 << 35, length: Core.chunk, now: Core.at(1))
        #expect(Core.queries(core.takeActions()).map(\.ranges.chunkCount) == [1], "a small one needs no room, perhaps")
        for ticket in 0..<8 as Range<UInt32> { core.withdraw(ticket) }
        #expect(core.hasActions, "the control thread is woken")
        #expect(Core.queries(core.takeActions()).map(\.ranges) == [[ChunkRange(first: 512, count: 64)]])
    }

    /// Other nodes' writes wait in the store behind what was asked for before, and so does a snapshot that is being
    /// made.
    @Test func trimsOfMuchAreAskedForByAndBy() throws {
        var core = Self.servingMuch(1 << 36)
        let length = 512 * Core.chunk
        for ticket in 0..<40 as Range<UInt32> {
            #expect(core.enter(ticket, offset: UInt64(ticket) * length, length: length, now: Core.at(1)) == .hold)
        }
        var passed: [UInt32] = []
        for _ in 0..<100 where passed.count < 40 {
            let asked = Core.queries(core.takeActions())
            #expect(!asked.isEmpty && asked.reduce(0) { $0 + $1.ranges.chunkCount } <= 512, "32 MiB")
            for query in asked {
                #expect(query.ranges.chunkCount <= 64, "4 MiB")
                core.receive(.grant(request: query.request, epoch: Epoch(1), generation: 1), now: Core.at(1))
            }
            for ticket in 0..<40 as Range<UInt32> where !passed.contains(ticket) {
                let admission = core.enter(ticket, offset: UInt64(ticket) * length, length: length, now: Core.at(1))
                if admission == .go { passed.append(ticket) }
            }
        }
        #expect(passed.count == 40)
    }

    /// Small writes that wait beside much else are bounded, too.
    @Test func whatIsAskedForIsBoundedWhateverWaits() throws {
        var core = Self.servingMuch(1 << 36)
        for ticket in 0..<2000 as Range<UInt32> {
            let place = UInt64(ticket) * 1024 * Core.chunk
            _ = core.enter(ticket, offset: place, length: (ticket % 2 == 0 ? 4 : 64) * Core.chunk, now: Core.at(1))
        }
        let asked = Core.queries(core.takeActions()).reduce(0) { $0 + $1.ranges.chunkCount }
        #expect((512...1024 + 4).contains(asked), "32 MiB, and as much again")
    }
}
