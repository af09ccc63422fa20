import CsnapCore
import CsnapRuntime

/// Two volumes are written in turn, each write begun when the one before it, in the other volume, was answered.
/// Snapshots of both at one instant show one point of that order, although servers die while they are made.
struct SnapshotsOfTwoVolumes: Scenario {
    let name = "snapshot-two-volumes"
    let summary = "snapshots of two volumes at one instant, written in causal order, while servers die"
    let volumes = [SandboxGroup.volume, "logs"]

    /// Pairs of snapshots that exist at once.
    private static let kept = 3
    /// So many pairs are made for each server that dies.
    private static let perKill = 3
    /// Without `--seconds`; seven servers die, one at each delay.
    private static let fewest = 21

    func play(_ stage: Stage) throws {
        let pair = try VolumePair(stage, volumes)
        let end = boottime() + Int64((stage.options.seconds ?? 0) * 1e9)
        var known: [KnownSnapshot] = []
        var number = 0
        while number < Self.fewest || boottime() < end, !Interruption.isRequested {
            number += 1
            let node = 1 + number % stage.options.nodes
            try stage.killingServer(number % Self.perKill == 0) {
                known.append(try pair.snapshot("s\(number)", by: node))
            }
            guard known.count > Self.kept else { continue }
            let oldest = known.removeFirst()
            try pair.verify(oldest, on: node)
            try pair.delete(oldest.name, by: node)
        }
        for node in stage.survivors { for snapshot in known { try pair.verify(snapshot, on: node) } }
        pair.stop()
    }
}

/// Two volumes, the load whose writes go to them in turn, and what their snapshots must show.
private struct VolumePair {
    private let stage: Stage
    private let volumes: [String]
    private let load: CyclicLoad

    /// Returns when the load has written every block of its cycle.
    init(_ stage: Stage, _ volumes: [String]) throws {
        self.stage = stage
        self.volumes = volumes
        let nodes = stage.survivors
        // Neighbours in time are of two volumes and of two nodes.
        let sockets = (0..<2 * nodes.count).map {
            stage.group.directory.volumeSocket(nodes[$0 % nodes.count], volumes[$0 % 2])
        }
        let load = CyclicLoad(node: CyclicModel.pair, sockets: sockets, periodMilliseconds: 3)
        self.load = load
        try stage.wait("both volumes have every block of the cycle") { load.isFilled }
        stage.mark("two volumes are written in turn, by \(nodes.count) nodes")
    }

    func stop() {
        load.stop()
        guard let error = load.error else { return }
        stage.tally.errors.append(error)
        stage.fail("I/O error: \(error)")
    }

    /// Of both volumes at one instant.
    func snapshot(_ name: String, by node: Int) throws -> KnownSnapshot {
        var known = KnownSnapshot(name: name)
        known.least[CyclicModel.pair] = load.acknowledged
        let begin = boottime()
        _ = try AgentCaller(path: stage.group.directory.controlSocket(node)).createSnapshots(volumes, name)
        let end = boottime()
        known.most[CyclicModel.pair] = load.issued
        stage.tally.pauses.append(Double(load.longestWait(from: begin, to: end)) / 1e9)
        stage.tally.made += 1
        stage.mark("snapshots \(name), by node \(node), in \(decimals(Double(end - begin) / 1e9)) s")
        return known
    }

    func delete(_ name: String, by node: Int) throws {
        let caller = try AgentCaller(path: stage.group.directory.controlSocket(node))
        for volume in volumes {
            try caller.command("DeleteSnapshot", ["volume": .string(volume), "name": .string(name)])
        }
        stage.tally.deleted += 1
        stage.mark("snapshots \(name) deleted")
    }

    /// The two images together are the image after exactly one number of writes: whatever is in one of them, its cause
    /// is in the other.
    func verify(_ known: KnownSnapshot, on reader: Int) throws {
        let least = known.least[CyclicModel.pair] ?? 0
        let most = known.most[CyclicModel.pair] ?? 0
        if let fault = load.model.fault(in: try image(known.name, on: reader), least: least, most: most) {
            stage.tally.wrong += 1
            stage.fail("snapshots \(known.name) read on node \(reader): \(fault)")
        } else {
            stage.tally.verified += 1
        }
    }

    /// The number of a write and of its block are even or odd together, so the blocks lie in the volumes in turn.
    private func image(_ name: String, on reader: Int) throws -> [UInt8] {
        let devices = try volumes.map { try stage.open(name, of: $0, on: reader) }
        defer { for device in devices { device.disconnect() } }
        var image: [UInt8] = []
        let blocks = 32
        for start in stride(from: 0, to: CyclicModel.regionSize, by: blocks * BlockPattern.size) {
            let parts = try devices.map {
                try $0.read(offset: load.model.base + UInt64(start), count: blocks * BlockPattern.size)
            }
            for block in 0..<blocks {
                let place = block * BlockPattern.size
                image += parts[block % 2][place..<place + BlockPattern.size]
            }
        }
        return image
    }
}
