import CsnapCore
import CsnapRuntime
import Foundation
import Glibc
import NIOCore
import Testing

@Suite("Agent and its clients", .timeLimit(.minutes(2)))
struct AgentDaemonTests {
    /// The volumes whose client said that it is suspended.
    private func suspended(_ daemon: AgentDaemon) async throws -> [String] {
        try await daemon.withAgent { agent, now in
            agent.status(at: now).clients.filter { $0.suspended }.map(\.volume).sorted()
        }.get()
    }

    private func wait(for condition: () async throws -> Bool) async throws {
        for _ in 0..<3000 {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("the condition did not come true in 30 s")
    }

    private func hasJoined(_ sent: SentPackets) -> Bool {
        sent.all.contains { if case .join = $0 { true } else { false } }
    }

    /// A client that lives on from the boot before holds the agent's tongue; another volume's does not speak for it
    /// (§6).
    @Test func onlyTheClientOfThatVolumeEndsTheWait() async throws {
        let fixture = try AgentFixture()
        _ = try fixture.prepare()
        let lock = try fixture.runtime().acquireClientLock(volume: "b", note: "")
        let (daemon, sent) = try await fixture.run(try fixture.prepare())
        let other = DataSocketClient(of: fixture.runtime())
        defer { other.close() }
        other.say(.hello(client: Bits128(high: 1, low: 1), volume: "a", processID: 1))
        other.say(.suspended(.none, writesInFlight: 0))
        try await wait { try await suspended(daemon) == ["a"] }
        #expect(!hasJoined(sent), "the client of b may still write on its lease")

        // The one that is waited for: its hello alone says nothing about its gate.
        let awaited = DataSocketClient(of: fixture.runtime())
        defer { awaited.close() }
        awaited.say(.hello(client: Bits128(high: 2, low: 2), volume: "b", processID: 2))
        try await wait { try await daemon.withAgent { agent, now in agent.status(at: now).clients.count }.get() == 2 }
        #expect(!hasJoined(sent), "the client of b has not said that it is suspended")
        awaited.say(.suspended(.none, writesInFlight: 0))
        try await wait { hasJoined(sent) }
        #expect(lock.path.hasSuffix("client-b.lock"))
        try await daemon.close().get()
    }

    /// A server that notes its arguments when it is told START, and says then that b's store failed, unless it is to do
    /// without b; where it is, and its notes.
    private func failingServer(_ fixture: AgentFixture, after seconds: Double = 0) throws -> (path: String, log: String)
    {
        func frame(_ message: ServerToAgent) -> String {
            let body = LocalCodec.encode(message)
            return ([UInt8(body.count), 0, 0, 0] + body).map { String($0) }.joined(separator: ",")
        }
        let log = fixture.directory.path + "/started"
        let server = fixture.directory.path + "/server"
        try fixture.directory.write(
            "server",
            """
            #!/usr/bin/python3
            import os, sys, time
            os.write(3, bytes([\(frame(.inert))]))
            while data := os.read(3, 65536):
                if data[4] != 0: continue
                with open("\(log)", "a") as file: file.write(" ".join(sys.argv[1:]) + "\\n")
                if "--without" in sys.argv: continue
                time.sleep(\(seconds))
                os.write(3, bytes([\(frame(.failed(.storeIO, volume: "b", epochSeen: .none)))]))
                break
            """)
        #expect(chmod(server, 0o755) == 0)
        return (server, log)
    }

    @Test func theLastWordOfAServerComesBeforeItsEnd() async throws {
        let fixture = try AgentFixture()
        let (server, log) = try failingServer(fixture, after: 0.2)
        let (daemon, _) = try await fixture.run(try fixture.prepare(timers: "profile: lan", server: server))
        #expect(try await daemon.submit(.found(cluster: Bits128(high: 1, low: 1))).get() == .done)
        try await wait { try !lines(of: log).isEmpty }
        // Meanwhile it says why it ends, and ends.
        try await daemon.loop.submit { _ = usleep(1_000_000) }.get()
        try await wait { try lines(of: log).count >= 2 }
        let events = daemon.eventLog.events(after: nil, limit: .max).events
        #expect(events.contains { $0.kind == "serverFailed" && $0.text.contains("volume b") })
        try await daemon.close().get()
    }

    @Test func aServerThatLeavesOutIsRestartedWithoutWhatFailed() async throws {
        let fixture = try AgentFixture()
        let (server, log) = try failingServer(fixture)
        let (daemon, _) = try await fixture.run(try fixture.prepare(timers: "profile: lan", server: server))
        #expect(try await daemon.submit(.found(cluster: Bits128(high: 1, low: 1))).get() == .done)
        try await wait { try lines(of: log).contains { $0.hasSuffix("--leave-out --without b") } }
        let starts = try lines(of: log).map { $0.components(separatedBy: "}]").last ?? "" }
        #expect(starts == ["", "", " --leave-out", " --leave-out --without b"])
        try await daemon.close().get()
    }

    private func lines(of file: String) throws -> [String] {
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { return [] }
        return text.split(separator: "\n").map(String.init)
    }

    @Test func aServerProgramThatIsMissingIsNamed() async throws {
        let fixture = try AgentFixture()
        let (daemon, _) = try await fixture.run(try fixture.prepare(server: "/nowhere/csnap-server"))
        let report = try await daemon.loop.submit { daemon.statusReport() }.get()
        #expect(report.waits.contains { $0.kind == "serverProgram" && $0.warning && !$0.remedy.isEmpty })
        try await daemon.close().get()
    }

    @Test func withoutClientsItAsksAtOnce() async throws {
        let fixture = try AgentFixture()
        let (daemon, sent) = try await fixture.run(try fixture.prepare())
        try await wait { hasJoined(sent) }
        try await daemon.close().get()
    }
}
