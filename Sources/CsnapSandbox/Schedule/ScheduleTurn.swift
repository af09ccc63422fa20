package import CsnapCore
package import CsnapRuntime

/// One turn of a volume's schedule, on the node that serves: make what is due, delete what is no longer kept.
package struct ScheduleTurn: Encodable, Equatable {
    package struct Skipped: Encodable, Equatable {
        package var name: String
        package var reason: String
    }

    package var volume: String
    /// False: another node serves, and does it.
    package var acted = true
    package var server: UInt32?
    /// The snapshot that was made; null if none was due.
    package var made: String?
    package var deleted: [String] = []
    /// Those that should have been deleted and could not.
    package var skipped: [Skipped] = []
    /// The schedule's own snapshots that are left.
    package var kept = 0

    package init(volume: String) { self.volume = volume }

    /// The first half of the uuid of what the schedule of this volume of this group makes: a stream carries it along,
    /// and another volume's schedule must not take it for its own.
    package static func mark(_ volume: String, of cluster: Bits128) -> UInt64 {
        var writer = ByteWriter()
        writer.string("csnap schedule")
        writer.value(cluster)
        writer.string(volume)
        return StreamDigest.of(writer.bytes).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Its mark and its name tell a schedule's snapshot from others; one that is renamed is kept for ever.
    package static func isOwn(_ snapshot: SnapshotItem, mark: UInt64) -> Bool {
        guard let uuid = Bits128(hex: snapshot.uuid), uuid.high == mark else { return false }
        return snapshot.name == name(at: snapshot.created) || isDated(snapshot.name)
    }

    /// The answer of a refused creation is thrown when what has expired is deleted: that may make room.
    package mutating func run(_ rule: RetentionRule, _ caller: AgentCaller, at now: UInt64) throws {
        let status = try caller.status()
        guard let server = status.server, status.phase == "active",
            let cluster = status.clusterUUID.flatMap({ Bits128(hex: $0) })
        else {
            throw ControlError.noServer("no node serves now: the next turn makes up for it")
        }
        self.server = server
        guard server == status.node else {
            acted = false
            return
        }
        let mark = Self.mark(volume, of: cluster)
        var failure: (any Error)?
        if rule.isDue(Self.items(try own(caller, mark)), at: now) {
            let name = Self.name(at: now)
            let uuid = Bits128(high: mark, low: RandomBits.draw().low)
            do {
                _ = try caller.createSnapshot(volume, name, uuid: uuid.hex)
                made = name
            } catch {
                failure = error
            }
        }
        let left = try own(caller, mark)
        let expired = Set(rule.expired(Self.items(left)))
        for snapshot in left where expired.contains(snapshot.number) {
            do {
                try caller.command("DeleteSnapshot", ["volume": .string(volume), "name": .string(snapshot.name)])
                deleted.append(snapshot.name)
            } catch ControlError.refused(_, let message) {
                skipped.append(Skipped(name: snapshot.name, reason: message))
            }
        }
        kept = left.count - deleted.count
        if let failure { throw failure }
    }

    private func own(_ caller: AgentCaller, _ mark: UInt64) throws -> [SnapshotItem] {
        try caller.snapshots(volume).filter { Self.isOwn($0, mark: mark) }
    }

    private static func items(_ snapshots: [SnapshotItem]) -> [RetentionRule.Item] {
        snapshots.map { RetentionRule.Item(number: $0.number, created: $0.created) }
    }

    /// "auto-2026-11-29T13:00:07Z".
    package static func name(at seconds: UInt64) -> String { "auto-" + ClockText.utc(seconds) }

    private static func isDated(_ name: String) -> Bool {
        name.wholeMatch(of: #/auto-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/#) != nil
    }
}
