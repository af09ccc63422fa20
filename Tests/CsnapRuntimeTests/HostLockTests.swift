import CsnapCore
import CsnapRuntime
import Testing

@Suite("Locks")
struct HostLockTests {
    @Test func aSecondHolderIsRefusedByName() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/agent.lock"
        let lock = try FileLock.acquire(path, note: "pid 7\n")
        #expect(throws: FileLockError.held(path: path, note: "pid 7")) {
            _ = try FileLock.acquire(path, note: "pid 8\n")
        }
        #expect(try lock.content() == "pid 7")
    }

    @Test func theLockEndsWithItsLastReference() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/agent.lock"
        var lock: FileLock? = try FileLock.acquire(path, note: "first")
        #expect(try FileLock.isHeld(path))
        #expect(lock?.path == path)
        lock = nil
        #expect(try !FileLock.isHeld(path))
        let second = try FileLock.acquire(path, note: nil)
        #expect(try second.content() == "first")
    }

    @Test func livingClientsAreCountedByLocks() throws {
        let directory = try TemporaryDirectory()
        let runtime = RuntimeDirectory(directory.path)
        try directory.write("client-dead.lock", "")
        #expect(try runtime.livingClients().isEmpty)
        let lock = try runtime.acquireClientLock(volume: "a.b", note: "")
        #expect(try runtime.livingClients() == ["a.b"])
        #expect(lock.path.hasSuffix("/client-a.b.lock"))
    }

    @Test func theServerLockHoldsTheStartBits() throws {
        let directory = try TemporaryDirectory()
        let bits = Bits128(high: 0x1, low: 0xfedc_ba98_7654_3210)
        let lock = try RuntimeDirectory(directory.path).acquireServerLock(startBits: bits)
        #expect(try lock.content() == "0000000000000001fedcba9876543210")
        #expect(Bits128(hex: try lock.content()) == bits)
        #expect(Bits128(hex: "xyz") == nil)
    }

    @Test func aMissingDirectoryIsAnErrorThatNamesIt() {
        let error = #expect(throws: FileLockError.self) {
            _ = try FileLock.acquire("/nowhere/agent.lock", note: nil)
        }
        #expect(error?.description.contains("/nowhere/agent.lock: No such file") == true)
    }
}
