import CsnapCore
import CsnapRuntime
import CsnapSession
import Foundation
import Glibc
import Testing

/// Checks of a store under a real csnap-server process, and beside none.
@Suite("Server: check", .serialized)
struct ServerCheckTests {
    private static let chunk = 3

    /// A server whose store holds one saved chunk; where it lies.
    private func served() throws -> (ServerFixture, client: TestSession, commander: TestSession, place: UInt64) {
        let fixture = try ServerFixture()
        let (client, commander) = try ServerSnapshotTests.start(fixture)
        let epoch = ServerSnapshotTests.epoch
        let create = SnapshotCommand.create(volume: "data", name: "monday", uuid: ServerSnapshotTests.uuid)
        try commander.send(.command(request: 1, epoch: epoch, create))
        let attempt = BarrierAttempt(tenure: ServerFixture.tenure, counter: 1)
        #expect(try client.hear() == .barrierBegin(attempt))
        try client.send(fixture.acknowledgement(attempt))
        #expect(try client.hear() == .barrierEnd(attempt, generation: 2))
        #expect(try client.hear() == .snapshotsChanged(epoch: epoch, from: 1))
        _ = try commander.hear()
        try client.send(.queryWrite(request: 6, epoch: epoch, ranges: ServerSnapshotTests.chunk))
        #expect(try client.hear() == .grant(request: 6, epoch: epoch, generation: 2))
        guard case .store(let place) = try ServerSnapshotTests.map(client, 7) else { throw Timeout() }
        // A later group shows that this one was flushed: only then is what is destroyed in it damage.
        try client.query(8)
        #expect(try client.hear() == .grant(request: 8, epoch: epoch, generation: 2))
        return (fixture, client, commander, place)
    }

    private func online(_ commander: TestSession, uuid: UInt64) throws -> CheckState {
        let command = SnapshotCommand.check(volume: "data", uuid: Bits128(high: 0, low: uuid))
        while true {
            guard case .check(let state) = try ServerSnapshotTests.ask(commander, command) else { throw Timeout() }
            if state.isDone { return state }
            usleep(5_000)
        }
    }

    private func flip(_ path: String, at offset: UInt64) throws {
        let descriptor = open(path, O_RDWR)
        defer { close(descriptor) }
        var byte: UInt8 = 0
        guard pread(descriptor, &byte, 1, off_t(offset)) == 1 else { throw Timeout() }
        byte ^= 1
        guard pwrite(descriptor, &byte, 1, off_t(offset)) == 1, fsync(descriptor) == 0 else { throw Timeout() }
    }

    @Test("online, offline and repaired: the same chunk is named, then the store is clean and served again")
    func story() throws {
        let (fixture, _, commander, place) = try served()
        let origin = fixture.directory + "/origin"
        let clean = try online(commander, uuid: 1)
        #expect(clean.problems == [])
        #expect(clean.entries == 2 && clean.snapshots == 1)
        try flip(fixture.storePath, at: place + 1000)
        let damaged = try online(commander, uuid: 2)
        #expect(damaged.problems.map(\.code) == ["damagedData"])
        #expect(damaged.problems.first?.text.contains("chunk \(Self.chunk)") == true)

        let inUse = #expect(throws: VolumeCheckerError.self) {
            try VolumeChecker(path: fixture.storePath, origin: origin)
        }
        #expect(inUse?.description.contains("in use by a server on this node") == true)
        fixture.tell(.stop)
        _ = try fixture.waitForEnd()

        var steps: [UInt64] = []
        let machine = MachineIdentity(machineID: Bits128(high: 2, low: 2), kernelBootID: Bits128(high: 3, low: 3))
        let elsewhere = MachineIdentity(machineID: Bits128(high: 9, low: 9), kernelBootID: Bits128(high: 3, low: 3))
        do {
            let checker = try VolumeChecker(path: fixture.storePath, origin: origin)
            let offline = try checker.check("data") { done, _ in steps.append(done) }
            #expect(offline.problems.map(\.code) == ["damagedData"])
            #expect(offline.online == false)
            #expect(steps.last == 2)
            let refused = #expect(throws: VolumeCheckerError.self) {
                try checker.repair("data", node: NodeID(1), machine: elsewhere, force: false) { _, _ in }
            }
            #expect(refused?.description.contains("served by node 1 last") == true)
            let repair = try checker.repair("data", node: NodeID(1), machine: machine, force: false) { _, _ in }
            #expect(repair.repaired == true)
            #expect(repair.generation ?? 0 > 2)
            #expect(repair.losses?.map(\.snapshots) == [["monday"]])
            #expect(repair.losses?.first?.firstChunk == UInt64(Self.chunk))
            #expect(repair.settled == nil)
            let fenced = try checker.repair("data", node: NodeID(1), machine: machine, force: false, fenced: true) {
                _, _ in
            }
            #expect(fenced.settled == 2, "the server's tenure, and the repair's")
            #expect(fenced.repaired == false)
            #expect(try checker.check("data") { _, _ in }.problems.map(\.code) == [])
        }
        let next = try ServerFixture(store: fixture.storePath)
        let tenure = Tenure(epoch: Epoch(10), round: Round(1))
        let (_, asker) = try ServerSnapshotTests.start(next, tenure)
        guard
            case .snapshots(let list, false) = try ServerSnapshotTests.ask(
                asker, .list(volume: "data", after: 0), epoch: tenure.epoch)
        else {
            Issue.record("no list")
            return
        }
        #expect(list.map(\.name) == ["monday"])
    }

    @Test("a second check of a volume is refused while one runs; the same one is answered")
    func twice() throws {
        let (fixture, client, commander, _) = try served()
        defer { withExtendedLifetime((fixture, client)) {} }
        func ask(_ uuid: UInt64) throws -> CommandOutcome? {
            try ServerSnapshotTests.ask(
                commander, .check(volume: "data", uuid: Bits128(high: 0, low: uuid)))
        }
        guard case .check = try ask(1) else {
            Issue.record("not begun")
            return
        }
        // The other is refused while it runs, or begins when it was quick.
        switch try ask(2) {
        case .refused(.checking, let culprit): #expect(culprit == "data")
        case .check: break
        case let other: Issue.record("\(String(describing: other))")
        }
    }
}
