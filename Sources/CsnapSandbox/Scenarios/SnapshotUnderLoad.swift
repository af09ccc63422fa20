import Glibc

/// Snapshots are made, read and deleted while three nodes overwrite what they hold, and servers die meanwhile, at
/// varying moments of a creation, a reading and a deletion. With `--seconds` it goes on for that long.
struct SnapshotUnderLoad: Scenario {
    let name = "snapshot-under-load"
    let summary = "snapshots made, read and deleted under load, while servers die"

    /// Snapshots that exist at once.
    private static let kept = 5
    /// So many are made for each server that dies.
    private static let perKill = 6
    /// Without `--seconds`; three servers die.
    private static let fewest = 16

    private enum Moment: Int { case creation, reading, deletion }

    func play(_ stage: Stage) throws {
        try stage.startCyclicLoads()
        let end = boottime() + Int64((stage.options.seconds ?? 0) * 1e9)
        var known: [KnownSnapshot] = []
        var number = 0
        while number < Self.fewest || boottime() < end, !Interruption.isRequested {
            number += 1
            let kills = stage.tally.serversKilled
            let moment = number % Self.perKill == 0 ? Moment(rawValue: kills % 3) : nil
            let node = 1 + number % stage.options.nodes
            try stage.killingServer(moment == .creation) {
                known.append(try stage.snapshot("s\(number)", by: node))
            }
            guard known.count > Self.kept else { continue }
            let oldest = known.removeFirst()
            try stage.killingServer(moment == .reading) { try stage.verify(oldest, on: node) }
            try stage.killingServer(moment == .deletion) { try stage.deleteSnapshot(oldest.name, by: node) }
        }
        for node in stage.survivors { for snapshot in known { try stage.verify(snapshot, on: node) } }
        stage.stopCyclicLoads()
    }
}
