import CsnapCore
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

    /// "csnap-sc": the first half of the uuid of what a schedule makes. Together with the name it tells its snapshots
    /// from others; one that is renamed is kept for ever.
    private static let mark: UInt64 = 0x6373_6e61_702d_7363

    package static func isOwn(_ snapshot: SnapshotItem) -> Bool {
        guard let uuid = Bits128(hex: snapshot.uuid), uuid.high == mark else { return false }
        return snapshot.name == name(at: snapshot.created) || isDated(snapshot.name)
    }

    /// The answer of a refused creation is thrown when what has expired is deleted: that may make room.
    package mutating func run(_ rule: RetentionRule, _ caller: AgentCaller, at now: UInt64) throws {
        let status = try caller.status()
        guard let server = status.server, status.phase == "active" else {
            throw ControlError.noServer("no node serves now: the next turn makes up for it")
        }
        self.server = server
        guard server == status.node else {
            acted = false
            return
        }
        var failure: (any Error)?
        if rule.isDue(Self.items(try own(caller)), at: now) {
            let name = Self.name(at: now)
            let uuid = Bits128(high: Self.mark, low: RandomBits.draw().low)
            do {
                _ = try caller.createSnapshot(volume, name, uuid: uuid.hex)
                made = name
            } catch {
                failure = error
            }
        }
        let left = try own(caller)
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

    private func own(_ caller: AgentCaller) throws -> [SnapshotItem] {
        try caller.snapshots(volume).filter { Self.isOwn($0) }
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
