import ArgumentParser
import CsnapRuntime
import Glibc

extension SnapshotCommand {
    struct Schedule: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "schedule",
            abstract: "Snapshots by the clock: make them, keep so many, delete the rest.",
            discussion: """
                A schedule is a file in /etc/csnap/schedule.d; a systemd timer does a turn every ten minutes. Set it \
                on each node that may serve: the one that serves acts, the others do nothing. Times are UTC. What \
                others made, and what was renamed, is never deleted.
                """,
            subcommands: [Set.self, Show.self, Remove.self, Run.self])

        struct Place: ParsableArguments {
            @Option(help: ArgumentHelp("Where the schedules lie.", valueName: "path"))
            var directory = ScheduleDirectory.standard
            @Flag(help: "Print JSON.") var json = false

            var schedules: ScheduleDirectory { ScheduleDirectory(path: directory) }

            /// The volume's name is a file's name and a unit's instance.
            func check(_ volume: String) throws {
                guard volume.wholeMatch(of: #/[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}/#) != nil else {
                    throw CommandFailure.usage("csnapctl: '\(volume)' is no name of a volume")
                }
            }
        }

        struct Set: ParsableCommand {
            static let configuration = CommandConfiguration(
                commandName: "set", abstract: "Begin or change a volume's schedule on this node.")

            @Argument(help: "The volume.") var volume: String
            @Option(help: ArgumentHelp("How many hours to keep one of.", valueName: "n")) var hourly = 0
            @Option(help: ArgumentHelp("How many days to keep one of.", valueName: "n")) var daily = 0
            @Option(help: ArgumentHelp("How many weeks to keep one of.", valueName: "n")) var weekly = 0
            @OptionGroup var place: Place
            @OptionGroup var agent: AgentOptions

            func run() throws {
                try place.check(volume)
                try expectKnown()
                let rule = RetentionRule(hourly: hourly, daily: daily, weekly: weekly)
                guard rule.isPossible else {
                    throw CommandFailure.usage(
                        "csnapctl: give at least one of --hourly, --daily and --weekly, each 0 to \(RetentionRule.most)"
                    )
                }
                try place.schedules.write(volume, rule)
                try SnapshotTimer.enable(volume, place)
                if place.json { return Terminal.say(try SnapshotCommand.json(ScheduleItem(volume, rule))) }
                Terminal.say(
                    "\(volume): hourly \(hourly), daily \(daily), weekly \(weekly). Set it on each node that may serve."
                )
            }

            /// The agent knows this node's volumes.
            private func expectKnown() throws {
                let end = boottime() + 5_000_000_000
                let caller = try? AgentCaller(
                    path: try agent.path(), cancelled: { Interruption.isRequested || boottime() > end })
                guard let volumes = try? caller?.status().volumes else {
                    return Terminal.complain(
                        "csnapctl: no agent answers here, so nothing tells whether this node has a volume \(volume)")
                }
                guard !volumes.contains(where: { $0.name == volume }) else { return }
                let known = volumes.map(\.name).joined(separator: ", ")
                throw CommandFailure(
                    text: "csnapctl: this node has no volume \(volume): its configuration names "
                        + "\(known.isEmpty ? "none" : known)", code: 4)
            }
        }

        struct Show: ParsableCommand {
            static let configuration = CommandConfiguration(
                commandName: "show", abstract: "Show this node's schedules.")

            @Argument(help: "The volume; without it all.") var volume: String?
            @OptionGroup var place: Place

            func run() throws {
                let volumes = volume.map { [$0] } ?? place.schedules.volumes()
                var items: [ScheduleItem] = []
                for volume in volumes {
                    try place.check(volume)
                    guard let rule = try place.schedules.read(volume) else { throw Schedule.none(volume) }
                    items.append(ScheduleItem(volume, rule))
                }
                if place.json { return Terminal.say(try SnapshotCommand.json(items)) }
                if items.isEmpty { return Terminal.say("This node has no schedule.") }
                Terminal.say(
                    StatusScreen.table(
                        [["VOLUME", "HOURLY", "DAILY", "WEEKLY"]]
                            + items.map { [$0.volume, "\($0.hourly)", "\($0.daily)", "\($0.weekly)"] }))
            }
        }

        struct Remove: ParsableCommand {
            static let configuration = CommandConfiguration(
                commandName: "remove", abstract: "End a volume's schedule on this node; its snapshots stay.")

            @Argument(help: "The volume.") var volume: String
            @OptionGroup var place: Place

            func run() throws {
                try place.check(volume)
                try SnapshotTimer.disable(volume, place)
                guard try place.schedules.remove(volume) else { throw Schedule.none(volume) }
                if place.json { Terminal.say(try SnapshotCommand.json(["removed": volume])) }
            }
        }

        struct Run: ParsableCommand {
            static let configuration = CommandConfiguration(
                commandName: "run",
                abstract: "Do one turn: make what is due, delete what is no longer kept.",
                discussion: "Only on the node that serves; others say so and exit with 0.")

            @Argument(help: "The volume.") var volume: String
            @OptionGroup var place: Place
            @OptionGroup var agent: AgentOptions

            func run() throws {
                try place.check(volume)
                guard let rule = try place.schedules.read(volume) else { throw Schedule.none(volume) }
                var turn = ScheduleTurn(volume: volume)
                defer { say(turn) }
                try agent.call(waitingFor: "all nodes to finish their writes") {
                    try turn.run(rule, $0, at: UInt64(max(0, time(nil))))
                }
            }

            private func say(_ turn: ScheduleTurn) {
                guard turn.server != nil else { return }
                if place.json, let text = try? SnapshotCommand.json(turn) { return Terminal.say(text) }
                guard turn.acted else {
                    let server = turn.server.map { "node \($0)" } ?? "another node"
                    return Terminal.say("\(volume): \(server) serves, and does it; nothing to do here.")
                }
                if let made = turn.made { Terminal.say("\(volume): made \(made)") }
                for name in turn.deleted { Terminal.say("\(volume): deleted \(name)") }
                for skipped in turn.skipped { Terminal.complain("\(volume): \(skipped.name) stays: \(skipped.reason)") }
                Terminal.say("\(volume): \(turn.kept) of its snapshots kept")
            }
        }

        private static func none(_ volume: String) -> CommandFailure {
            CommandFailure.failed(
                "csnapctl: \(volume) has no schedule here: `csnapctl snapshot schedule set \(volume) …`")
        }
    }

    struct ScheduleItem: Encodable {
        var volume: String
        var hourly: Int
        var daily: Int
        var weekly: Int

        init(_ volume: String, _ rule: RetentionRule) {
            self.volume = volume
            hourly = rule.hourly
            daily = rule.daily
            weekly = rule.weekly
        }
    }
}

/// The timer of a volume's schedule, where systemd runs.
private enum SnapshotTimer {
    static func enable(_ volume: String, _ place: SnapshotCommand.Schedule.Place) throws {
        try systemctl(["enable", "--now"], volume, place)
    }

    static func disable(_ volume: String, _ place: SnapshotCommand.Schedule.Place) throws {
        try systemctl(["disable", "--now"], volume, place)
    }

    private static func systemctl(
        _ words: [String], _ volume: String, _ place: SnapshotCommand.Schedule.Place
    ) throws {
        let unit = "csnap-snapshot@\(volume).timer"
        guard place.directory == ScheduleDirectory.standard, access("/run/systemd/system", F_OK) == 0 else {
            Terminal.complain(
                "csnapctl: no timer was touched: `csnapctl snapshot schedule run \(volume)` does a turn")
            return
        }
        let child = try ChildProcess("/usr/bin/systemctl", words + [unit], log: "/dev/null")
        while child.exitCode == nil { pause(milliseconds: 10) }
        guard child.exitCode == 0 else {
            throw CommandFailure.failed(
                "csnapctl: `systemctl \((words + [unit]).joined(separator: " "))` failed: run it to see why")
        }
    }
}
