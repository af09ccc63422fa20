import CsnapCore
import CsnapRuntime
import CsnapSession
import Foundation
import Glibc
import Synchronization
import Testing

/// What a real csnap-server process says of its store.
@Suite("Server: store", .serialized)
struct ServerStoreTests {
    @Test("a restart in place takes the store again, a lower or equal tenure is refused")
    func tenures() throws {
        let first = try ServerFixture()
        try first.serve()
        first.process.killGroup()
        #expect(try first.waitForEnd() == .signal(SIGKILL))

        func failure(_ epoch: UInt64, _ round: UInt32, cluster: UInt64 = 1, lastActive: UInt64 = 0) throws
            -> ServerToAgent?
        {
            let server = try ServerFixture(store: first.storePath)
            #expect(try server.hear() == .inert)
            server.start(
                Tenure(epoch: Epoch(epoch), round: Round(round)), cluster: cluster, lastActive: lastActive)
            let answer = try server.hear()
            if case .failed = answer { #expect(try server.waitForEnd() == .exited(1)) }
            return answer
        }
        #expect(try failure(6, 1) == .failed(.storeTenure, volume: "data", epochSeen: Epoch(7)))
        #expect(try failure(7, 1) == .failed(.storeTenure, volume: "data", epochSeen: Epoch(7)))
        #expect(try failure(8, 1, cluster: 2) == .failed(.storeForeign, volume: "data", epochSeen: .none))
        #expect(try failure(9, 1, lastActive: 8) == .failed(.storeStale, volume: "data", epochSeen: .none))
        #expect(try failure(263, 1) == .failed(.storeTenure, volume: "data", epochSeen: Epoch(263)))
        let next = Tenure(epoch: Epoch(7), round: Round(2))
        let volumes = ServerFixture.volumes
        #expect(try failure(7, 2) == .started(next, port: 7001, volumes: volumes))
        let after = Tenure(epoch: Epoch(8), round: Round(1))
        #expect(try failure(8, 1, lastActive: 7) == .started(after, port: 7001, volumes: volumes))
    }

    @Test("a volume that was left out of some epochs is no old copy of itself")
    func leftOut() throws {
        let first = try ServerFixture()
        try first.serve()
        first.process.killGroup()
        #expect(try first.waitForEnd() == .signal(SIGKILL))
        func answer(_ epoch: UInt64, _ volume: String, last: UInt64) throws -> ServerToAgent? {
            let server = try ServerFixture(store: first.storePath)
            #expect(try server.hear() == .inert)
            let known = VolumeEpoch(volume: VolumeDigest(name: volume), epoch: Epoch(last))
            server.start(Tenure(epoch: Epoch(epoch), round: Round(1)), volumeEpochs: [known])
            return try server.hear()
        }
        #expect(try answer(10, "data", last: 9) == .failed(.storeStale, volume: "data", epochSeen: .none))
        let tenure = Tenure(epoch: Epoch(10), round: Round(1))
        #expect(try answer(10, "another", last: 9) == .started(tenure, port: 7001, volumes: ServerFixture.volumes))
    }

    @Test("a blank store, a foreign file and no file are refused by name")
    func noStore() throws {
        let scratch = try ServerFixture()
        let blank = scratch.directory + "/blank"
        try makeFile(blank, size: 16 << 20)
        let other = scratch.directory + "/other"
        try Data(repeating: 7, count: 1 << 20).write(to: URL(fileURLWithPath: other))
        for path in [blank, other] {
            let server = try ServerFixture(store: path)
            #expect(try server.hear() == .inert)
            server.start()
            #expect(try server.hear() == .failed(.storeFormat, volume: "data", epochSeen: .none))
        }
        let missing = try ServerFixture(store: scratch.directory + "/missing")
        #expect(try missing.hear() == .failed(.storeUnreachable, volume: "data", epochSeen: .none))
        #expect(try missing.waitForEnd() == .exited(1))
    }

    @Test("a store of a newer format, a truncated one and one that is checked are refused by name and left alone")
    func badStores() throws {
        func failure(_ change: (Int32) throws -> Void, _ path: String) throws -> ServerToAgent? {
            let descriptor = open(path, O_RDWR)
            try change(descriptor)
            close(descriptor)
            let before = try Data(contentsOf: URL(fileURLWithPath: path))
            let server = try ServerFixture(store: path)
            var answer = try server.hear()
            if answer == .inert {
                server.start()
                answer = try server.hear()
            }
            #expect(try server.waitForEnd() == .exited(1))
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before, "its bytes are what they were")
            return answer
        }
        func fresh() throws -> ServerFixture {
            let fixture = try ServerFixture()
            #expect(try fixture.hear() == .inert)
            fixture.tell(.stop)
            #expect(try fixture.waitForEnd() == .exited(0))
            return fixture
        }
        let newer = try fresh()
        #expect(
            try failure({ try raiseVersion($0) }, newer.storePath)
                == .failed(.storeVersion, volume: "data", epochSeen: .none))
        let truncated = try fresh()
        #expect(
            try failure({ ftruncate($0, 12 << 20) }, truncated.storePath)
                == .failed(.storeTruncated, volume: "data", epochSeen: .none))
        let damaged = try fresh()
        let zeros = [UInt8](repeating: 0, count: 2 * 4096)
        #expect(
            try failure({ pwrite($0, zeros, zeros.count, 1 << 20) }, damaged.storePath)
                == .failed(.storeDamaged, volume: "data", epochSeen: .none))
        let checked = try fresh()
        let checker = try VolumeChecker(path: checked.storePath, origin: checked.directory + "/origin")
        #expect(try failure({ _ in }, checked.storePath) == .failed(.storeInUse, volume: "data", epochSeen: .none))
        #expect(try checker.check("data") { _, _ in }.problems.map(\.code) == [])
    }

    /// Makes both copies of the format block those of the next version, checksums included.
    private func raiseVersion(_ descriptor: Int32) throws {
        var block = [UInt8](repeating: 0, count: 4096)
        for offset in [0, 4096] {
            try #require(pread(descriptor, &block, block.count, offset) == block.count)
            block[8] += 1
            let checksum = Castagnoli.checksum(Array(block.dropLast(4)))
            for index in 0..<4 { block[4092 + index] = UInt8(truncatingIfNeeded: checksum >> UInt32(8 * index)) }
            try #require(pwrite(descriptor, block, block.count, offset) == block.count)
        }
    }

    @Test("an origin that has become smaller is refused by name, and nothing is written to it")
    func smallerOrigin() throws {
        let first = try ServerFixture()
        try first.serve()
        first.tell(.stop)
        #expect(try first.waitForEnd() == .exited(0))
        let second = try ServerFixture(store: first.storePath)
        #expect(try second.hear() == .inert)
        second.tell(.stop)
        _ = try second.waitForEnd()
        // The same store beside an origin of half the size.
        let third = try ServerFixture(store: first.storePath, originSize: 1 << 19)
        #expect(try third.hear() == .inert)
        third.start(Tenure(epoch: Epoch(8), round: Round(1)))
        #expect(try third.hear() == .failed(.originTruncated, volume: "data", epochSeen: .none))
        #expect(try third.waitForEnd() == .exited(1))
    }

    @Test("a store that fails under a server ends it by name, and grants nothing")
    func failsWhileServing() throws {
        let fixture = try ServerFixture()
        let (client, commander) = try ServerSnapshotTests.start(fixture)
        try ServerSnapshotTests.makeMonday(fixture, client, commander)
        // The slots are gone: the first copy-out, which has to look at them, is the end.
        #expect(truncate(fixture.storePath, 1 << 20) == 0)
        try client.query(9)
        #expect(try client.hear() == nil, "no grant")
        // What was told before the end may come first.
        var heard = try fixture.hear()
        while let message = heard, message != .failed(.storeIO, volume: "data", epochSeen: .none) {
            heard = try fixture.hear()
        }
        #expect(heard == .failed(.storeIO, volume: "data", epochSeen: .none))
        #expect(try fixture.waitForEnd() == .exited(1))
    }

    @Test("a store is made only where nothing is, never under a server")
    func create() throws {
        let server = try ServerFixture()
        #expect(try server.hear() == .inert)
        let origin = server.directory + "/origin"
        func refusal(_ path: String, force: Bool) -> String? {
            do {
                _ = try VolumeFormatter.create(path: path, origin: origin, storeSize: 16 << 20, force: force)
                return nil
            } catch {
                return error.description
            }
        }
        #expect(refusal(server.storePath, force: true)?.contains("in use by a server") == true)
        server.tell(.stop)
        #expect(try server.waitForEnd() == .exited(0))
        #expect(refusal(server.storePath, force: false)?.contains("holds a snapshot store already") == true)
        #expect(refusal(server.storePath, force: true) == nil)
        let small = server.directory + "/small"
        let error = #expect(throws: VolumeFormatterError.self) {
            try VolumeFormatter.create(path: small, origin: origin, storeSize: 1 << 20)
        }
        #expect(error?.description.contains("too small") == true)
        #expect(access(small, F_OK) != 0, "what was made is removed again")
    }

    /// Locks a file as soon as it is there.
    private final class Locker: Sendable {
        let isReady = Atomic(false)
        let isOver = Atomic(false)
        let ended = DispatchSemaphore(value: 0)

        init(_ path: String) {
            Thread.detachNewThread { [self] in
                isReady.store(true, ordering: .relaxed)
                var device: StoreDevice?
                while !isOver.load(ordering: .relaxed) {
                    guard device == nil else { continue }
                    device = try? StoreDevice(path: path)
                    try? device?.lock(exclusively: true)
                }
                ended.signal()
            }
            while !isReady.load(ordering: .relaxed) {}
        }

        func end() {
            isOver.store(true, ordering: .relaxed)
            ended.wait()
        }
    }

    @Test("who made the file and finds it locked by another run leaves it to that")
    func createAtOnce() throws {
        let directory = try TemporaryDirectory()
        let origin = directory.path + "/origin"
        try makeFile(origin, size: 1 << 20)
        // Mostly the other one comes too late. The file is too small, so that this costs nothing.
        for number in 1...2000 {
            let path = directory.path + "/store-\(number)"
            let other = Locker(path)
            let error = #expect(throws: VolumeFormatterError.self) {
                try VolumeFormatter.create(path: path, origin: origin, storeSize: 1 << 20)
            }
            let isThere = access(path, F_OK) == 0
            other.end()
            guard case .inUse = error else { continue }
            #expect(isThere)
            return
        }
    }
}
