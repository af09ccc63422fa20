import CsnapCore
import CsnapRuntime
import CsnapSession
import Testing

/// The store is made anew under a living client (`volume create --force`): the numbers of snapshots begin anew, and
/// whoever has one open must not be shown another.
@Suite struct ClientStoreTests {
    typealias Core = ClientCoreTests

    private static let old = Bits128(high: 0, low: 9)
    private static let new = Bits128(high: 0, low: 10)
    private static let gone = SessionQueryError.unknownSnapshot.rawValue

    private static func reconnect(_ core: inout ClientCore, store: UInt64) {
        core.sessionLost(Core.at(2))
        core.wake(Core.at(100))
        core.sessionConnected()
        core.receive(Core.welcome(Core.first, store: store), now: Core.at(100))
    }

    @Test func whatWasAskedOfTheOldStoreIsGone() {
        var core = Core.serving()
        core.opened(3)
        core.read(1, snapshot: 3, ClientSnapshotTests.range, now: Core.at(1))
        core.read(2, snapshot: 3, ClientSnapshotTests.range, now: Core.at(1))
        core.receive(.map(request: 2, epoch: Epoch(1), pieces: ClientSnapshotTests.pieces), now: Core.at(1))
        core.readRemotely(4, snapshot: 3, offset: 0, length: 4096, now: Core.at(1))
        core.writeBranch(5, ClientBranchTests.data(5), now: Core.at(1))
        core.askChanges(6, ChangesQuery(from: 1, to: 3, first: 0))
        _ = core.takeActions()
        #expect(!core.isGone(Self.old))
        Self.reconnect(&core, store: 10)
        let actions = core.takeActions()
        for id in [1, 4, 5, 6] as [UInt64] { #expect(actions.contains(.failed(id, code: Self.gone)), "\(id)") }
        #expect(!actions.contains(.failed(2, code: Self.gone)), "its data is in use until the disk answers")
        let asked = actions.contains { action in
            switch action {
            case .send(.queryRead), .send(.readData), .send(.writeBranch), .send(.queryChanges): true
            default: false
            }
        }
        #expect(!asked, "nothing of it is asked of the new one: \(actions)")
        #expect(actions.contains(.send(.openImages(epoch: Epoch(1), []))), "nothing of the new one is open")
        #expect(core.isGone(Self.old) && !core.isGone(Self.new))

        let holds = core.finishRead(2, now: Core.at(101))
        #expect(!holds)
        #expect(core.takeActions() == [.failed(2, code: Self.gone)])
    }

    @Test func theSameStoreGoesOn() {
        var core = Core.serving()
        core.opened(3)
        core.read(1, snapshot: 3, ClientSnapshotTests.range, now: Core.at(1))
        _ = core.takeActions()
        Self.reconnect(&core, store: 9)
        let actions = core.takeActions()
        #expect(!actions.contains(.failed(1, code: Self.gone)))
        #expect(actions.contains(.send(.openImages(epoch: Epoch(1), [3]))))
    }
}
