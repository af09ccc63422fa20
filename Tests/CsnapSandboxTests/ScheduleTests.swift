import CsnapCore
import CsnapRuntime
import CsnapSandbox
import CsnapSession
import Foundation
import Testing

/// The files of schedules, and which snapshots are theirs.
@Suite("Snapshot schedule")
struct ScheduleTests {
    private func scratch(_ body: (ScheduleDirectory) throws -> Void) throws {
        var template = Array("/tmp/csnap-schedule-XXXXXX".utf8CString)
        let made = try #require(mkdtemp(&template))
        let path = String(cString: made)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(ScheduleDirectory(path: path + "/schedule.d"))
    }

    @Test("written, read, listed, removed") func files() throws {
        try scratch { schedules in
            #expect(schedules.volumes() == [])
            #expect(try schedules.read("data") == nil)
            let rule = RetentionRule(hourly: 24, daily: 7, weekly: 4)
            try schedules.write("data", rule)
            try schedules.write("logs", RetentionRule(hourly: 0, daily: 1, weekly: 0))
            #expect(schedules.volumes() == ["data", "logs"])
            #expect(try schedules.read("data") == rule)
            #expect(try schedules.remove("data"))
            #expect(try !schedules.remove("data"))
            #expect(schedules.volumes() == ["logs"])
        }
    }

    @Test("by hand: comments and any order; what is wrong is named with its line") func parsing() throws {
        let text = "# mine\nweekly: 2  # two\n\nhourly:\t3\n"
        #expect(try ScheduleDirectory.parse(text, "f") == RetentionRule(hourly: 3, daily: 0, weekly: 2))
        let wrong = [
            "hourly: x", "hourly 3", "monthly: 1", "hourly: 1\nhourly: 2", "daily: 1001", "daily: -1", "daily: 1 2",
        ]
        for text in wrong {
            let error = #expect(throws: CommandFailure.self) { try ScheduleDirectory.parse(text, "f") }
            #expect(error?.text.contains("f:\(text.contains("\n") ? 2 : 1): ") == true, "\(text)")
        }
        #expect(throws: CommandFailure.self) { try ScheduleDirectory.parse("hourly: 0\n", "f") }
    }

    @Test("a long file counts to its end, or not at all: a cut turns 30 into 3") func longFiles() throws {
        try scratch { schedules in
            try schedules.write("data", RetentionRule(hourly: 1, daily: 0, weekly: 0))
            let file = schedules.path + "/data"
            let end = "daily: 30\n"
            try (String(repeating: "#", count: 4087) + "\n" + end).write(
                toFile: file, atomically: false, encoding: .utf8)
            #expect(try schedules.read("data") == RetentionRule(hourly: 0, daily: 30, weekly: 0))
            try ("hourly: 1\n" + String(repeating: "#", count: 4096) + "\n" + end).write(
                toFile: file, atomically: false, encoding: .utf8)
            #expect(try schedules.read("data") == RetentionRule(hourly: 1, daily: 30, weekly: 0))
            try ("hourly: 1\n" + String(repeating: "#", count: 1 << 16)).write(
                toFile: file, atomically: false, encoding: .utf8)
            let error = #expect(throws: CommandFailure.self) { try schedules.read("data") }
            #expect(error?.text.contains(file) == true)
        }
    }

    @Test("its snapshots are those with its mark and a dated name; renamed, by hand or received they are not")
    func own() {
        func item(_ name: String, _ high: UInt64) -> SnapshotItem {
            SnapshotItem(
                SnapshotEntry(
                    number: 1, uuid: Bits128(high: high, low: 9), name: name, size: 0, createdAt: 1_796_000_007))
        }
        let group = Bits128(high: 3, low: 4)
        let mark = ScheduleTurn.mark("data", of: group)
        func isOwn(_ name: String, _ high: UInt64) -> Bool { ScheduleTurn.isOwn(item(name, high), mark: mark) }
        let dated = ScheduleTurn.name(at: 1_796_000_007)
        #expect(dated == "auto-2026-11-30T00:53:27Z")
        #expect(isOwn(dated, mark))
        #expect(!isOwn(dated, 1), "made by hand")
        #expect(!isOwn("before-upgrade", mark), "renamed: somebody wants it")
        #expect(!isOwn("auto-2026", mark))
        #expect(!isOwn(dated, ScheduleTurn.mark("logs", of: group)), "received from another volume")
        #expect(!isOwn(dated, ScheduleTurn.mark("data", of: Bits128(high: 4, low: 3))), "and from another group")
    }
}
