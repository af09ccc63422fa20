import CsnapCore
import CsnapRuntime
import CsnapSession
import Foundation
import Glibc
import Testing

/// An origin that a real csnap-server process cannot read.
@Suite("Server: origin", .serialized)
struct ServerOriginTests {
    private static func write(_ client: TestSession, _ request: UInt64, chunk: UInt64) throws -> ServerFrame? {
        try client.send(
            .queryWrite(
                request: request, epoch: ServerSnapshotTests.epoch, ranges: [ChunkRange(first: chunk, count: 1)]))
        return try client.hear()
    }

    @Test("one place that cannot be read fails the writes there alone; nothing readable ends the server by name")
    func unreadable() throws {
        let fixture = try ServerFixture()
        let (client, commander) = try ServerSnapshotTests.start(fixture)
        try ServerSnapshotTests.makeMonday(fixture, client, commander)
        let origin = fixture.directory + "/origin"
        let epoch = ServerSnapshotTests.epoch

        #expect(truncate(origin, 12 << 16) == 0)
        let failed = ServerFrame.error(request: 5, epoch: epoch, code: SessionQueryError.originFailed.rawValue)
        #expect(try Self.write(client, 5, chunk: 12) == failed)
        #expect(try Self.write(client, 6, chunk: 3) == .grant(request: 6, epoch: epoch, generation: 2))

        #expect(truncate(origin, 0) == 0)
        #expect(try Self.write(client, 7, chunk: 4) == nil, "no error: another node may see the origin")
        var heard = try fixture.hear()
        while case .store = heard { heard = try fixture.hear() }
        #expect(heard == .failed(.originIO, volume: "data", epochSeen: .none))
        #expect(try fixture.waitForEnd() == .exited(1))
    }

    @Test("a device is readable while any of three blocks is")
    func probe() throws {
        let path = "/tmp/csnap-origin-test.\(getpid())"
        try makeFile(path, size: 1 << 20)
        defer { unlink(path) }
        let device = try StoreDevice(path: path, writable: false)
        #expect(device.failure(besides: nil) == 0)
        #expect(truncate(path, 4096) == 0)
        #expect(device.failure(besides: nil) == 0, "its beginning")
        #expect(device.failure(besides: 0..<1 << 16) == EIO)
        #expect(device.failure(besides: 0..<1 << 20) == 0, "there is no other block")
        #expect(truncate(path, 0) == 0)
        #expect(device.failure(besides: nil) == EIO)
    }
}
