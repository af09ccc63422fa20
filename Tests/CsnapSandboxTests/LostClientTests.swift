import CsnapCore
import CsnapRuntime
import CsnapSandbox
import Foundation
import Testing

/// A client is killed while its write is held at the disk: it may land at any time, so no snapshot is made until it
/// has, whether the client comes back or not. Nobody strikes.
@Suite(.serialized, .enabled(if: HeldDisk.isPossible), .timeLimit(.minutes(4)))
struct LostClientTests {
    static let victim = 3
    /// Behind everything that a load writes.
    static let offset: UInt64 = 3 << 30

    final class Story {
        let group: SandboxGroup
        let stage: Stage
        let disk: HeldDisk
        /// Each write has other bytes.
        private var sequence: UInt64 = 0

        init(_ kind: HeldDisk.Kind) throws {
            group = try SandboxGroup(SandboxOptions(nodes: 3, profile: "lan", binaries: Tool.binaries))
            stage = Stage(group: group) { _ in }
            disk = try HeldDisk(kind, of: group.directory.origin, in: group.directory.path)
            try group.directory.lead(victim, to: "origin", from: group.directory.origin, by: disk.path)
            try stage.found(1)
            try stage.join([2, 3])
            try stage.waitForVoters()
        }

        func end() {
            try? disk.release()
            stage.stopFollowers()
            group.stopProcesses()
            disk.close()
            group.end()
        }

        /// A write of node 3 hangs at the disk, and its client is killed; returns what it writes.
        func killWriting() throws -> BlockPattern {
            sequence += 1
            let block = BlockPattern(node: UInt32(victim), sequence: sequence, offset: offset)
            let socket = group.directory.volumeSocket(victim)
            var device: NBDClient?
            try stage.wait("the client of node 3 is there") {
                device = try? NBDClient(path: socket, export: "origin", cancelled: { false })
                return device != nil
            }
            // Granted and on the disk once, so that nothing but the disk is in the next one's way.
            try device?.write(block.bytes, offset: offset)
            try disk.hold()
            let box = Unchecked(device)
            Thread.detachNewThread { try? box.value?.write(block.bytes, offset: offset) }
            try stage.wait("the write is held") { self.disk.waiting > 0 }
            group.node(victim).signalClient(SIGKILL)
            return block
        }

        /// For `seconds` every attempt to make a snapshot is refused and names node 3.
        func expectRefused(seconds: Double) throws {
            let end = boottime() + Int64(seconds * 1e9)
            while boottime() < end {
                do {
                    _ = try AgentCaller(path: group.directory.controlSocket(1)).createSnapshot(
                        SandboxGroup.volume, "early")
                    Issue.record("a snapshot was made while the write may still land")
                    return
                } catch ControlError.refused(_, let message) {
                    #expect(message.contains("node 3"), "\(message)")
                }
            }
            #expect(try OriginLock.isHeld(disk.path, node: NodeID(3)), "the held write keeps the lock")
        }

        /// A snapshot is made now, and has the write that was held.
        func expectMade(_ name: String, with block: BlockPattern) throws {
            var refusal = "none"
            do {
                try stage.wait("a snapshot is made") {
                    do {
                        _ = try AgentCaller(path: self.group.directory.controlSocket(1)).createSnapshot(
                            SandboxGroup.volume, name)
                        return true
                    } catch ControlError.refused(_, let message) {
                        refusal = message
                        return false
                    }
                }
            } catch {
                Issue.record("the last refusal: \(refusal)")
                throw error
            }
            var device: NBDClient?
            try stage.wait("it is offered") {
                device = try? NBDClient(
                    path: self.group.directory.volumeSocket(2), export: "snap/\(name)", cancelled: { false })
                return device != nil
            }
            let bytes = try device?.read(offset: offset, count: BlockPattern.size) ?? []
            #expect(block.fault(in: bytes[...]) == nil)
        }
    }

    /// Safe: only one thread at a time uses it.
    final class Unchecked: @unchecked Sendable {
        let value: NBDClient?
        init(_ value: NBDClient?) { self.value = value }
    }

    @Test(arguments: HeldDisk.Kind.allCases)
    func noSnapshotUntilTheWriteHasLanded(kind: HeldDisk.Kind) throws {
        let story = try Story(kind)
        defer { story.end() }
        // It never comes back: its agent finds the lock free.
        story.group.node(Self.victim).hold(true)
        let first = try story.killWriting()
        try story.expectRefused(seconds: 3)
        try story.disk.release()
        try story.expectMade("gone", with: first)
        // It comes back, and waits for what the one before left at the disk.
        story.group.node(Self.victim).hold(false)
        let second = try story.killWriting()
        try story.expectRefused(seconds: 3)
        try story.disk.release()
        try story.expectMade("back", with: second)
        let log = try String(contentsOfFile: story.group.directory.log(Self.victim, "client"), encoding: .utf8)
        #expect(!log.contains("O_DIRECT, inline"), "a disk that waits must not keep the connection's thread")
    }
}
