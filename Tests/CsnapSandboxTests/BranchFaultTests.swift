import CsnapRuntime
import CsnapSandbox
import Foundation
import Synchronization
import Testing

/// A branch without room, one that is deleted in use, and the processes that it is written through.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(5)))
struct BranchFaultTests {
    private static let chunk = 64 << 10

    /// Writes each chunk in turn, once, on a thread of its own.
    private final class Writer: Sendable {
        private let next: Atomic<Int>
        private let isStopped = Atomic<Bool>(false)
        private let outcome = Mutex<String?>(nil)

        /// Chunks below it are written.
        var done: Int { next.load(ordering: .sequentiallyConsistent) }
        /// Nil while it writes; else empty, or what ended it.
        var ended: String? { outcome.withLock { $0 } }

        init(_ path: String, _ chunks: Range<Int>) {
            next = Atomic(chunks.lowerBound)
            Thread.detachNewThread { [self] in
                var said = ""
                do {
                    let device = try NBDClient(path: path, export: "snap/try") { [self] in
                        isStopped.load(ordering: .relaxed)
                    }
                    for chunk in chunks {
                        try device.write(Writer.content(chunk), offset: UInt64(chunk * BranchFaultTests.chunk))
                        next.store(chunk + 1, ordering: .sequentiallyConsistent)
                    }
                    device.disconnect()
                } catch {
                    said = "\(error)"
                }
                outcome.withLock { $0 = said }
            }
        }

        static func content(_ chunk: Int) -> [UInt8] {
            stride(from: 0, to: BranchFaultTests.chunk, by: BlockPattern.size).flatMap {
                BlockPattern(node: 1, sequence: UInt64(chunk), offset: UInt64($0)).bytes
            }
        }

        /// Closes the connection, whatever it waits for.
        func stop() throws {
            isStopped.store(true, ordering: .relaxed)
            try waitUntil("the writer ends", seconds: 60) { ended != nil }
        }
    }

    /// What the server says of writes that find no room.
    private func expectWaiting(_ volume: LoneVolume, _ writer: Writer) throws {
        try waitUntil("a write to the branch waits for room", seconds: 120) {
            #expect(writer.ended == nil, "it should wait, not end: \(writer.ended ?? "")")
            return try volume.caller.volume(LoneVolume.name).fullSeconds != nil || writer.ended != nil
        }
        let state = try volume.caller.volume(LoneVolume.name)
        #expect(state.waitingWrites >= 1 && state.fullSeconds != nil)
        let configuration = ["--config", volume.directory + "/csnap.yaml"]
        let list = try Program.csnapctl(["volume", "list", "--json"] + configuration).output
        #expect(list.contains("\"fullSeconds\":") && !list.contains("\"waitingWrites\":0"), "\(list)")
        try waitUntil("`why` names it", seconds: 60) { try volume.caller.why().contains { $0.kind == "storeFull" } }
        let why = try Program.csnapctl(["why"] + configuration).output
        #expect(why.contains("no room to save what they overwrite, or what is written to a branch"), "\(why)")
    }

    @Test func withoutRoomItsWritesWaitByName() throws {
        let volume = try LoneVolume()
        var origin = Data(count: LoneVolume.size)
        // What both snapshots keep, 32 MiB of the store's 64, leaves no room for 24 MiB.
        try volume.write([0..<16 << 20], &origin)
        try volume.snapshot("base")
        try volume.write([0..<16 << 20], &origin)
        try volume.snapshot("spare")
        try volume.write([0..<16 << 20], &origin)
        try volume.branch("try", of: "base")
        let chunks = 0..<(24 << 20) / Self.chunk
        let first = Writer(volume.nbd, chunks)
        try expectWaiting(volume, first)
        let device = try volume.connect("snap/try")
        #expect(try device.read(offset: 0, count: Self.chunk) == Writer.content(0), "reads go on")
        device.disconnect()
        // Its program goes away: nobody waits for anything.
        try first.stop()
        try waitUntil("no wait is named any more", seconds: 60) {
            let state = try volume.caller.volume(LoneVolume.name)
            let isNamed = try volume.caller.why().contains { $0.kind == "storeFull" }
            return state.waitingWrites == 0 && state.fullSeconds == nil && !isNamed
        }
        let second = Writer(volume.nbd, first.done..<chunks.upperBound)
        try expectWaiting(volume, second)
        // A server that takes the full store over says the same.
        try volume.killServer()
        try expectWaiting(volume, second)
        try volume.caller.command(
            "DeleteSnapshot", ["volume": .string(LoneVolume.name), "name": .string("spare")])
        try waitUntil("the branch is written to its end", seconds: 120) { second.ended != nil }
        #expect(second.ended == "" && second.done == chunks.upperBound)
        try waitUntil("nothing waits", seconds: 60) {
            try volume.caller.volume(LoneVolume.name).waitingWrites == 0
        }
        let written = try volume.connect("snap/try")
        for chunk in chunks {
            let bytes = try written.read(offset: UInt64(chunk * Self.chunk), count: Self.chunk)
            #expect(bytes == Writer.content(chunk), "chunk \(chunk)")
        }
        written.disconnect()
        try volume.stop()
        let check = try VolumeChecker(path: volume.store, origin: volume.origin).check("data") { _, _ in }
        #expect(check.problems == [])
    }

    @Test func aBranchThatIsWrittenIsNotDeleted() throws {
        let volume = try LoneVolume()
        var origin = Data(count: LoneVolume.size)
        try volume.write([0..<1 << 20], &origin)
        try volume.snapshot("base")
        try volume.branch("try", of: "base")
        func delete() throws {
            try volume.caller.command("DeleteSnapshot", ["volume": .string("data"), "name": .string("try")])
        }
        let device = try volume.connect("snap/try")
        let writer = Writer(volume.nbd, 0..<64)
        try waitUntil("the branch is written", seconds: 60) { writer.done > 10 || writer.ended != nil }
        #expect(throws: ControlError.self) { try delete() }
        try waitUntil("all is written", seconds: 60) { writer.ended != nil }
        #expect(writer.ended == "", "without an error")
        // Nobody reads or writes it now, and it is open still.
        #expect(throws: ControlError.self) { try delete() }
        try device.write(Writer.content(0), offset: 0)
        device.disconnect()
        try delete()
        #expect(try volume.caller.volume(LoneVolume.name).waitingWrites == 0)
        try waitUntil("it is not offered any more", seconds: 60) { (try? volume.connect("snap/try")) == nil }
    }

    /// The client is killed, or told to stop, with writes in flight; the agent too, which only makes them wait.
    @Test func whatWasAnsweredOutlivesEachProcess() throws {
        let group = try SandboxGroup(SandboxOptions(nodes: 1, profile: "fast", binaries: Tool.binaries))
        defer { group.end() }
        let stage = Stage(group: group) { _ in }
        defer {
            stage.stopBranch()
            stage.stopFollowers()
        }
        try stage.found(1)
        try stage.wait("the client serves") {
            (try? NBDClient(path: group.directory.volumeSocket(1), export: "origin", cancelled: { false })) != nil
        }
        try stage.snapshot("base", by: 1)
        for (number, end) in [SIGKILL, SIGTERM].enumerated() {
            try stage.startBranch("branch-\(number)", of: "base", by: 1)
            let loads = try #require(stage.branch).loads
            let agent = group.node(1).agentPid
            group.node(1).signalAgent(end)
            try stage.wait("the agent is another one") {
                // One that was told to end is not started again by itself.
                group.want(1)
                return group.node(1).agentPid.map { $0 != agent } == true
            }
            try stage.waitForBranchWrites()
            #expect(loads.allSatisfy { $0.error == nil }, "an agent that ends makes them wait only")
            group.node(1).signalClient(end)
            try stage.wait("the writers' connections are closed") { loads.allSatisfy { $0.error != nil } }
            try stage.verifyBranch(on: 1)
            stage.stopBranch()
        }
        #expect(stage.tally.wrong == 0 && stage.tally.verified == 2 * 2)
        let ends = ["closed the connection", "reset", "Broken pipe"]
        let others = stage.failures.filter { failure in !ends.contains { failure.contains($0) } }
        #expect(others == [])
        group.stopProcesses()
        #expect(try group.directory.checkStore().problems == [])
    }
}
