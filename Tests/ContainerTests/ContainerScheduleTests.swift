import CsnapCore
import CsnapRuntime
import CsnapSandbox
import Testing

/// `csnapctl snapshot schedule` by its timer: the units, their cage and the journal.
@Suite(.serialized, .enabled(if: Requirements.areMet, Requirements.comment))
struct ContainerScheduleTests {
    private static let timer = "csnap-snapshot@data.timer"
    private static let service = "csnap-snapshot@data.service"

    @Test(.timeLimit(.minutes(3)))
    func theTimerMakesSnapshotsAndDeletesWhatIsNotKept() throws {
        let group = try ContainerGroup(nodes: 1)
        defer { group.end() }
        let node = try group.boot(1)
        try node.run("systemctl", "start", "csnap-agent")
        try node.run("csnapctl", "found")
        try waitUntil("the only node serves", seconds: 60) { node.status?.isActive == true }
        try node.run("csnapctl", "snapshot", "create", "monday")
        func names() throws -> [String] {
            try AgentCaller(path: node.controlSocket).snapshots("data").map(\.name)
        }
        func timers() throws -> String { try node.run("systemctl", "list-timers", "--no-pager", "csnap-snapshot@*") }

        // Every three seconds, not every ten minutes.
        let place = "/etc/systemd/system/\(Self.timer).d"
        let often = "[Timer]\\nOnCalendar=\\nOnCalendar=*:*:0/3\\n"
        try node.run(
            "sh", "-c", "mkdir \(place) && printf '\(often)' >\(place)/often.conf && systemctl daemon-reload")
        #expect(try !timers().contains(Self.timer))
        try node.run("csnapctl", "snapshot", "schedule", "set", "data", "--hourly", "1")
        #expect(try node.property("UnitFileState", of: Self.timer) == "enabled")
        let listed = try timers()
        #expect(listed.contains(Self.timer) && listed.contains(Self.service), "\(listed)")
        var first = ""
        try waitUntil("the timer has made a snapshot", seconds: 60) {
            first = try names().first { $0.hasPrefix("auto-") } ?? ""
            return !first.isEmpty
        }

        // One more of the schedule, in the same hour: of each hour the last one is kept.
        let caller = try AgentCaller(path: node.controlSocket)
        let cluster = try #require(try caller.status().clusterUUID.flatMap { Bits128(hex: $0) })
        let uuid = Bits128(high: ScheduleTurn.mark("data", of: cluster), low: 1).hex
        _ = try caller.createSnapshot("data", "auto-2026-01-01T00:00:00Z", uuid: uuid)
        try waitUntil("the timer has deleted the earlier one", seconds: 60) { try !names().contains(first) }
        #expect(try names().contains("monday"), "what a person made stays")
        #expect(try names().contains { $0.hasPrefix("auto-") })
        try waitUntil("the journal tells of it", seconds: 30) {
            let journal = try node.journal(unit: Self.service)
            return journal.contains("data: made \(first)\n") && journal.contains("data: deleted \(first)\n")
        }
        #expect(try node.property("Result", of: Self.service) == "success")

        try node.run("csnapctl", "snapshot", "schedule", "remove", "data")
        #expect(try node.property("UnitFileState", of: Self.timer) == "disabled")
        #expect(try !timers().contains(Self.timer))
        #expect(try names().contains("monday"))
    }
}
