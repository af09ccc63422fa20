import CsnapCore
import CsnapRuntime

/// A snapshot that a scenario made, and what it must show.
package struct KnownSnapshot: Sendable {
    package var name: String
    /// Per node: how many writes were answered before it was asked for, and begun before the answer.
    package var least: [Int: UInt64] = [:]
    package var most: [Int: UInt64] = [:]
}

/// What a scenario's snapshots came to.
package struct SnapshotTally: Equatable, Sendable {
    package var verified = 0
    package var wrong = 0
    /// For each creation, the longest that a write of any client waited because of it; seconds.
    package var pauses: [Double] = []

    package var medianPause: Double? {
        pauses.isEmpty ? nil : pauses.sorted()[pauses.count / 2]
    }
}

extension Stage {
    /// Starts the load whose image is known at every instant, on every node.
    package func startCyclicLoads() throws {
        for node in survivors {
            cyclic[node] = CyclicLoad(
                node: node, socket: group.directory.volumeSocket(node), periodMilliseconds: 3)
        }
        for node in survivors {
            try wait("node \(node) has written every block of its cycle") { self.cyclic[node]?.isFilled == true }
        }
        mark("\(survivors.count) clients overwrite the same blocks, in a known order")
    }

    package func stopCyclicLoads() {
        for load in cyclic.values {
            load.stop()
            if let error = load.error, !lost.contains(load.model.node) { fail("I/O error: \(error)") }
        }
        cyclic = [:]
    }

    /// Asks a node for a snapshot; throws what `csnapctl snapshot create` would say.
    @discardableResult
    package func snapshot(_ name: String, by node: Int) throws -> KnownSnapshot {
        var known = KnownSnapshot(name: name)
        for load in cyclic.values { known.least[load.model.node] = load.acknowledged }
        let begin = boottime()
        let caller = try AgentCaller(path: group.directory.controlSocket(node))
        _ = try caller.createSnapshot(SandboxGroup.volume, name)
        let end = boottime()
        for load in cyclic.values { known.most[load.model.node] = load.issued }
        let waits = survivors.compactMap { cyclic[$0]?.longestWait(from: begin, to: end) }
        tally.pauses.append(Double(waits.max() ?? 0) / 1e9)
        mark("snapshot \(name), by node \(node), in \(decimals(Double(end - begin) / 1e9)) s")
        return known
    }

    package func deleteSnapshot(_ name: String, by node: Int) throws {
        try AgentCaller(path: group.directory.controlSocket(node)).command(
            "DeleteSnapshot", ["volume": .string(SandboxGroup.volume), "name": .string(name)])
        mark("snapshot \(name) deleted")
    }

    /// Reads all nodes' regions of the snapshot through one node's client, and compares them with the model.
    package func verify(_ known: KnownSnapshot, on reader: Int) throws {
        let end = boottime() + Int64(options.patience * 1e9)
        var device: NBDClient?
        try wait("node \(reader) offers the snapshot \(known.name)") {
            device = try? NBDClient(
                path: self.group.directory.volumeSocket(reader), export: "snap/\(known.name)",
                cancelled: { boottime() > end || Interruption.isRequested })
            return device != nil
        }
        guard let device else { return }
        for load in cyclic.values {
            var image: [UInt8] = []
            let part = 128 << 10
            for start in stride(from: 0, to: CyclicModel.regionSize, by: part) {
                image += try device.read(offset: load.model.base + UInt64(start), count: part)
            }
            let node = load.model.node
            let fault = load.model.fault(
                in: image, least: known.least[node] ?? 0, most: known.most[node] ?? 0)
            if let fault {
                tally.wrong += 1
                fail("snapshot \(known.name) read on node \(reader): \(fault)")
            } else {
                tally.verified += 1
            }
        }
        device.disconnect()
    }

    /// Expects that the creation is refused by that code.
    package func expectRefusal(_ code: String, of name: String, by node: Int) throws {
        do {
            try snapshot(name, by: node)
            fail("the snapshot \(name) should have been refused with \(code)")
        } catch ControlError.refused(let found, let message) {
            expect(found == code, "the snapshot \(name) should be refused with \(code), not \(found): \(message)")
            mark("snapshot refused: \(message)")
        }
    }
}
