import CsnapCore
import CsnapSession
import CsnapStore
import CsnapStoreSimulation
import Testing

/// A snapshot of two volumes, its server killed at each write to either store: all or none after the takeover.
@Suite("Several volumes, a kill at every step")
struct AllOrNoneTests {
    /// What of the last writes is there when the successor comes.
    enum Remains: CaseIterable { case allThatReturned, onlyWhatWasFlushed, alsoTheOneUnderWay }

    static let uuid = Bits128(high: 7, low: 7)
    static let tenure = Tenure(epoch: Epoch(1), round: Round(1))
    static let commander = ConnectionID(1)

    @Test("all or none", arguments: Remains.allCases, [false, true])
    func everyStep(remains: Remains, isFirstLower: Bool) throws {
        var answers: [Bool] = []
        var step = 0
        while answers.last != true {
            let outcome = try play(dyingAt: step, remains, isFirstLower)
            #expect(outcome.has[0] == outcome.has[1], "killed at write \(step), \(remains)")
            if outcome.wasAnswered { #expect(outcome.has == [true, true], "what was answered is there") }
            answers.append(outcome.wasAnswered)
            step += 1
        }
        #expect(step > 3, "each of three records is a step at least")
    }

    private struct Outcome {
        var wasAnswered: Bool
        var has: [Bool]
    }

    private func play(dyingAt step: Int, _ remains: Remains, _ isFirstLower: Bool) throws -> Outcome {
        var servers = try (0..<2).map { index in
            try VolumeServer(uuid: (index == 0) == isFirstLower ? 1 : 2)
        }
        let before = servers.map(\.world.disk.image)
        for server in servers { server.world.disk.isRecording = true }
        let wasAnswered = create(&servers, dyingAt: step)
        var heirs: [VolumeServer] = []
        for (server, image) in zip(servers, before) {
            let disk = server.world.disk
            switch remains {
            case .allThatReturned: break
            case .onlyWhatWasFlushed: disk.image = flushed(image, disk.events)
            case .alsoTheOneUnderWay:
                if let write = server.world.store.device.path.inFlight { disk.image.write(write) }
            }
            let dead = server.world
            heirs.append(VolumeServer(try StoreWorld(disk, dead.originDisk, dead.model, dead.tenure.next)))
        }
        var resolution = PreparedResolution(heirs.map(\.about))
        var steps = resolution.begin()
        while let step = steps.first {
            steps = try steps.dropFirst() + resolution.answered(step.ticket, heirs[step.volume].perform(step.order))
        }
        #expect(resolution.isDone)
        for index in heirs.indices {
            #expect(heirs[index].world.store.prepared.isEmpty)
            #expect(try heirs[index].world.store.check(data: true).problems == [])
            #expect(heirs[index].world.store.facts.generation == resolution.volumes[index].generation)
        }
        return Outcome(
            wasAnswered: wasAnswered,
            has: heirs.map { $0.world.store.snapshots.contains { $0.about.uuid == Self.uuid } })
    }

    /// The command on a table with these stores, until it is answered or the server is dead: it may write so often.
    private func create(_ servers: inout [VolumeServer], dyingAt step: Int) -> Bool {
        var table = SessionTable(
            tenure: Self.tenure, volumes: servers.map(\.about),
            admitted: [NodeBoot(node: NodeID(1), boot: Boot(1))])
        let now = Instant(nanoseconds: 0)
        var actions = table.activate(Self.tenure, at: now) + table.opened(Self.commander, at: now)
        let hello = SessionHello(
            versions: SessionWire.versions, process: NodeBoot(node: NodeID(1), boot: Boot(1)), client: .zero,
            machineID: .zero, kernelBootID: .zero, volume: "", image: SessionHello.commands, tenure: Self.tenure)
        actions += table.received(.hello(hello), on: Self.commander, at: now)
        let command = SnapshotCommand.createSeveral(
            volumes: servers.map(\.name), name: "monday", uuid: Self.uuid)
        actions += table.received(
            .command(request: 1, epoch: Self.tenure.epoch, command), on: Self.commander, at: now)
        var left = step
        while !actions.isEmpty {
            switch actions.removeFirst() {
            case .store(let volume, let ticket, let order):
                let path = servers[volume].world.store.device.path
                path.requestsLeft = left
                let written = path.requests
                guard let result = try? servers[volume].perform(order) else { return false }
                left -= path.requests - written
                actions += table.completed(ticket, volume: volume, result, at: now)
            case .send(.outcome(_, _, .several(let made)), _): return made.count == 2
            default: break
            }
        }
        return false
    }

    private func flushed(_ image: DiskImage, _ events: [DiskEvent]) -> DiskImage {
        var image = image
        var waiting: [DiskWrite] = []
        for event in events {
            switch event {
            case .write(let write): waiting.append(write)
            case .flush:
                for write in waiting { image.write(write) }
                waiting = []
            }
        }
        return image
    }
}

/// A small store that carries out the orders of a snapshot of several volumes, as the server's thread does.
private struct VolumeServer {
    var world: StoreWorld

    init(uuid: UInt64) throws {
        let geometry = try StoreWorld.format().geometry
        world = try StoreWorld(StoreFormat(store: Bits128(high: 1, low: uuid), geometry: geometry, slotCount: 4))
    }

    init(_ world: StoreWorld) { self.world = world }

    var name: String { "volume-\(world.store.facts.store.low)" }

    var about: SessionVolume {
        let facts = world.store.facts
        return SessionVolume(
            name: name, storeUUID: facts.store, originSize: facts.originSize, chunkSize: facts.geometry.chunkSize,
            generation: facts.generation,
            prepared: world.store.prepared.map {
                SessionVolume.Prepared(uuid: $0.about.uuid, decider: $0.decider)
            })
    }

    mutating func perform(_ order: StoreOrder) throws -> StoreResult {
        switch order {
        case .find(_, let uuid):
            return world.store.snapshots.first { $0.about.uuid == uuid }.map { .outcome(.snapshot(entry($0))) }
                ?? .absent
        case .sampleOrigin: return .sample(0)
        case .commit(let name, let uuid, _):
            let made = try world.store.create(SnapshotRequest(uuid: uuid, name: name))
            return .committed(entry(made), generation: world.store.facts.generation)
        case .prepare(let name, let uuid, _, let decider):
            try world.store.prepare(
                PreparedSnapshot(about: SnapshotRequest(uuid: uuid, name: name), decider: decider))
            return .prepared
        case .commitPrepared(let uuid):
            return .committed(entry(try world.store.commitPrepared(uuid)), generation: world.store.facts.generation)
        case .abandon(let uuid):
            try world.store.abandonPrepared(uuid)
            return .done
        case .reuse(let stamp):
            world.store.readersForgot(upTo: stamp)
            return .done
        default: fatalError("not an order of a snapshot")
        }
    }

    private func entry(_ snapshot: Snapshot) -> SnapshotEntry {
        SnapshotEntry(
            number: snapshot.number.value, uuid: snapshot.about.uuid, name: snapshot.about.name, size: snapshot.size,
            createdAt: 0)
    }
}
