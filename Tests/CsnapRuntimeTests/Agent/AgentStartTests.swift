import CsnapCore
import CsnapRuntime
import Testing

@Suite("Start of an agent")
struct AgentStartTests {
    /// Two agents on one state file would take back each other's promises (§5.1).
    @Test func aSecondAgentOnTheStateDirectoryIsRefusedByName() throws {
        let fixture = try AgentFixture()
        let first = try fixture.prepare(runtime: "one")
        let error = #expect(throws: AgentStartError.self) { _ = try fixture.prepare(runtime: "two") }
        #expect(error?.exitCode == 1)
        #expect(error?.description.contains(fixture.state + "/agent.lock is locked by a living process") == true)
        #expect(error?.description.contains("node 1, process") == true)
        #expect(first.locks.count == 2)
        // It has changed nothing: the boot of the first is the last that was counted.
        let file = StateFile(path: fixture.state + "/state")
        let reading = try file.read(node: NodeID(1), machineID: first.settings.machineID)
        guard case .intact(let stored) = reading else { Issue.record("\(reading)"); return }
        #expect(stored.process == first.settings.process)
    }

    @Test func aSecondAgentInTheRuntimeDirectoryIsRefusedByName() throws {
        let fixture = try AgentFixture()
        let first = try fixture.prepare()
        let error = #expect(throws: AgentStartError.self) { _ = try fixture.prepare(node: 2) }
        #expect(error?.description.contains(fixture.runtime().agentLock) == true)
        #expect(first.locks.first?.path == fixture.runtime().agentLock)
    }

    /// What an earlier boot promised outlasts the mute time of one with shorter timers.
    @Test func shorterTimersWaitForEarlierPromises() throws {
        let fixture = try AgentFixture()
        let length = PromiseLength(stateDirectory: fixture.state)
        let boot = try fixture.prepare(timers: "timers: { promise: 2500 }").settings.process.boot
        #expect(try length.excess(over: .milliseconds(2500)) == .zero)
        #expect(try length.excess(over: .milliseconds(2000)) == .milliseconds(2500))
        let before = BootClock.now()
        #expect(try fixture.prepare(timers: "timers: { promise: 2000 }").settings.process.boot == boot.next)
        #expect(BootClock.now() - before >= .milliseconds(2500))
        #expect(try length.excess(over: .milliseconds(2000)) == .zero, "waited for once")
        _ = try fixture.prepare(timers: "timers: { promise: 3000 }")
        #expect(try length.excess(over: .milliseconds(2000)) == .milliseconds(3000), "longer ones need not wait")
    }

    @Test func locksEndWithTheAgent() throws {
        let fixture = try AgentFixture()
        let boot = try fixture.prepare(runtime: "one").settings.process.boot
        #expect(try fixture.prepare(runtime: "two").settings.process.boot == boot.next)
    }

    @Test func clientsOfTheBootBeforeAreFoundByTheirVolumes() throws {
        let fixture = try AgentFixture()
        _ = try fixture.prepare()
        let lock = try fixture.runtime().acquireClientLock(volume: "b", note: "")
        #expect(try fixture.prepare().settings.livingClients == ["b"])
        #expect(lock.path.hasSuffix("client-b.lock"))
    }
}
