import CsnapRuntime
import Glibc
import Synchronization
import Testing

/// Hands one value from a callback to a test.
private final class Outcome<Value: Sendable>: Sendable {
    private let stream: AsyncStream<Value>
    private let continuation: AsyncStream<Value>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    func set(_ value: Value) { continuation.yield(value) }

    func next() async -> Value? {
        for await value in stream { return value }
        return nil
    }
}

@Suite("Server process", .timeLimit(.minutes(1)))
struct HostProcessTests {
    private func spawn(_ executable: String, _ arguments: String...) throws -> (ServerProcess, Outcome<ProcessEnd>) {
        let outcome = Outcome<ProcessEnd>()
        let process = try ServerProcess.spawn(executable: executable, arguments: arguments) { outcome.set($0) }
        return (process, outcome)
    }

    @Test func killEndsTheGroup() async throws {
        let (process, outcome) = try spawn("/bin/sleep", "600")
        defer { close(process.channelDescriptor) }
        #expect(getpgid(process.processID) == process.processID)
        #expect(!ProcessGroup.isEmpty(process.processID))
        process.killGroup()
        #expect(await outcome.next() == .signal(SIGKILL))
        #expect(ProcessGroup.isEmpty(process.processID))
        process.killGroup()
    }

    @Test func grandchildrenBelongToTheGroup() async throws {
        // The leader ends at once; what it left behind must be killed before the group counts as empty.
        let (process, outcome) = try spawn("/bin/sh", "-c", "sleep 600 & sleep 600 & exit 5")
        defer { close(process.channelDescriptor) }
        #expect(await outcome.next() == .exited(5))
        #expect(ProcessGroup.isEmpty(process.processID))
    }

    @Test func descriptorThreeIsTheChannelAndNothingElseIsOpen() async throws {
        let open = Glibc.open("/dev/null", O_RDONLY)
        defer { close(open) }
        let (process, outcome) = try spawn("/bin/sh", "-c", "exec ls /proc/self/fd >&3")
        defer { close(process.channelDescriptor) }
        #expect(await outcome.next() == .exited(0))
        let bytes = try Files.read(descriptor: process.channelDescriptor, path: "channel", limit: 4096)
        // 4 is the directory that ls reads.
        #expect(String(decoding: bytes, as: UTF8.self) == "0\n1\n2\n3\n4\n")
    }

    @Test func ourEndClosesWithTheProcess() async throws {
        let (process, outcome) = try spawn("/bin/sh", "-c", "read line <&3; exit 7")
        try Files.writeAll(Array("go\n".utf8), descriptor: process.channelDescriptor, path: "channel")
        #expect(await outcome.next() == .exited(7))
        close(process.channelDescriptor)
    }

    @Test func aSpawnedProcessHearsSignalsThatWeIgnore() async throws {
        let (process, outcome) = try spawn("/bin/sh", "-c", "grep SigIgn /proc/self/status >&3; kill -TERM $$; exit 0")
        defer { close(process.channelDescriptor) }
        #expect(await outcome.next() == .signal(SIGTERM))
    }

    @Test func aMissingProgramIsAnErrorThatNamesIt() {
        let error = #expect(throws: SystemError.self) {
            _ = try ServerProcess.spawn(executable: "/nowhere/csnap-server", arguments: []) { _ in }
        }
        #expect(error?.description.contains("cannot start /nowhere/csnap-server: No such file") == true)
    }
}
