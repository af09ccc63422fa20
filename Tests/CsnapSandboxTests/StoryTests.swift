import CsnapRuntime
import CsnapSandbox
import Testing

private func event(_ at: Int64, _ node: UInt32, _ kind: String, _ text: String) -> EventItem {
    EventItem(cursor: UInt64(at), at: at * 1_000_000, node: node, kind: kind, text: text)
}

@Suite struct TimelineTests {
    @Test func eventsOfAllNodesAreOneStoryFromTheFault() {
        let events = [
            event(1_500, 3, "recovering", "recovering into epoch 2"), event(900, 2, "founded", "group founded"),
            event(1_510, 2, "recovering", "recovering into epoch 2"), event(1_400, 2, "promised", "promised epoch 2"),
        ]
        let story = TimelineMerger.merge(events, marks: [(1_000_000_000, "kill node 1")], fault: 1_000_000_000)
        #expect(
            story.map(\.line) == [
                "   -0.100  node 2: group founded", "    0.000  kill node 1",
                "    0.500  node 2, node 3: recovering into epoch 2",
            ])
    }

    @Test func theSameWordsOfOneNodeTwiceStayTwo() {
        let events = [event(1, 2, "memberAlive", "node 1 alive"), event(2, 2, "memberAlive", "node 1 alive")]
        #expect(TimelineMerger.merge(events, marks: [], fault: 0).count == 2)
    }

    @Test(arguments: [(0.0, "0.000"), (1.2345, "1.235"), (-0.0004, "0.000"), (-12.05, "-12.050"), (0.0999, "0.100")])
    func secondsHaveThreeDecimals(value: Double, text: String) {
        #expect(decimals(value) == text)
    }
}

@Suite struct ResultTests {
    @Test func theLastLineHasEveryKey() throws {
        var result = ScenarioResult(scenario: "kill-node", profile: "fast", nodes: 3)
        result.timeline = [TimelineEntry(at: 0.5, nodes: [2], kind: "elected", text: "epoch 2 granted")]
        let line = try result.json()
        #expect(!line.contains("\n"))
        let value = try JSON.decode(JSONValue.self, from: Array(line.utf8))
        for key in [
            "scenario", "profile", "nodes", "seconds", "pauseMaxSeconds", "serversAtOnceMax", "ioErrors",
            "bytesVerifiedAfterFault", "serverBefore", "serverAfter", "epochBefore", "epochAfter", "timeline",
            "snapshotsMade", "snapshotsDeleted", "snapshotsVerified", "snapshotsWrong", "serversKilled",
            "createPauseMedianSeconds",
        ] {
            #expect(value[key] != nil, "\(key) is missing")
        }
        #expect(value["seconds"] == .null)
        #expect(value["nodes"] == .integer(3))
    }

    @Test func theReadyLineHasTheKeysOfEveryNode() throws {
        let node = ReadyLine.Node(
            node: 1, agentPid: 10, serverPid: 11, clientPid: 12, nbdSocket: "/a/data.nbd",
            controlSocket: "/a/agent.sock")
        let line = try JSON.text(ReadyLine(nodes: [node]))
        #expect(
            line == """
                {"nodes":[{"agentPid":10,"clientPid":12,"controlSocket":"/a/agent.sock","nbdSocket":"/a/data.nbd",\
                "node":1,"serverPid":11}]}
                """)
    }

    @Test func overlappingServicesAreCounted() {
        typealias Interval = ServiceOverlap.Interval
        #expect(ServiceOverlap.atOnce([]) == 0)
        #expect(ServiceOverlap.atOnce([Interval(first: 1, last: 5), Interval(first: 6, last: 9)]) == 1)
        #expect(ServiceOverlap.atOnce([Interval(first: 1, last: 5), Interval(first: 5, last: 9)]) == 2)
        #expect(
            ServiceOverlap.atOnce([
                Interval(first: 1, last: 10), Interval(first: 2, last: 3), Interval(first: 3, last: 4),
            ]) == 3)
    }
}

@Suite struct CommandLineTests {
    @Test(arguments: [
        ["status", "--nonsense"], ["sandbox", "--profile", "slow"], ["sandbox", "--scenario", "none"],
        ["sandbox", "--scenario", "cascade", "--nodes", "3"], ["transfer"], ["nonsense"],
    ])
    func wrongUsageExitsWithTwo(arguments: [String]) {
        #expect(ControlCommandLine.execute(arguments) == 2)
    }

    @Test func anAgentThatIsNotThereIsAFailure() {
        #expect(ControlCommandLine.execute(["status", "--socket", "/nonexistent/agent.sock"]) == 1)
    }

    @Test func everyScenarioOfTheManualExists() {
        for name in [
            "outline", "kill-node", "kill-server", "kill-agent", "stop-server", "stop-agent", "stop-node", "transfer",
            "leave", "lower-id-joins", "client-node-dies", "cascade", "partition", "loss", "power-cut",
            "snapshot-under-load", "snapshot-kill-node", "client-late-for-barrier", "kill-node-during-create",
            "kill-server-during-copy-out", "reader-through-failover", "lost-writer", "store-full",
            "snapshot-two-volumes", "branch-through-failover",
        ] {
            #expect(Scenarios.named(name) != nil, "\(name) is missing")
        }
    }
}
