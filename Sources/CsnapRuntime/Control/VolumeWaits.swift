package import CsnapCore
package import CsnapSession

extension WaitReport {
    /// What the server says of a volume, where something waits or would be refused. `server` is the node that serves;
    /// `silent`: for how long it has not answered.
    package static func ofVolume(
        _ name: String, _ outcome: Result<CommandOutcome, ControlError>, server: UInt32,
        admissions: [AdmissionReport] = [], silent: Interval = .zero
    ) -> [WaitReport] {
        switch outcome {
        case .success(.volume(let report)): ofVolume(VolumeItem(name, report), report, admissions)
        case .success(.refused(.unknownVolume, _)):
            [
                WaitReport(
                    kind: "volumeNotServed", seconds: 0, nodes: [server],
                    text: "The server, node \(server), does not serve \(name): its configuration does not name it.",
                    remedy: "use one configuration on all nodes, and restart the agent of node \(server).",
                    warning: true)
            ]
        case .success(.refused(.leftOut, _)):
            [
                WaitReport(
                    kind: "volumeLeftOut", seconds: 0, nodes: [server],
                    text: "Clients of \(name) wait: its store failed wherever a server tried it. Node \(server) serves "
                        + "the other volumes without it.",
                    remedy: "repair the path to its store (`journalctl -u csnap-agent -p err`), then "
                        + "`csnapctl transfer NODE` to a node that sees it: it does not come back by itself.")
            ]
        case .success(.hanging(let age)):
            [
                WaitReport(
                    kind: "storeHangs", seconds: age.seconds, nodes: [server],
                    text: "The disk under the store of \(name), or under its origin, does not answer the server, node "
                        + "\(server): writes to what snapshots need wait, and all writes while a snapshot is made.",
                    remedy: "repair the path to the disk on node \(server); or power that node off, and another one "
                        + "serves.")
            ]
        case .success(.refused(.notActive, _)): []
        case .success, .failure:
            [
                WaitReport(
                    kind: "serverSilent", seconds: silent.seconds, nodes: [server],
                    text: "The server, node \(server), said nothing of \(name) when it was asked.",
                    remedy: "ask again; if it repeats, check that this node reaches its port.", warning: true)
            ]
        }
    }

    /// Why no snapshot can be made.
    private static func obstacles(
        _ volume: VolumeItem, _ report: VolumeReport, _ admissions: [AdmissionReport]
    ) -> [WaitReport] {
        var waits = volume.lostWriters.map { lost in
            // A server that never had its session does not know its boot; the table of admissions may.
            let evicted = admissions.first { $0.node == lost.node && $0.status != AdmissionStatus.admitted.text }
            let boot = (lost.boot ?? evicted?.boot).map { " (boot \($0))" } ?? ""
            let isBack = admissions.contains { $0.node == lost.node && $0.status == AdmissionStatus.admitted.text }
            return WaitReport(
                kind: "writerLost", seconds: lost.seconds, nodes: [lost.node],
                text: "Snapshots of \(volume.name) cannot be made: the client of node \(lost.node)\(boot) is not "
                    + "connected, and what it gave to the disk may still land.",
                remedy: isBack
                    ? "node \(lost.node) runs, so it ends by itself, within a minute if the machine was rebooted; if "
                        + "it lasts, `systemctl restart csnap-client@\(volume.name)` there."
                    : "bring node \(lost.node) back, or power it off and run "
                        + "`csnapctl strike \(lost.node) --fenced`.",
                warning: true)
        }
        if !volume.strangers.isEmpty {
            waits.append(
                WaitReport(
                    kind: "originDiffers", seconds: report.strangersAge?.seconds ?? 0, nodes: volume.strangers,
                    text: "Snapshots of \(volume.name) cannot be made: the origin of \(nodeWords(volume.strangers)) is "
                        + "another disk than that of the server, from which snapshots are saved.",
                    remedy: "give all nodes the same disk under `origin` of \(volume.name), by a name in "
                        + "/dev/disk/by-id, and restart csnap-agent and csnap-client@\(volume.name) where it was "
                        + "wrong. If all but the server's node are named, it is wrong there.",
                    warning: true))
        }
        return waits
    }

    private static func ofVolume(
        _ volume: VolumeItem, _ report: VolumeReport, _ admissions: [AdmissionReport]
    ) -> [WaitReport] {
        var waits = obstacles(volume, report, admissions)
        let revertSeconds = report.revertAge?.seconds ?? 0
        if let making = volume.making {
            let missing = making.missing.isEmpty ? "the store" : missingWords(making.missing, report)
            waits.append(
                WaitReport(
                    kind: "barrier", seconds: making.seconds, nodes: making.missing,
                    text: "Snapshot \(making.name) of \(volume.name) is being made: waiting for \(missing).",
                    remedy: "none needed: whoever is late is named and the snapshot given up."))
        }
        if let revert = volume.revert, revert.receiving {
            waits.append(
                WaitReport(
                    kind: "receiving", seconds: revertSeconds, nodes: [revert.node],
                    text: "\(volume.name) is half received, by node \(revert.node): clients of other nodes wait, and "
                        + "nobody should read it.",
                    remedy: "none needed while node \(revert.node) does it; if it was interrupted, receive the stream "
                        + "again, or give it up with `csnapctl snapshot receive --abandon --volume \(volume.name)`."))
        } else if let revert = volume.revert {
            waits.append(
                WaitReport(
                    kind: "reverting", seconds: revertSeconds, nodes: [revert.node],
                    text: "\(volume.name) is half reverted to snapshot \(revert.snapshot), by node \(revert.node): "
                        + "clients of other nodes wait, and nobody should read it.",
                    remedy: "none needed while node \(revert.node) does it; if it was interrupted, go on with "
                        + "`csnapctl snapshot revert \(volume.name) \(revert.snapshot)`."))
        }
        if let seconds = volume.heldSeconds {
            let readers = volume.holds.filter { $0.chunks > 0 }.map(\.node)
            waits.append(
                WaitReport(
                    kind: "heldWrites", seconds: seconds, nodes: readers,
                    text: "Writes to \(volume.name) wait for readers of its snapshots on \(nodeWords(readers)).",
                    remedy: "none needed while they read; `csnapctl strike NODE --anyway` ends the reads of one that "
                        + "hangs."))
        }
        if let seconds = volume.fullSeconds {
            waits.append(
                WaitReport(
                    kind: "storeFull", seconds: seconds, nodes: [],
                    text: "Writes to \(volume.name) wait: its snapshot store has no room to save what they overwrite, "
                        + "or what is written to a branch.",
                    remedy: "delete snapshots: `csnapctl snapshot list --volume \(volume.name)`."))
        }
        return waits
    }

    /// "node 2, node 3", or "node 2 (logs)" where several volumes are waited for.
    private static func missingWords(_ nodes: [UInt32], _ report: VolumeReport) -> String {
        guard let volumes = report.barrier?.volumes, volumes.count == nodes.count else { return nodeWords(nodes) }
        return zip(nodes, volumes).map { "node \($0) (\($1))" }.joined(separator: ", ")
    }

    private static func nodeWords(_ nodes: [UInt32]) -> String { nodes.map { NodeID($0) }.text }
}
