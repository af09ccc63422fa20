import CsnapRuntime
import Glibc

/// The server's node dies while a snapshot is being made: nothing of it exists afterwards, and the writer that was lost
/// with the node is named.
struct KillNodeDuringCreate: Scenario {
    let name = "kill-node-during-create"
    let summary = "the server's node dies in a barrier: the snapshot is made wholly or not at all"

    /// The server gives up a barrier after a second; a busy machine may need that to get here.
    private static let tries = 5

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        let others = stage.survivors.filter { $0 != server }
        let caller = others[0]
        let slow = others[1]
        try stage.startCyclicLoads(chainWithout: server)
        let known = try stage.snapshot("before", by: caller)
        var creation: Creation?
        for attempt in 1...Self.tries where creation?.outcome != nil || creation == nil {
            // A client that does not answer keeps the barrier open.
            stage.group.node(slow).signalClient(SIGSTOP)
            let begun = stage.beginSnapshot("during-\(attempt)", by: caller)
            try stage.waitForBarrier(on: caller, of: begun)
            creation = begun
            if begun.outcome == nil { break }
            stage.group.node(slow).signalClient(SIGCONT)
        }
        try stage.fault("kill node \(server): agent, server, client") { stage.kill(server) }
        stage.group.node(slow).signalClient(SIGCONT)
        try stage.waitForNewTenure()
        let outcome = creation?.join()
        guard case .refused(let code, let message) = outcome else {
            return stage.fail("the snapshot should have been refused, not \(outcome.map { "\($0)" } ?? "unanswered")")
        }
        stage.mark("snapshot refused: \(message)")
        stage.expect(code == "writerLost", "it should be refused with writerLost, not \(code)")
        stage.expect(message.contains("node \(server)"), "the refusal should name node \(server): \(message)")
        stage.expect(try stage.names(by: caller) == ["before"], "a refused snapshot exists")
        try stage.strikeFenced(server, by: caller)
        let after = try stage.snapshot("after", by: caller)
        for node in stage.survivors { for snapshot in [known, after] { try stage.verify(snapshot, on: node) } }
        stage.stopCyclicLoads()
    }
}

/// The server's process dies again and again while the first writes after a snapshot wait for their copies.
struct KillServerDuringCopyOut: Scenario {
    let name = "kill-server-during-copy-out"
    let summary = "the server dies while chunks are saved before they are overwritten"

    private static let delays = [0, 3, 10, 25, 50]
    /// From one write of a load to the next, nanoseconds: whoever waits longer waits for the server.
    private static let period: Int64 = 3_000_000

    func play(_ stage: Stage) throws {
        try stage.startCyclicLoads()
        var known: [KnownSnapshot] = []
        for (index, delay) in Self.delays.enumerated() {
            let server = try stage.serverNow()
            let before = try stage.currentView().tenure
            let node = stage.group.node(server)
            known.append(try stage.snapshot("s\(index + 1)", by: 1 + index % stage.options.nodes))
            pause(milliseconds: delay)
            let kill = { _ = node.signalServer(SIGKILL) }
            let text = "kill the server's process on node \(server), \(delay) ms after the snapshot"
            if stage.faultAt == nil { try stage.fault(text, kill) } else { stage.also(text, kill) }
            stage.tally.serversKilled += 1
            let killedAt = boottime()
            try stage.waitForTenure(above: before)
            let waits = stage.cyclic.values.map { $0.longestWait(from: killedAt, to: boottime()) }
            stage.expect(
                waits.allSatisfy { $0 > Self.period }, "some load did not wait for a copy when the server died")
        }
        for node in stage.survivors { for snapshot in known { try stage.verify(snapshot, on: node) } }
        stage.stopCyclicLoads()
    }
}

/// Each node reads a snapshot without a pause while the server's process dies, then its whole node.
struct ReaderThroughFailover: Scenario {
    let name = "reader-through-failover"
    let summary = "readers of a snapshot see a pause, never an error or another byte"

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        try stage.startCyclicLoads(chainWithout: server)
        let known = try stage.snapshot("s", by: 1)
        for node in stage.survivors { try stage.verify(known, on: node) }
        let readers = stage.survivors.map { stage.startReading(known, on: $0) }
        defer { for reader in readers { reader.stop() } }
        try stage.wait("every reader has read the snapshot") {
            readers.allSatisfy { !$0.record.readings.isEmpty || $0.record.error != nil }
        }
        try stage.fault("kill the server's process on node \(server)") {
            stage.group.node(server).signalServer(SIGKILL)
        }
        let diedAt = boottime()
        stage.tally.serversKilled += 1
        try stage.waitForNewTenure()
        try waitForReadings(stage, readers, through: diedAt)
        let second = try stage.serverNow()
        let before = try stage.currentView().tenure
        stage.expect(second == server, "the server should be replaced on node \(server), not \(second)")
        stage.also("kill node \(server): agent, server, client") { stage.kill(server) }
        let killedAt = boottime()
        let living = readers.filter { $0.node != server }
        try stage.waitForTenure(above: before)
        try waitForReadings(stage, living, through: killedAt)
        for reader in readers { reader.stop() }
        for reader in living { stage.judge(reader) }
        stage.stopCyclicLoads()
    }

    private func waitForReadings(_ stage: Stage, _ readers: [SnapshotReading], through instant: Int64) throws {
        try stage.wait("every reader has read on") {
            readers.allSatisfy { $0.hasSpanned(instant) || $0.record.error != nil }
        }
    }
}

/// A machine is lost with what it had given to the disk: no snapshot is made until it is back or said to be off.
struct LostWriter: Scenario {
    let name = "lost-writer"
    let summary = "a lost machine's writes may still land: no snapshot until it is back, or struck as fenced"

    func play(_ stage: Stage) throws {
        let server = try stage.serverNow()
        let victim = stage.survivors.last { $0 != server } ?? stage.options.nodes
        try stage.startCyclicLoads(chainWithout: victim)
        let known = try stage.snapshot("before", by: server)
        try stage.fault("kill node \(victim): agent, server, client") { stage.kill(victim) }
        try stage.expectRefusal("writerLost", of: "refused", by: server, naming: victim)
        try stage.waitForWrites()
        stage.retireLoad(victim)
        try stage.join([victim])
        try stage.wait("the client of node \(victim) is connected") {
            stage.group.status(victim)?.clients.contains { $0.connected } == true
        }
        stage.mark("node \(victim) is back")
        let back = try stage.snapshot("back", by: victim)
        stage.also("kill node \(victim) again") { stage.kill(victim) }
        try stage.expectRefusal("writerLost", of: "refused", by: server, naming: victim)
        try stage.strikeFenced(victim, by: server)
        let fenced = try stage.snapshot("fenced", by: server)
        for node in stage.survivors {
            for snapshot in [known, back, fenced] { try stage.verify(snapshot, on: node) }
        }
        stage.stopCyclicLoads()
    }
}
