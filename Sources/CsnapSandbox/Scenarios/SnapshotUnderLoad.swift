import CsnapCore
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
    /// How long after its order the server dies; a creation takes a few milliseconds here, a reading some 200.
    private static let delays = [0, 2, 4, 8, 16, 40, 90]

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
            try killing(stage, moment == .creation) {
                known.append(try stage.snapshot("s\(number)", by: node))
            }
            guard known.count > Self.kept else { continue }
            let oldest = known.removeFirst()
            try killing(stage, moment == .reading) { try stage.verify(oldest, on: node) }
            try killing(stage, moment == .deletion) { try stage.deleteSnapshot(oldest.name, by: node) }
        }
        for node in stage.survivors { for snapshot in known { try stage.verify(snapshot, on: node) } }
        stage.stopCyclicLoads()
    }

    /// Kills the server's process while `body` runs, and waits until all is served again.
    private func killing(_ stage: Stage, _ dies: Bool, _ body: () throws -> Void) throws {
        guard dies else { return try body() }
        let server = try stage.serverNow()
        let before = try stage.currentView().tenure
        let node = stage.group.node(server)
        let delay = Self.delays[stage.tally.serversKilled % Self.delays.count]
        var killer: ThreadedTask?
        let begin = {
            killer = ThreadedTask {
                pause(milliseconds: delay)
                node.signalServer(SIGKILL)
            }
        }
        let text = "kill the server's process on node \(server), in \(delay) ms"
        if stage.faultAt == nil { try stage.fault(text, begin) } else { stage.also(text, begin) }
        stage.tally.serversKilled += 1
        defer { killer?.join() }
        try body()
        try stage.waitForTenure(above: before)
    }
}
