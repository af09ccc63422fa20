import CsnapCore
import CsnapSession
import Testing

/// What clients write to branches.
@Suite("Writes to branches")
struct BranchWriteTests {
    typealias Rig = SnapshotRig

    static let one = ConnectionID(1)

    static func data(_ offset: UInt64 = 512, _ length: UInt32 = 512) -> BranchData {
        BranchData(branch: 1 << 52 + 1, offset: offset, length: length, bytes: [])
    }

    static func write(_ rig: inout Rig, _ request: UInt64 = 8, _ data: BranchData = data()) -> [SessionAction] {
        rig.served.received(.writeBranch(request: request, epoch: Rig.tenure.epoch, data), on: one)
    }

    static func written(_ request: UInt64 = 8) -> SessionAction {
        .send(.written(request: request, epoch: Rig.tenure.epoch), to: one)
    }

    static func failure(_ error: SessionQueryError) -> [SessionAction] {
        [.send(.error(request: 8, epoch: Rig.tenure.epoch, code: error.rawValue), to: one)]
    }

    @Test("answered when the store has it, whatever snapshot is being made and whoever reads")
    func answers() {
        var rig = Rig()
        #expect(Self.write(&rig) == [Self.written()])
        #expect(rig.served.orders.last == .writeBranch(Self.data()))
        _ = rig.create()
        #expect(Self.write(&rig, 9) == [Self.written(9)])
        rig.served.isStoreSlow = true
        #expect(Self.write(&rig) == [])
        #expect(rig.served.answer(.failed(.notWritable)) == Self.failure(.notWritable))
    }

    @Test("bytes of one chunk, and no more of them than a server keeps")
    func bounds() {
        var rig = Rig()
        #expect(Self.write(&rig, 8, Self.data(65536 - 512, 1024)) == Self.failure(.outOfRange))
        rig.served.isStoreSlow = true
        let limit = UInt64(SessionLimits().branchWrites)
        for request in 1...limit { #expect(Self.write(&rig, request) == []) }
        #expect(Self.write(&rig, limit + 1).first == .close(Self.one, .tooManyQueries))
    }

    @Test("before the server is active they are kept, and bounded as well")
    func early() {
        var served = SessionTableTests.table(admitted: Rig.nodes)
        _ = served.opened(Self.one)
        _ = served.received(SessionTableTests.hello(Rig.nodes[0], client: 1, kernel: 1), on: Self.one)
        let frame = { ClientFrame.writeBranch(request: $0, epoch: Rig.tenure.epoch, Self.data()) }
        let limit = UInt64(SessionLimits().branchWrites)
        for request in 1...limit { #expect(served.received(frame(request), on: Self.one) == []) }
        var flooded = served
        #expect(flooded.received(frame(limit + 1), on: Self.one).first == .close(Self.one, .tooManyQueries))
        let actions = served.activate(Rig.tenure)
        for request in 1...limit { #expect(actions.contains(Self.written(request))) }
    }

    @Test("without room the client hears it, and the report names the wait as long as it asks")
    func full() {
        var rig = Rig()
        func waits() -> UInt32? {
            let command = ClientFrame.command(request: 5, epoch: Rig.tenure.epoch, .examine(volume: "data"))
            for case .send(.outcome(_, _, .volume(let report)), _) in rig.served.received(command, on: Rig.commander) {
                #expect((report.full == nil) == (report.waitingWrites == 0))
                return report.waitingWrites
            }
            return nil
        }
        rig.served.isStoreSlow = true
        _ = Self.write(&rig)
        #expect(rig.served.answer(.full) == Self.failure(.storeFull))
        rig.served.isStoreSlow = false
        #expect(waits() == 1)
        #expect(Self.write(&rig) == [Self.written()])
        #expect(waits() == 0)
    }

    @Test("a struck client's write that the store still does is answered to nobody")
    func struck() {
        var rig = Rig()
        rig.served.isStoreSlow = true
        _ = Self.write(&rig)
        _ = rig.served.strike(Rig.nodes[0])
        #expect(rig.served.answer(.written) == [])
    }

    @Test("a branch is told to all clients, as a snapshot is")
    func command() {
        var rig = Rig()
        let command = SnapshotCommand.branch(volume: "data", from: "monday", name: "try", uuid: Rig.uuid)
        let actions = rig.served.received(
            .command(request: 1, epoch: Rig.tenure.epoch, command), on: Rig.commander)
        let number: UInt64 = 1 << 52 + 1
        for id in 1...3 as ClosedRange<UInt64> {
            let news = ServerFrame.snapshotsChanged(epoch: Rig.tenure.epoch, from: number)
            #expect(actions.contains(.send(news, to: ConnectionID(id))))
        }
        let bad = SnapshotCommand.branch(volume: "data", from: "monday", name: "-try", uuid: Rig.uuid)
        let refused = ServerFrame.outcome(
            request: 1, epoch: Rig.tenure.epoch, .refused(.badName, culprit: "-try"))
        #expect(
            rig.served.received(.command(request: 1, epoch: Rig.tenure.epoch, bad), on: Rig.commander)
                == [.send(refused, to: Rig.commander)])
    }
}
