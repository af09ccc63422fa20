import CsnapCore
import CsnapRuntime
import CsnapSession
import Testing

/// What a client writes to branches, from its core's point of view.
@Suite struct ClientBranchTests {
    typealias Core = ClientSnapshotTests.Core

    static func data(_ id: UInt64) -> BranchData {
        BranchData(branch: 1 << 52 + 1, offset: id * 4096, length: 4096, bytes: [])
    }

    static func sent(_ id: UInt64) -> ClientCore.Action {
        .send(.writeBranch(request: id, epoch: Epoch(1), data(id)))
    }

    static func writing(_ ids: ClosedRange<UInt64>) -> ClientCore {
        var core = Core.serving()
        _ = core.takeActions()
        for id in ids { core.writeBranch(id, data(id), now: Core.at(1)) }
        return core
    }

    static func reconnect(_ core: inout ClientCore) {
        core.sessionLost(Core.at(2))
        core.wake(Core.at(100))
        core.sessionConnected()
        core.receive(Core.welcome(Core.first), now: Core.at(100))
    }

    @Test func fourAreSentAtOnceAndOneForEachAnswer() {
        var core = Self.writing(1...6)
        #expect(core.takeActions() == (1...4).map { Self.sent($0) })
        core.receive(.written(request: 3, epoch: Epoch(1)), now: Core.at(2))
        #expect(core.takeActions() == [.written(3), Self.sent(5)])
        core.receive(.written(request: 3, epoch: Epoch(1)), now: Core.at(2))
        #expect(core.takeActions() == [], "once")
        core.receive(.error(request: 1, epoch: Epoch(1), code: 4), now: Core.at(2))
        #expect(core.takeActions() == [.failed(1, code: 4), Self.sent(6)])
    }

    @Test func theNextSessionGetsWhatIsNotAnswered() {
        var core = Self.writing(1...2)
        core.receive(.written(request: 1, epoch: Epoch(1)), now: Core.at(2))
        #expect(core.takeActions() == [Self.sent(1), Self.sent(2), .written(1)])
        Self.reconnect(&core)
        let actions = core.takeActions()
        #expect(!actions.contains(Self.sent(1)) && actions.contains(Self.sent(2)))
    }

    @Test func withoutRoomItIsSentAgainLater() {
        var core = Self.writing(1...1)
        _ = core.takeActions()
        core.receive(.error(request: 1, epoch: Epoch(1), code: SessionQueryError.storeFull.rawValue), now: Core.at(2))
        #expect(core.takeActions() == [])
        #expect(core.nextWake == Core.at(102))
        core.wake(Core.at(102))
        #expect(core.takeActions() == [Self.sent(1)])
        core.receive(.written(request: 1, epoch: Epoch(1)), now: Core.at(103))
        #expect(core.takeActions() == [.written(1)])
    }

    @Test func withdrawnOnesCountUntilTheyAreAnswered() {
        var core = Self.writing(1...5)
        _ = core.takeActions()
        for id in 1...4 as ClosedRange<UInt64> { #expect(core.withdrawRead(id) == true) }
        core.writeBranch(6, Self.data(6), now: Core.at(2))
        #expect(core.takeActions() == [], "the server counts them still")
        core.receive(.written(request: 2, epoch: Epoch(1)), now: Core.at(2))
        #expect(core.takeActions() == [Self.sent(5)], "and nobody hears it")
        Self.reconnect(&core)
        let actions = core.takeActions()
        #expect(actions.contains(Self.sent(5)) && actions.contains(Self.sent(6)) && !actions.contains(Self.sent(1)))
    }

    @Test func aWithdrawnOneThatFindsNoRoomKeepsNobodyWaiting() {
        var core = Self.writing(1...5)
        _ = core.takeActions()
        #expect(core.withdrawRead(1) == true)
        core.receive(.error(request: 1, epoch: Epoch(1), code: SessionQueryError.storeFull.rawValue), now: Core.at(2))
        #expect(core.takeActions() == [Self.sent(5)])
    }

    @Test func nothingIsSentWhileTheGateIsClosed() {
        var core = Self.writing(1...1)
        _ = core.takeActions()
        core.receive(.suspend(Core.first), now: Core.at(2))
        core.writeBranch(2, Self.data(2), now: Core.at(3))
        #expect(!core.takeActions().contains(Self.sent(2)))
        core.receive(.resume(Core.first), now: Core.at(4))
        core.receive(.lease(Core.first, until: Core.at(1000)), now: Core.at(4))
        #expect(core.takeActions().contains(Self.sent(2)))
    }
}
