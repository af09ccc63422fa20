import CsnapCore
import CsnapRuntime
import Dispatch
import Glibc
import Synchronization
import Testing

private let machine = Bits128(high: 1, low: 2)

private func state(boot: UInt64, node: UInt32 = 3) -> StoredState {
    var state = StoredState(
        process: NodeBoot(node: NodeID(node), boot: Boot(boot)), machineID: machine,
        kernelBootID: Bits128(high: 3, low: 4), startBits: Bits128(high: 5, low: 6))
    state.highestEpoch = Epoch(9)
    return state
}

@Suite("State file")
struct HostStateFileTests {
    let directory: TemporaryDirectory
    let file: StateFile

    init() throws {
        directory = try TemporaryDirectory()
        file = StateFile(path: directory.path + "/state")
    }

    private func read(node: UInt32 = 3, machineID: Bits128 = machine) throws -> StoredStateReading {
        try file.read(node: NodeID(node), machineID: machineID)
    }

    private func bytes() throws -> [UInt8] { try Files.read(file.path) }

    @Test func whatIsWrittenIsRead() throws {
        #expect(try read() == .missing)
        try file.writeNow(state(boot: 7))
        #expect(try read() == .intact(state(boot: 7)))
        #expect(try Files.names(in: directory.path) == ["state"])
        var information = stat()
        #expect(stat(file.path, &information) == 0 && information.st_mode & 0o777 == 0o600)
    }

    @Test func aWriteThatWasInterruptedChangesNothing() throws {
        try file.writeNow(state(boot: 7))
        // Killed while the temporary file was being written: half of it is there, the rename never came.
        try directory.write("state.new", Array(StoredStateCodec.encode(state(boot: 8)).prefix(20)))
        #expect(try read() == .intact(state(boot: 7)))
        try file.writeNow(state(boot: 9))
        #expect(try read() == .intact(state(boot: 9)))
        #expect(try Files.names(in: directory.path) == ["state"])
    }

    @Test func everyDamagedByteIsSeen() throws {
        try file.writeNow(state(boot: 7))
        let intact = try bytes()
        for index in intact.indices {
            var damaged = intact
            damaged[index] ^= 0x10
            try directory.write("state", damaged)
            if case .intact = try read() { Issue.record("byte \(index) may change unseen") }
            try directory.write("state", Array(intact[..<index]))
            if case .intact = try read() { Issue.record("cut at \(index) it is believed") }
        }
    }

    @Test func aFileFromElsewhereIsNotBelieved() throws {
        try file.writeNow(state(boot: 7))
        guard case .lost(let why) = try read(machineID: .zero) else { Issue.record("believed"); return }
        #expect(why.contains("another machine"))
        guard case .lost(let other) = try read(node: 4) else { Issue.record("believed"); return }
        #expect(other.contains("belongs to node 3"))
    }

    @Test func aMachineThatGetsAnIdOfItsOwnKeepsItsState() throws {
        let etc = directory.path + "/etc-machine-id"
        func identity() throws -> MachineIdentity {
            try MachineIdentity.read(stateDirectory: directory.path, machineFile: etc)
        }
        let drawn = try identity()
        #expect(drawn.isSubstitute)
        try directory.write("etc-machine-id", "uninitialized\n")
        #expect(try identity() == drawn, "drawn once")
        var written = state(boot: 7)
        written.machineID = drawn.machineID
        try file.writeNow(written)
        try directory.write("etc-machine-id", "0123456789abcdef0123456789abcdef\n")
        let real = try identity()
        #expect(!real.isSubstitute && real.machineID != drawn.machineID)
        let reading = try file.read(node: NodeID(3), machineID: real.machineID, formerID: real.formerID)
        #expect(reading == .intact(written))
        MachineIdentity.forgetSubstitute(stateDirectory: directory.path)
        #expect(try identity().formerID == nil, "a copy of the directory is seen as one again")
    }

    @Test func anIdThatCannotBeReadIsNoMissingOne() throws {
        for place in ["etc-machine-id", "machine-id"] {
            try directory.write(place, "garbage\n")
            #expect(throws: SystemError.self) {
                _ = try MachineIdentity.read(
                    stateDirectory: directory.path, machineFile: directory.path + "/etc-machine-id")
            }
            try directory.write("etc-machine-id", "")
        }
        #expect(throws: SystemError.self) {
            _ = try MachineIdentity.read(stateDirectory: directory.path + "/none", machineFile: directory.path)
        }
        #expect(try Files.read(directory.path + "/machine-id") == Array("garbage\n".utf8), "it was not replaced")
    }

    @Test func lostFilesAreKept() throws {
        for _ in 1...2 {
            try directory.write("state", "garbage")
            _ = try file.setAside()
        }
        #expect(try Files.names(in: directory.path) == ["state.lost", "state.lost-2"])
        #expect(try read() == .missing)
    }

    @Test func writesComeInOrder() async throws {
        let file = file
        for boot in 1...20 {
            if boot < 20 {
                file.write(state(boot: UInt64(boot))) { _ in }
            } else {
                let error = await withCheckedContinuation { continuation in
                    file.write(state(boot: 20)) { continuation.resume(returning: $0) }
                }
                #expect(error == nil)
            }
        }
        #expect(try read() == .intact(state(boot: 20)))
    }

    @Test func oneStateWaitsWhileTheDiskIsSlow() throws {
        let isBusy = DispatchSemaphore(value: 0)
        let isOver = DispatchSemaphore(value: 0)
        let ended = Mutex<[Int]>([])
        file.write(state(boot: 1)) { _ in
            ended.withLock { $0.append(1) }
            isBusy.wait()
        }
        while ended.withLock({ $0.isEmpty }) { usleep(1000) }
        for boot in 2...1000 {
            file.write(state(boot: UInt64(boot))) { error in
                ended.withLock { $0.append(error == nil ? boot : 0) }
                isOver.signal()
            }
        }
        isBusy.signal()
        #expect(isOver.wait(timeout: .now() + 30) == .success)
        #expect(ended.withLock { $0 } == [1, 1000])
        #expect(try read() == .intact(state(boot: 1000)))
    }

    @Test func aDirectoryThatCannotBeWrittenIsNamed() {
        let nowhere = StateFile(path: "/proc/csnap/state")
        let error = #expect(throws: SystemError.self) { try nowhere.writeNow(state(boot: 1)) }
        #expect(error?.description.contains("/proc/csnap/state.new") == true)
    }
}
