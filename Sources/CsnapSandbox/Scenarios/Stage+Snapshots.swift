import CsnapCore
import CsnapRuntime
import Glibc

/// A snapshot that a scenario made, and what it must show.
package struct KnownSnapshot: Sendable {
    package var name: String
    /// Per node: how many writes were answered before it was asked for, and begun before the answer.
    package var least: [Int: UInt64] = [:]
    package var most: [Int: UInt64] = [:]

    /// What is wrong with one load's region of it, as that device shows it; nil if nothing is.
    func fault(in model: CyclicModel, on device: NBDClient) throws -> String? {
        model.fault(in: try model.image(on: device), least: least[model.node] ?? 0, most: most[model.node] ?? 0)
    }
}

/// What a scenario's snapshots came to.
package struct SnapshotTally: Equatable, Sendable {
    package var made = 0
    package var deleted = 0
    /// Regions of snapshots and branches that were compared with their model, and those that differed.
    package var verified = 0
    package var wrong = 0
    /// Servers' processes that the story killed, beside whole nodes.
    package var serversKilled = 0
    /// What the loads got in place of an answer.
    package var errors: [String] = []
    /// For each creation, the longest that a write of any client waited because of it; seconds.
    package var pauses: [Double] = []

    package var medianPause: Double? {
        pauses.isEmpty ? nil : pauses.sorted()[pauses.count / 2]
    }
}

extension Stage {
    /// Starts the loads whose images are known at every instant: one on every node, and the chain, whose writes go
    /// through all nodes in turn but those `without`, which are about to die.
    package func startCyclicLoads(chainWithout dying: Int? = nil) throws {
        let sockets = survivors.filter { $0 != dying }.map { group.directory.volumeSocket($0) }
        cyclic[CyclicModel.chain] = CyclicLoad(node: CyclicModel.chain, sockets: sockets, periodMilliseconds: 3)
        for node in survivors {
            cyclic[node] = CyclicLoad(
                node: node, sockets: [group.directory.volumeSocket(node)], periodMilliseconds: 3)
        }
        for load in cyclic.values {
            try wait("the load '\(load.model.name)' has written every block of its cycle") { load.isFilled }
        }
        mark("\(survivors.count) clients overwrite the same blocks, in a known order")
    }

    package func stopCyclicLoads() {
        stopBranch()
        for load in cyclic.values { end(load) }
        cyclic = [:]
    }

    func end(_ load: CyclicLoad) {
        load.stop()
        guard let error = load.error, !lost.contains(load.model.node) else { return }
        tally.errors.append(error)
        fail("I/O error: \(error)")
    }

    // MARK: Making and deleting

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
        tally.made += 1
        mark("snapshot \(name), by node \(node), in \(decimals(Double(end - begin) / 1e9)) s")
        return known
    }

    package func deleteSnapshot(_ name: String, by node: Int) throws {
        try AgentCaller(path: group.directory.controlSocket(node)).command(
            "DeleteSnapshot", ["volume": .string(SandboxGroup.volume), "name": .string(name)])
        tally.deleted += 1
        mark("snapshot \(name) deleted")
    }

    /// Begins a creation that goes on while the story does.
    package func beginSnapshot(_ name: String, by node: Int) -> Creation {
        mark("snapshot \(name) asked for, by node \(node)")
        return Creation(name, socket: group.directory.controlSocket(node))
    }

    /// Waits until all writes of that node are held, as from BEGIN to END of a barrier.
    package func waitForBarrier(on node: Int, of creation: Creation) throws {
        var before = cyclic[node]?.acknowledged
        var since = boottime()
        try wait("the writes of node \(node) are held") {
            let now = self.cyclic[node]?.acknowledged
            if now != before {
                before = now
                since = boottime()
            }
            return boottime() - since > 100_000_000 || creation.outcome != nil
        }
    }

    /// How long after its order the server dies; a creation takes a few milliseconds here, a reading some 200.
    private static let deathDelays = [0, 2, 4, 8, 16, 40, 90]

    /// If `dies`, kills the server's process while `body` runs, and waits until all is served again.
    package func killingServer(_ dies: Bool, _ body: () throws -> Void) throws {
        guard dies else { return try body() }
        let server = try serverNow()
        let before = try currentView().tenure
        let node = group.node(server)
        let delay = Self.deathDelays[tally.serversKilled % Self.deathDelays.count]
        var killer: ThreadedTask?
        let begin = {
            killer = ThreadedTask {
                pause(milliseconds: delay)
                node.signalServer(SIGKILL)
            }
        }
        let text = "kill the server's process on node \(server), in \(delay) ms"
        if faultAt == nil { try fault(text, begin) } else { also(text, begin) }
        tally.serversKilled += 1
        defer { killer?.join() }
        try body()
        try waitForTenure(above: before)
    }

    package func names(by node: Int) throws -> [String] {
        try AgentCaller(path: group.directory.controlSocket(node)).snapshots(SandboxGroup.volume).map(\.name)
    }

    /// The operator says that the machine is off.
    package func strikeFenced(_ node: Int, by caller: Int) throws {
        try wait("node \(node) is seen to be gone") {
            self.group.status(caller)?.members.first { $0.node == UInt32(node) }.map { $0.state == "unreachable" }
                ?? false
        }
        try group.command(caller, "Strike", ["node": .integer(Int64(node)), "fenced": .bool(true)])
        mark("strike \(node) --fenced")
    }

    // MARK: Looking

    /// Reads all nodes' regions of the snapshot through one node's client, and compares them with the model.
    package func verify(_ known: KnownSnapshot, on reader: Int) throws {
        let device = try open(known.name, on: reader)
        for load in cyclic.values {
            count(try known.fault(in: load.model, on: device), in: "snapshot \(known.name)", on: reader)
        }
        device.disconnect()
    }

    /// One region was looked at.
    func count(_ fault: String?, in image: String, on reader: Int) {
        guard let fault else { return tally.verified += 1 }
        tally.wrong += 1
        fail("\(image) read on node \(reader): \(fault)")
    }

    /// A snapshot as a node offers it, when it does.
    package func open(
        _ snapshot: String, of volume: String = SandboxGroup.volume, on reader: Int
    ) throws -> NBDClient {
        let end = boottime() + Int64(options.patience * 1e9)
        var device: NBDClient?
        try wait("node \(reader) offers the snapshot \(snapshot) of \(volume)") {
            device = try? NBDClient(
                path: self.group.directory.volumeSocket(reader, volume), export: "snap/\(snapshot)",
                cancelled: { boottime() > end || Interruption.isRequested })
            return device != nil
        }
        guard let device else { throw SandboxError.cancelled }
        return device
    }

    /// Expects that `csnapctl why` of a node names it.
    package func expectWait(_ kind: String, about node: Int, by asked: Int) throws {
        let waits = try AgentCaller(path: group.directory.controlSocket(asked)).why()
        let wait = waits.first { $0.kind == kind }
        expect(wait?.nodes == [UInt32(node)], "`why` of node \(asked) should name node \(node): \(waits)")
        if let wait { mark("why: \(wait.text)") }
    }

    /// Expects that every creation is refused and names the culprit, and that by and by the code is that one: a machine
    /// that died closes no connection, so at first it is only late.
    package func expectRefusal(_ code: String, of name: String, by node: Int, naming culprit: Int) throws {
        try wait("the snapshot \(name) is refused with \(code)") {
            do {
                try self.snapshot(name, by: node)
                self.fail("the snapshot \(name) should have been refused with \(code)")
                return true
            } catch ControlError.refused(let found, let message) {
                let isNamed = message.contains("node \(culprit)")
                self.expect(isNamed, "the refusal should name node \(culprit): \(message)")
                guard found == code else { return false }
                self.mark("snapshot refused: \(message)")
                return true
            }
        }
    }

    package func startReading(_ known: KnownSnapshot, on node: Int) -> SnapshotReading {
        let models = cyclic.values.map(\.model)
        return SnapshotReading(
            node: node, socket: group.directory.volumeSocket(node), of: known.name, regions: models.count
        ) { device in
            try models.compactMap { try known.fault(in: $0, on: device) }
        }
    }

    /// Counts what a stopped reader saw.
    package func judge(_ reading: SnapshotReading) {
        let record = reading.record
        tally.verified += record.readings.count * reading.regions - record.faults.count
        tally.wrong += record.faults.count
        for fault in record.faults { fail("\(reading.image) read on node \(reading.node): \(fault)") }
        if let error = record.error {
            tally.errors.append(error)
            fail("I/O error: \(error)")
        }
    }
}
