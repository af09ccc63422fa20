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
