import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// An agent is stopped as asked, for maintenance perhaps; its client lives on, suspended, with nothing at the disk.
@Suite(.serialized, .enabled(if: Tool.isBuilt), .timeLimit(.minutes(4)))
struct StoppedAgentTests {
    @Test func noSnapshotWaitsForItsClientWhichIsBackWithTheNextOne() throws {
        try withThreeVoters { group, stage in
            let writes = try NBDClient(path: group.directory.volumeSocket(3), export: "origin", cancelled: { false })
            let old = [UInt8](repeating: 1, count: 65536)
            try writes.write(old, offset: 0)
            group.node(3).hold(true)
            group.node(3).signalAgent(SIGTERM)
            try stage.wait("its agent has ended") { group.node(3).agentPid == nil }

            let caller = try AgentCaller(path: group.directory.controlSocket(1))
            try stage.wait("a snapshot is made without it") {
                do {
                    _ = try caller.createSnapshot(SandboxGroup.volume, "meanwhile")
                    return true
                } catch ControlError.refused {
                    return false
                }
            }
            #expect(group.node(3).clientPid != nil)
            #expect(try caller.why().contains { $0.kind == "writerLost" } == false)

            // A write that waits since before the snapshot must not pass as long as the client does not know of it.
            let held = LostClientTests.Unchecked(writes)
            let written = DispatchSemaphore(value: 0)
            Thread.detachNewThread {
                try? held.value?.write([UInt8](repeating: 2, count: 65536), offset: 0)
                written.signal()
            }
            group.node(3).hold(false)
            group.want(3)
            #expect(written.wait(timeout: .now() + 60) == .success)
            let snapshot = try NBDClient(
                path: group.directory.volumeSocket(2), export: "snap/meanwhile", cancelled: { false })
            #expect(try snapshot.read(offset: 0, count: 65536) == old, "its write was copied out first")
        }
    }
}
