import CsnapCore
import CsnapRuntime
import CsnapSession
import Testing

/// The pure core of the client: what moves the gate, and what does not.
@Suite struct ClientCoreTests {
    static let chunk: UInt64 = 64 << 10
    static let first = Tenure(epoch: Epoch(1), round: Round(1))
    static let second = Tenure(epoch: Epoch(2), round: Round(1))
    static let address = Address.ipv4(127, 0, 0, 1, port: 7412)
    static let boot = NodeBoot(node: NodeID(1), boot: Boot(1))

    static let machine = MachineIdentity(
        machineID: Bits128(high: 3, low: 4), kernelBootID: Bits128(high: 5, low: 6), isSubstitute: false)

    static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: 0) + .milliseconds(milliseconds) }

    static func welcome(_ tenure: Tenure, generation: UInt64 = 1, store: UInt64 = 9) -> ServerFrame {
        .welcome(
            SessionWelcome(
                session: 1, tenure: tenure, storeUUID: Bits128(high: 0, low: store), originSize: 1 << 20,
                chunkSize: UInt32(chunk), generation: generation))
    }

    static func fresh() -> ClientCore {
        ClientCore(
            client: Bits128(high: 1, low: 2), volume: "v", processID: 3, machine: machine, originSize: 1 << 20)
    }

    /// A core with an open session of `first`, resumed, its lease until 1000 ms.
    static func serving() -> ClientCore {
        var core = fresh()
        core.receive(.identity(boot), now: at(0))
        core.receive(.suspend(first), now: at(0))
        open(&core, first)
        core.receive(.lease(first, until: at(1000)), now: at(0))
        core.receive(.resume(first), now: at(0))
        _ = core.takeActions()
        return core
    }

    /// A core that has greeted the server of its first tenure, and waits for the answer.
    static func greeting(_ tenure: Tenure) -> ClientCore {
        var core = fresh()
        core.receive(.identity(boot), now: at(0))
        core.receive(.suspend(tenure), now: at(0))
        core.receive(.server(tenure, address), now: at(0))
        core.sessionConnected()
        _ = core.takeActions()
        return core
    }

    static func open(_ core: inout ClientCore, _ tenure: Tenure, generation: UInt64 = 1) {
        core.receive(.server(tenure, address), now: at(0))
        core.sessionConnected()
        core.receive(welcome(tenure, generation: generation), now: at(0))
    }

    static func queries(_ actions: [ClientCore.Action]) -> [(request: UInt64, ranges: [ChunkRange])] {
        actions.compactMap {
            guard case .send(.queryWrite(let request, _, let ranges)) = $0 else { return nil }
            return (request, ranges)
        }
    }

    static func write(_ core: inout ClientCore, chunk: UInt64, ticket: UInt32 = 0, at now: Int64 = 1)
        -> ClientCore.Admission
    {
        core.enter(ticket, offset: chunk * Self.chunk, length: Self.chunk, now: at(now))
    }

    @Test func nothingPassesBeforeResumeAndLease() {
        var core = Self.fresh()
        core.receive(.identity(Self.boot), now: Self.at(0))
        core.receive(.suspend(Self.first), now: Self.at(0))
        Self.open(&core, Self.first)
        #expect(!core.mayRead(Self.at(1)))
        core.receive(.lease(Self.first, until: Self.at(1000)), now: Self.at(0))
        #expect(!core.mayRead(Self.at(1)))
        core.receive(.resume(Self.first), now: Self.at(0))
        #expect(core.mayRead(Self.at(999)))
        #expect(!core.mayRead(Self.at(1000)))
    }

    @Test func resumeAloneOpensNothing() {
        var core = Self.fresh()
        core.receive(.identity(Self.boot), now: Self.at(0))
        core.receive(.suspend(Self.first), now: Self.at(0))
        core.receive(.resume(Self.first), now: Self.at(0))
        #expect(!core.mayRead(Self.at(1)))
    }

    @Test func aWriteAsksOnceAndGoesWithItsGrant() {
        var core = Self.serving()
        #expect(Self.write(&core, chunk: 3) == .hold)
        let asked = Self.queries(core.takeActions())
        #expect(asked.map(\.ranges) == [[ChunkRange(first: 3, count: 1)]])
        #expect(Self.write(&core, chunk: 3) == .hold)
        #expect(core.takeActions().isEmpty)
        core.receive(.grant(request: asked[0].request, epoch: Epoch(1), generation: 1), now: Self.at(1))
        #expect(core.takeActions() == [.wake])
        #expect(Self.write(&core, chunk: 3) == .go)
        #expect(core.writesInFlight == 1)
        core.leave()
        #expect(Self.write(&core, chunk: 3, ticket: 5) == .go)
        #expect(Self.write(&core, chunk: 4) == .hold)
    }

    @Test func writesThatWaitTogetherAreAskedInOneQuery() {
        var core = Self.serving()
        core.sessionLost(Self.at(1))
        for (ticket, chunk) in [(UInt32(0), UInt64(7)), (1, 2), (2, 3), (3, 7)] {
            #expect(Self.write(&core, chunk: chunk, ticket: ticket) == .hold)
        }
        _ = core.takeActions()
        core.wake(Self.at(100))
        core.sessionConnected()
        core.receive(Self.welcome(Self.first), now: Self.at(100))
        let asked = Self.queries(core.takeActions())
        #expect(asked.map(\.ranges) == [[ChunkRange(first: 2, count: 2), ChunkRange(first: 7, count: 1)]])
    }

    @Test func suspendedCountsWritesAndIsSaidAgainAtZero() {
        var core = Self.serving()
        _ = Self.write(&core, chunk: 1)
        let request = Self.queries(core.takeActions())[0].request
        core.receive(.grant(request: request, epoch: Epoch(1), generation: 1), now: Self.at(1))
        #expect(Self.write(&core, chunk: 1, ticket: 0) == .go)
        #expect(Self.write(&core, chunk: 1, ticket: 1) == .go)
        _ = core.takeActions()
        core.receive(.suspend(Self.second), now: Self.at(2))
        #expect(core.takeActions() == [.disconnect, .tell(.suspended(Self.second, writesInFlight: 2))])
        #expect(Self.write(&core, chunk: 1, ticket: 2) == .hold)
        core.leave()
        #expect(core.takeActions().isEmpty)
        core.leave()
        #expect(core.takeActions() == [.tell(.suspended(Self.second, writesInFlight: 0))])
    }

    @Test func suspendedInTheSameTenureKeepsTheSession() {
        var core = Self.serving()
        core.receive(.suspend(Self.first), now: Self.at(2))
        #expect(core.takeActions() == [.tell(.suspended(Self.first, writesInFlight: 0))])
        #expect(!core.mayRead(Self.at(3)))
        core.receive(.server(Self.first, Self.address), now: Self.at(3))
        #expect(core.takeActions() == [.tell(.connected(Self.first))])
        core.receive(.resume(Self.first), now: Self.at(3))
        #expect(core.mayRead(Self.at(4)))
    }

    @Test func theLeaseEndsAndBeginsAgain() {
        var core = Self.serving()
        #expect(!core.mayRead(Self.at(1500)))
        #expect(Self.write(&core, chunk: 0, at: 1500) == .hold)
        core.receive(.lease(Self.first, until: Self.at(2000)), now: Self.at(1500))
        #expect(core.mayRead(Self.at(1501)))
        core.receive(.lease(Self.first, until: Self.at(10)), now: Self.at(1500))
        #expect(core.mayRead(Self.at(1501)))
    }

    @Test func lowerTenuresMoveNothing() {
        var core = Self.serving()
        core.receive(.suspend(Self.second), now: Self.at(2))
        _ = core.takeActions()
        core.receive(.server(Self.first, Self.address), now: Self.at(2))
        core.receive(.lease(Self.first, until: Self.at(9000)), now: Self.at(2))
        core.receive(.resume(Self.first), now: Self.at(2))
        #expect(core.adopted == Self.second)
        #expect(!core.mayRead(Self.at(3)))
        #expect(core.takeActions().allSatisfy { if case .note = $0 { true } else { false } })
    }

    /// A new boot of the agent knows no tenure yet: its SUSPEND closes, but lowers nothing.
    @Test func aLowerSuspendClosesWithoutAdoption() {
        var core = Self.serving()
        core.receive(.identity(NodeBoot(node: NodeID(1), boot: Boot(2))), now: Self.at(1))
        _ = core.takeActions()
        core.receive(.suspend(.none), now: Self.at(2))
        #expect(core.takeActions() == [.tell(.suspended(.none, writesInFlight: 0))])
        #expect(core.adopted == Self.first)
        core.receive(.lease(.none, until: Self.at(9000)), now: Self.at(2))
        core.receive(.resume(.none), now: Self.at(2))
        #expect(!core.mayRead(Self.at(3)))
        core.receive(.suspend(Self.first), now: Self.at(3))
        core.receive(.lease(Self.first, until: Self.at(9000)), now: Self.at(3))
        core.receive(.resume(Self.first), now: Self.at(3))
        #expect(core.mayRead(Self.at(4)))
    }

    @Test func adoptionEndsTheLease() {
        var core = Self.serving()
        core.receive(.suspend(Self.second), now: Self.at(2))
        core.receive(.resume(Self.second), now: Self.at(2))
        #expect(!core.mayRead(Self.at(3)))
        core.receive(.lease(Self.second, until: Self.at(1000)), now: Self.at(2))
        #expect(core.mayRead(Self.at(3)))
    }

    /// Nobody is to wait for its session; its writes wait.
    @Test(arguments: [SessionRefusal.unknownVolume, .leftOut]) func aVolumeThatIsNotServedIsToldToTheAgent(
        reason: SessionRefusal
    ) {
        var core = Self.greeting(Self.first)
        core.receive(.refused(reason, tenure: Self.first), now: Self.at(0))
        #expect(core.takeActions().contains(.tell(.notServed(Self.first))))
        core.receive(.lease(Self.first, until: Self.at(1000)), now: Self.at(0))
        core.receive(.resume(Self.first), now: Self.at(0))
        #expect(Self.write(&core, chunk: 1) == .hold)
    }

    @Test func aWelcomeOfAnotherTenureOpensNothing() {
        var core = Self.greeting(Self.second)
        core.receive(Self.welcome(Self.first), now: Self.at(0))
        #expect(core.takeActions() == [.disconnect])
    }

    @Test func unansweredQueriesAreSentAgainWithTheSameID() {
        var core = Self.serving()
        _ = Self.write(&core, chunk: 1)
        let before = Self.queries(core.takeActions())
        core.sessionLost(Self.at(2))
        let words = "the session with the server of epoch 1 is lost; it is opened again"
        #expect(core.takeActions() == [.tell(.lostServer(Self.first)), .note(ClientNote(.sessionLost, words))])
        #expect(core.nextWake == Self.at(22))
        core.wake(Self.at(22))
        #expect(core.takeActions() == [.connect(Self.address)])
        core.sessionConnected()
        core.receive(Self.welcome(Self.first), now: Self.at(23))
        let after = Self.queries(core.takeActions())
        #expect(after.map(\.request) == before.map(\.request))
        #expect(after.map(\.ranges) == before.map(\.ranges))
    }

    @Test(arguments: [(UInt64(1), true), (2, false)])
    func theBitmapLivesWithItsGeneration(generation: UInt64, survives: Bool) {
        var core = Self.serving()
        _ = Self.write(&core, chunk: 1)
        let request = Self.queries(core.takeActions())[0].request
        core.receive(.grant(request: request, epoch: Epoch(1), generation: 1), now: Self.at(1))
        core.receive(.suspend(Self.second), now: Self.at(2))
        Self.open(&core, Self.second, generation: generation)
        core.receive(.lease(Self.second, until: Self.at(1000)), now: Self.at(2))
        core.receive(.resume(Self.second), now: Self.at(2))
        #expect(Self.write(&core, chunk: 1) == (survives ? .go : .hold))
    }

    @Test func aLateGrantOfALowerEpochGrantsNothing() {
        var core = Self.serving()
        _ = Self.write(&core, chunk: 1)
        let request = Self.queries(core.takeActions())[0].request
        core.receive(.suspend(Self.second), now: Self.at(2))
        Self.open(&core, Self.second)
        core.receive(.lease(Self.second, until: Self.at(1000)), now: Self.at(2))
        core.receive(.resume(Self.second), now: Self.at(2))
        core.receive(.grant(request: request, epoch: Epoch(1), generation: 1), now: Self.at(3))
        #expect(Self.write(&core, chunk: 1) == .hold)
        core.receive(.grant(request: request, epoch: Epoch(2), generation: 1), now: Self.at(3))
        #expect(Self.write(&core, chunk: 1) == .go)
    }

    @Test func aGrantOfAnotherGenerationIsDiscarded() {
        var core = Self.serving()
        _ = Self.write(&core, chunk: 1)
        let request = Self.queries(core.takeActions())[0].request
        core.receive(.grant(request: request, epoch: Epoch(1), generation: 2), now: Self.at(1))
        #expect(core.takeActions().contains(.disconnect))
        #expect(Self.write(&core, chunk: 1) == .hold)
    }

    @Test func anErrorHitsTheRightWrite() {
        var core = Self.serving()
        core.sessionLost(Self.at(1))
        _ = Self.write(&core, chunk: 1, ticket: 1)
        _ = Self.write(&core, chunk: 5, ticket: 2)
        core.wake(Self.at(50))
        core.sessionConnected()
        core.receive(Self.welcome(Self.first), now: Self.at(50))
        let together = Self.queries(core.takeActions())
        #expect(together.count == 1)
        core.receive(.error(request: together[0].request, epoch: Epoch(1), code: 5), now: Self.at(51))
        let apart = Self.queries(core.takeActions())
        #expect(apart.map(\.ranges) == [[ChunkRange(first: 1, count: 1)], [ChunkRange(first: 5, count: 1)]])
        core.receive(.error(request: apart[0].request, epoch: Epoch(1), code: 5), now: Self.at(52))
        core.receive(.grant(request: apart[1].request, epoch: Epoch(1), generation: 1), now: Self.at(52))
        #expect(Self.write(&core, chunk: 1, ticket: 1, at: 53) == .failed(code: 5))
        #expect(Self.write(&core, chunk: 5, ticket: 2, at: 53) == .go)
    }

    @Test func anotherBootOfTheAgentClosesTheGateAndTheSession() {
        var core = Self.serving()
        core.receive(.identity(Self.boot), now: Self.at(1))
        #expect(core.mayRead(Self.at(2)))
        core.receive(.identity(NodeBoot(node: NodeID(1), boot: Boot(2))), now: Self.at(3))
        #expect(!core.mayRead(Self.at(4)))
        #expect(core.takeActions().contains(.disconnect))
        #expect(core.nextWake == nil, "where to greet is for the new agent to say")
        core.receive(.server(Self.first, Self.address), now: Self.at(5))
        #expect(core.takeActions() == [.connect(Self.address)])
        core.sessionConnected()
        guard case .send(.hello(let hello))? = core.takeActions().first else {
            Issue.record("no HELLO")
            return
        }
        #expect(hello.process.boot == Boot(2))
    }

    @Test func aSilentServerIsLeft() {
        var core = Self.serving()
        var now: Int64 = 0
        var pings = 0
        while now < 60_000, let due = core.nextWake {
            now = due.nanoseconds / 1_000_000
            core.wake(due)
            let actions = core.takeActions()
            if actions.contains(.send(.ping(epoch: Epoch(1)))) { pings += 1 }
            if actions.contains(.disconnect) { break }
        }
        #expect(now == 10_000)
        #expect(pings == 3)
    }

    @Test func aFlushNeedsTheGateButNoGrant() {
        var core = Self.serving()
        #expect(core.enter(0, offset: 0, length: 0, now: Self.at(1)) == .go)
        #expect(core.enter(1, offset: 0, length: 0, now: Self.at(1000)) == .hold)
        #expect(core.writesInFlight == 1)
    }

    /// Its agent was started with another configuration: what it wrote might be in no snapshot.
    @Test func withOtherDisksThanItsAgentItNeverServes() {
        var core = Self.serving()
        #expect(core.mayRead(Self.at(1)))
        core.agentConnected()
        core.receive(.otherDisks, now: Self.at(2))
        #expect(!core.mayRead(Self.at(2)))
        #expect(core.takeActions().contains(.send(.bye)), "no snapshot waits for it")
        core.receive(.suspend(Self.second), now: Self.at(3))
        core.receive(.server(Self.second, Self.address), now: Self.at(3))
        core.receive(.lease(Self.second, until: Self.at(1000)), now: Self.at(4))
        core.receive(.resume(Self.second), now: Self.at(4))
        let actions = core.takeActions()
        #expect(actions.contains(.tell(.notServed(Self.second))) && actions.contains(.connect(Self.address)))
        core.sessionConnected()
        core.receive(Self.welcome(Self.second), now: Self.at(4))
        #expect(core.takeActions().suffix(2) == [.send(.bye), .disconnect], "the next server may know it as a writer")
        #expect(!core.mayRead(Self.at(5)) && core.nextWake == nil)

        core.agentConnected()
        core.receive(.server(Self.second, Self.address), now: Self.at(6))
        #expect(core.takeActions().contains(.connect(Self.address)), "another agent may have the same")
    }

    /// The server would take its goodbye for its predecessor's, which wrote to the disk that the agent has.
    @Test func withOtherDisksFromTheStartItSaysNothingToTheServer() {
        var core = Self.fresh()
        core.agentConnected()
        core.receive(.otherDisks, now: Self.at(0))
        core.receive(.identity(Self.boot), now: Self.at(0))
        core.receive(.suspend(Self.first), now: Self.at(0))
        core.receive(.server(Self.first, Self.address), now: Self.at(0))
        let actions = core.takeActions()
        #expect(actions.contains(.tell(.notServed(Self.first))) && !actions.contains(.connect(Self.address)))
        #expect(core.nextWake == nil)
    }

    @Test func withOtherDisksItSaysGoodbyeWhenNothingIsAtTheDisk() {
        var core = Self.serving()
        #expect(core.enter(1, offset: 0, length: 0, now: Self.at(1)) == .go)
        core.agentConnected()
        core.receive(.otherDisks, now: Self.at(2))
        core.receive(.identity(NodeBoot(node: Self.boot.node, boot: Boot(99))), now: Self.at(2))
        core.receive(.suspend(Self.second), now: Self.at(2))
        core.receive(.server(Self.second, Self.address), now: Self.at(2))
        core.sessionConnected()
        core.receive(Self.welcome(Self.second), now: Self.at(2))
        #expect(!core.takeActions().contains(.send(.bye)))
        core.leave()
        #expect(core.takeActions().contains(.send(.bye)))
    }
}
