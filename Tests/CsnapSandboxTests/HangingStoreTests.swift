import CsnapCore
import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// The disk under the server's store holds back what it is asked for: nothing fails, and `csnapctl why` names it.
@Suite(.serialized, .enabled(if: HeldDisk.isPossible), .timeLimit(.minutes(4)))
struct HangingStoreTests {
    final class Story {
        let group: SandboxGroup
        let stage: Stage
        let disk: HeldDisk

        init() throws {
            group = try SandboxGroup(SandboxOptions(nodes: 1, profile: "fast", binaries: Tool.binaries))
            stage = Stage(group: group) { _ in }
            disk = try HeldDisk(.file, of: group.directory.store, in: group.directory.path)
            try group.directory.lead(1, to: "store", from: group.directory.store, by: disk.path)
            try stage.found(1)
            try stage.wait("the client is welcome") { try self.caller.volume("data").sessions == 1 }
        }

        func end() {
            try? disk.release()
            stage.stopFollowers()
            group.stopProcesses()
            disk.close()
            group.end()
        }

        var caller: AgentCaller { get throws { try AgentCaller(path: group.directory.controlSocket(1)) } }

        var waits: [WaitReport] { get throws { try caller.why() } }

        func expectNamed() throws {
            var named: WaitReport?
            try stage.wait("why names the store") {
                named = try self.waits.first { $0.kind == "storeHangs" }
                return named != nil
            }
            let wait = try #require(named)
            #expect(wait.seconds >= 2 && wait.nodes == [1] && !wait.warning)
            #expect(wait.text.contains("the store of data"), "\(wait.text)")
            #expect(try !waits.contains { $0.kind == "serverSilent" })
        }

        func expectOver() throws {
            try disk.release()
            try stage.wait("nothing waits") { try !self.waits.contains { $0.kind == "storeHangs" } }
        }
    }

    /// Safe: only one thread at a time uses it.
    private struct Writer: @unchecked Sendable {
        let device: NBDClient
    }

    @Test func itIsNamedInAndOutOfABarrier() throws {
        let story = try Story()
        defer { story.end() }
        _ = try story.caller.createSnapshot("data", "monday")
        let block = BlockPattern(node: 1, sequence: 1, offset: 0)
        let device = try NBDClient(path: story.group.directory.volumeSocket(1), export: "origin") { false }

        try story.disk.hold()
        let done = DispatchSemaphore(value: 0)
        let writer = Writer(device: device)
        Thread.detachNewThread {
            try? writer.device.write(block.bytes, offset: block.offset)
            done.signal()
        }
        try story.expectNamed()
        try story.expectOver()
        #expect(done.wait(timeout: .now() + 60) == .success, "the write goes on")

        try story.disk.hold()
        let path = story.group.directory.controlSocket(1)
        Thread.detachNewThread {
            _ = try? AgentCaller(path: path).createSnapshot("data", "tuesday")
            done.signal()
        }
        try story.expectNamed()
        try story.expectOver()
        #expect(done.wait(timeout: .now() + 60) == .success)
        #expect(try story.caller.snapshots("data").map(\.name) == ["monday", "tuesday"])
        device.disconnect()
    }
}
