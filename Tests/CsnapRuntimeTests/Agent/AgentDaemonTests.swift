import CsnapCore
import CsnapRuntime
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

    @Test func withoutClientsItAsksAtOnce() async throws {
        let fixture = try AgentFixture()
        let (daemon, sent) = try await fixture.run(try fixture.prepare())
        try await wait { hasJoined(sent) }
        try await daemon.close().get()
    }
}
