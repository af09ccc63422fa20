import ArgumentParser
import CsnapRuntime

extension SnapshotCommand {
    struct Diff: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "diff",
            abstract: "List what may differ between two snapshots, or since one.",
            discussion: """
                Prints offset and length of each range, in bytes, a line each. All that differs is listed; what was \
                overwritten with the same bytes is listed too. Programs see the same as the NBD metadata context \
                csnap:changed-since:NAME of a later snapshot's export.
                """)

        @Argument(help: "The older snapshot.") var older: String
        @Argument(help: "The newer one; without it the origin as it is now.") var newer: String?
        @OptionGroup var options: Options

        /// What `--json` prints; the keys are stable.
        struct Report: Encodable {
            var volume: String
            var from: String
            /// Left out: the origin.
            var to: String?
            var size: UInt64
            var chunkSize: UInt32
            var changedBytes: UInt64
            var ranges: [ChangesItem.Range]
        }

        func run() throws {
            try options.agent.call(waitingFor: "the server to answer") { caller in
                let volume = try options.name(caller)
                let known = try caller.snapshots(volume)
                let from = try SnapshotCommand.find(older, in: known)
                let to = try newer.map { try SnapshotCommand.find($0, in: known) }
                var report = Report(
                    volume: volume, from: from.name, to: to?.name, size: 0, chunkSize: 0, changedBytes: 0, ranges: [])
                var ranges = RangeJoiner { range in
                    report.changedBytes += range.length
                    if options.json {
                        report.ranges.append(range)
                    } else {
                        Terminal.say("\(range.offset)\t\(range.length)")
                    }
                }
                try caller.changes(volume, from: from.number, to: to?.number) { page in
                    report.size = page.size
                    report.chunkSize = page.chunkSize
                    for range in page.ranges { ranges.add(range) }
                }
                ranges.finish()
                if options.json { Terminal.say(try SnapshotCommand.json(report)) }
            }
        }
    }

    /// A whole snapshot, no branch.
    static func find(_ name: String, in known: [SnapshotItem]) throws -> SnapshotItem {
        if let found = known.first(where: { $0.name == name }) {
            guard found.base != nil else {
                try expectWhole(found)
                return found
            }
            throw CommandFailure(
                text: "csnapctl: \(name) is a branch, which may change at any time: name a snapshot, or copy the "
                    + "export snap/\(name)", code: 4)
        }
        throw CommandFailure(
            text: "csnapctl: there is no snapshot '\(name)': `csnapctl snapshot list` shows them", code: 4)
    }

    /// What a repair left of a snapshot is not what was saved, and nothing says where it differs from others
    /// (docs/decisions/0107-a-damaged-snapshot-is-no-source.md).
    private static func expectWhole(_ snapshot: SnapshotItem) throws {
        guard snapshot.damaged else { return }
        throw CommandFailure(
            text: "csnapctl: the snapshot '\(snapshot.name)' is damaged: a repair of the store could not save all of "
                + "it. Name another one, or copy what is left from the export snap/\(snapshot.name)", code: 4)
    }

    /// The same of what a volume is to go back to. A revert to it that has begun goes on, or nothing would end it.
    static func expectWhole(_ name: String, _ volume: String, _ caller: AgentCaller) throws {
        guard let target = try caller.snapshots(volume).first(where: { $0.name == name }),
            try caller.volume(volume).revert?.number != target.number
        else { return }
        try expectWhole(target)
    }
}

/// Joins neighbours, also across pages.
struct RangeJoiner {
    private var pending: ChangesItem.Range?
    private let take: (ChangesItem.Range) -> Void

    init(_ take: @escaping (ChangesItem.Range) -> Void) { self.take = take }

    mutating func add(_ range: ChangesItem.Range) {
        if let last = pending, last.end == range.offset {
            pending?.length += range.length
        } else {
            finish()
            pending = range
        }
    }

    mutating func finish() {
        if let pending { take(pending) }
        pending = nil
    }
}
