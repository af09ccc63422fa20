import CsnapSandbox
import Foundation
import Testing

/// nbdkit with its memory plugin on a Unix socket; the test is skipped where it is not installed.
/// Its pid file is written once it listens; the socket's name is there before.
private final class MemoryDisk {
    static let program = "/usr/bin/nbdkit"
    let path = "/tmp/csnap-nbd-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
    private let pidFile: String
    private var process: pid_t = 0

    init(_ arguments: [String] = ["memory", "64M"]) throws {
        pidFile = path + ".pid"
        let words = [MemoryDisk.program, "-f", "--exit-with-parent", "-P", pidFile, "-U", path] + arguments
        var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        try #require(posix_spawn(&process, MemoryDisk.program, nil, nil, pointers, environ) == 0)
        try waitUntil("nbdkit listens", seconds: 30) { access(pidFile, F_OK) == 0 }
    }

    deinit {
        kill(process, SIGKILL)
        waitpid(process, nil, 0)
        unlink(path)
        unlink(pidFile)
    }

    /// A client of its own connection; it gives up with the test's own time.
    func client() throws -> NBDClient {
        try NBDClient(path: path, export: "origin", cancelled: { false })
    }
}

@Suite struct BlockPatternTests {
    private let pattern = BlockPattern(node: 2, sequence: 17, offset: 65_536)

    @Test func aRightBlockHasNoFault() {
        #expect(pattern.bytes.count == BlockPattern.size)
        #expect(pattern.fault(in: pattern.bytes[...]) == nil)
    }

    @Test(arguments: [0, 9, 24, 40, 2048, 4088, 4095])
    func oneWrongByteAnywhereIsFound(index: Int) {
        var bytes = pattern.bytes
        bytes[index] ^= 0x10
        #expect(pattern.fault(in: bytes[...])?.contains("damaged") == true)
    }

    @Test func lostStaleAndMisdirectedBlocksAreNamed() {
        let zeroes = [UInt8](repeating: 0, count: BlockPattern.size)
        #expect(pattern.fault(in: zeroes[...])?.contains("zeroes") == true)
        let stale = BlockPattern(node: 2, sequence: 16, offset: 65_536)
        #expect(pattern.fault(in: stale.bytes[...])?.contains("got block 16 of node 2") == true)
        let misdirected = BlockPattern(node: 2, sequence: 17, offset: 131_072)
        #expect(pattern.fault(in: misdirected.bytes[...])?.contains("for offset 131072") == true)
        #expect(pattern.fault(in: [1, 2, 3][...])?.contains("got 3 bytes") == true)
    }
}

@Suite(.enabled(if: access("/usr/bin/nbdkit", X_OK) == 0), .timeLimit(.minutes(2)))
struct LoadTests {
    @Test func whatIsWrittenIsRead() throws {
        let disk = try MemoryDisk()
        let client = try disk.client()
        #expect(client.size == 64 << 20)
        let pattern = BlockPattern(node: 1, sequence: 1, offset: 8192)
        try client.write(pattern.bytes, offset: 8192)
        try client.flush()
        #expect(try client.read(offset: 8192, count: 4096) == pattern.bytes)
        #expect(throws: SandboxError.self) { try client.read(offset: 65 << 20, count: 4096) }
    }

    @Test func theVerifierCountsRightBlocksAndNamesACorruptedOne() throws {
        let disk = try MemoryDisk()
        let client = try disk.client()
        var record = LoadRecord()
        for index in UInt64(0)..<40 {
            let offset = index * 8192
            try client.write(BlockPattern(node: 1, sequence: index, offset: offset).bytes, offset: offset)
            record.acknowledged[offset] = index
        }
        record.acknowledged[999 * 4096] = 5
        record.uncertain = [999 * 4096]
        var verifier = Verifier()
        try verifier.verify(record, of: 1, on: client)
        #expect(verifier.bytesVerified == 40 * 4096)
        #expect(verifier.faults == [])

        try client.write([0xff], offset: 3 * 8192 + 100)
        var second = Verifier()
        try second.verify(record, of: 1, on: client)
        #expect(second.bytesVerified == 39 * 4096)
        #expect(second.faults.count == 1)
        #expect(second.faults.first?.contains("wanted block 3 of node 1") == true)
    }

    @Test func aLoadRecordsWhatWasAcknowledged() throws {
        let disk = try MemoryDisk()
        let load = NodeLoad(node: 1, generation: 0, socket: disk.path, periodMilliseconds: 5)
        try waitUntil("twenty requests", seconds: 30) {
            // The filling counts too: 68 requests of a chunk each.
            load.snapshot.requests.count { $0.completed != nil } >= 68 + 20
        }
        load.stop()
        let record = load.snapshot
        #expect(record.errors == [])
        #expect(record.acknowledged.count >= 20 + 68 * 16)
        // Each paced block lies in a chunk of its own.
        let paced = record.acknowledged.keys.filter { $0 >= 68 * NodeLoad.chunk }.map { $0 / NodeLoad.chunk }
        #expect(Set(paced).count == paced.count)
        var verifier = Verifier()
        try verifier.verify(record, of: 1, on: try disk.client())
        #expect(verifier.faults == [])
        #expect(verifier.bytesVerified >= 4 << 20)
    }

    @Test func anErrorOfTheDeviceIsRecorded() throws {
        let disk = try MemoryDisk(["--filter=error", "memory", "64M", "error-pwrite-rate=100%"])
        let load = NodeLoad(node: 1, generation: 0, socket: disk.path, periodMilliseconds: 5)
        try waitUntil("the load ends", seconds: 30) { load.hasEnded }
        load.stop()
        #expect(load.snapshot.errors.count == 1)
    }

    @Test func waitsAreMeasured() {
        var record = LoadRecord()
        record.requests = [
            .init(issued: 0, completed: 90), .init(issued: 100, completed: 150), .init(issued: 160, completed: 460),
            .init(issued: 470, completed: nil),
        ]
        #expect(record.longestWait(after: 100, now: 480) == 300)
        #expect(record.longestWait(after: 100, now: 900) == 430)
        #expect(record.firstCompletion(after: 151) == 460)
        #expect(record.firstCompletion(after: 461) == nil)
    }
}
