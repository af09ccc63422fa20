import CsnapCore
import CsnapRuntime
import Foundation
import Glibc
import Testing

/// A client that dies with a write under way: until the disk has returned it, its lock on the origin says so
/// (docs/data-plane.md, "Client").
@Suite(.serialized, .timeLimit(.minutes(4))) struct ClientDeathTests {
    private static let program: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent("csnap-client").path
    }()

    @Test(.enabled(if: access(program, X_OK) == 0)) func theLockOutlivesTheClientAsLongAsItsWrites() throws {
        guard let disk = try FrozenDisk() else {
            print("SKIPPED: a loop mount needs root and e2fsprogs; no client died with a write under way")
            return
        }
        defer { disk.remove() }
        let directory = try ClientRig.makeDirectory("/var/tmp")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let runtime = RuntimeDirectory(directory)
        let origin = disk.place + "/origin"
        try ClientRig.makeFile(origin, size: ClientRig.size)
        let text = """
            cluster: lone
            node: 1
            listen: 127.0.0.1:7411
            insecure: true
            state-directory: \(directory)
            runtime-directory: \(directory)
            volumes: { v: { origin: \(origin), store: \(directory)/store } }
            """
        try Data(text.utf8).write(to: URL(fileURLWithPath: directory + "/csnap.yaml"))
        let agent = FakeAgent(path: runtime.dataSocket)
        let server = FakeServer(size: ClientRig.size)
        defer {
            agent.die()
            server.stop()
        }
        let log = directory + "/log"
        _ = FileManager.default.createFile(atPath: log, contents: nil)
        let client = Process()
        client.executableURL = URL(fileURLWithPath: Self.program)
        client.arguments = ["--config", directory + "/csnap.yaml", "--volume", "v"]
        client.standardError = FileHandle(forWritingAtPath: log)
        try client.run()
        defer { kill(client.processIdentifier, SIGKILL) }

        let tenure = ClientRig.tenure(1)
        #expect(eventually { agent.isConnected })
        agent.say(.identity(ClientRig.boot))
        agent.say(.suspend(tenure))
        #expect(agent.heard(.suspended(tenure, writesInFlight: 0)))
        agent.say(.server(tenure, server.address))
        #expect(agent.heard(.connected(tenure)))
        agent.say(.lease(tenure, until: BootClock.now() + .seconds(3600)))
        agent.say(.resume(tenure))
        #expect(eventually { access(runtime.volumeSocket("v"), F_OK) == 0 })
        #expect(try String(contentsOfFile: log, encoding: .utf8).contains(", ring)"), "the ring is what is tried here")
        let peer = NBDPeer(runtime.volumeSocket("v"))
        defer { peer.end() }
        peer.write([UInt8](repeating: 1, count: 4096), at: 0)
        #expect(peer.reply() == 0)

        #expect(disk.freeze())
        let late = [UInt8](repeating: 2, count: 4096)
        peer.write(late, at: 0)
        #expect(eventually { Self.waitsForDisk(client.processIdentifier) })
        kill(client.processIdentifier, SIGKILL)
        // Its sockets may be closed or not; nothing else of it runs.
        #expect(eventually { Self.isDying(client.processIdentifier) })
        #expect(try OriginLock.isHeld(origin, node: NodeID(1)), "its write may still land")
        #expect(disk.unfreeze())
        client.waitUntilExit()
        #expect(eventually { (try? OriginLock.isHeld(origin, node: NodeID(1))) == false })
    }

    /// Some thread of that process sleeps in the kernel until its I/O returns.
    private static func waitsForDisk(_ pid: Int32) -> Bool {
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
        return threads.contains { state("/proc/\(pid)/task/\($0)/stat") == "D" }
    }

    /// SIGKILL has reached its main thread, which runs no instruction of ours any more.
    private static func isDying(_ pid: Int32) -> Bool {
        guard let state = state("/proc/\(pid)/stat") else { return true }
        let pending = (try? String(contentsOfFile: "/proc/\(pid)/wchan", encoding: .utf8)) ?? ""
        return state == "Z" || state == "X" || pending.contains("exit") || pending.contains("io_")
    }

    private static func state(_ path: String) -> Character? {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8), let end = text.lastIndex(of: ")") else {
            return nil
        }
        return text[end...].dropFirst(2).first
    }
}

/// A small file system of its own that can be told to take writes and not to return them.
final class FrozenDisk {
    let place: String

    /// Nil where that is not allowed.
    init?() throws {
        place = try ClientRig.makeDirectory("/var/tmp")
        try ClientRig.makeFile(place + ".img", size: 32 << 20)
        if Self.run("mkfs.ext4", "-q", place + ".img"), Self.run("mount", "-o", "loop", place + ".img", place) {
            return
        }
        rmdir(place)
        unlink(place + ".img")
        return nil
    }

    func freeze() -> Bool { Self.run("fsfreeze", "--freeze", place) }

    func unfreeze() -> Bool { Self.run("fsfreeze", "--unfreeze", place) }

    /// Whatever failed before: nothing else may hang.
    func remove() {
        _ = unfreeze()
        _ = Self.run("umount", "--lazy", place)
        rmdir(place)
        unlink(place + ".img")
    }

    static func run(_ arguments: String...) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}
