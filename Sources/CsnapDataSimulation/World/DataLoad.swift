import CsnapCore
import CsnapSession
import CsnapStoreSimulation

/// The programs of one node: each writes blocks of its own, reads snapshots and branches, writes branches, and waits
/// for what it asked.
///
/// A chunk of eight sectors is shared by all: sectors 1 to 6 belong to a node each (three nodes, twice: a machine that
/// rebooted writes elsewhere than its old kernel's late writes land); the last sector of a chunk and the first of the
/// next one are a seam, for the probes of causality.
final class DataLoad {
    static let sector = 512

    private unowned let world: DataWorld
    private unowned let client: ClientShell
    private var busy = [Bool](repeating: false, count: DataWorld.chunks)
    private var outstanding = 0
    private static let readsAtOnce = 16
    /// More than a client asks for at once.
    private static let branchWritesAtOnce = 6

    init(_ world: DataWorld, _ client: ClientShell) {
        self.world = world
        self.client = client
    }

    static func content(_ version: UInt32, _ count: Int) -> [UInt8] {
        let word = UInt64(version) &* 0x9E37_79B9_7F4A_7C15 | 1
        return (0..<count).map { UInt8(truncatingIfNeeded: word >> UInt64($0 % 8 * 8)) }
    }

    func work() {
        world.after(world.milliseconds(1, world.plan.pace)) { [weak self, unowned world] in
            guard let self, world.isBusy, !client.isDead else { return }
            step()
            work()
        }
    }

    private func step() {
        switch world.random.next(below: 20) {
        case 0: flush()
        case 1...7: read()
        case 8...11 where client.exports.contains { $0.base != nil }: writeBranch()
        default: write()
        }
    }

    private func write() {
        let chunk = world.random.next(below: DataWorld.chunks)
        guard outstanding < 8, !busy[chunk] else { return }
        let sector = 1 + client.node.index % 3 + 3 * client.node.generation
        let bytes =
            world.chance(1, in: 10)
            ? [UInt8](repeating: 0, count: Self.sector) : Self.content(world.nextVersion(), Self.sector)
        busy[chunk] = true
        outstanding += 1
        client.write(offset: chunk * DataWorld.chunkSize + sector * Self.sector, bytes) { [weak self] _ in
            self?.busy[chunk] = false
            self?.outstanding -= 1
        }
    }

    private func flush() { client.write(offset: 0, []) { _ in } }

    private func read() {
        guard !client.exports.isEmpty, client.readCount < Self.readsAtOnce else { return }
        var snapshot = client.exports[world.random.next(below: client.exports.count)]
        if world.chance(1, in: 3), let last = client.exports.last { snapshot = last }
        let first = someChunk(isOfBranch: snapshot.base != nil)
        let count = 1 + world.random.next(below: min(6, DataWorld.chunks - first))
        client.read(snapshot, ChunkRange(first: UInt64(first), count: UInt32(count)))
    }

    /// The first ones of a branch are written, and read, again and again.
    private func someChunk(isOfBranch: Bool) -> Int {
        world.random.next(below: isOfBranch && world.chance(1, in: 2) ? 3 : DataWorld.chunks)
    }

    /// Some sectors of a chunk, whoever else writes there.
    private func writeBranch() {
        let branches = client.exports.filter { $0.base != nil }
        guard client.branchWriteCount < Self.branchWritesAtOnce else { return }
        let branch = branches[world.random.next(below: branches.count)]
        let sectors = DataWorld.chunkSize / Self.sector
        let first = world.chance(1, in: 3) ? 0 : world.random.next(below: sectors)
        let count = world.chance(1, in: 3) ? sectors - first : 1 + world.random.next(below: sectors - first)
        let offset = someChunk(isOfBranch: true) * DataWorld.chunkSize + first * Self.sector
        let length = count * Self.sector
        client.write(
            BranchData(
                branch: branch.number, offset: UInt64(offset), length: UInt32(length),
                bytes: world.chance(1, in: 10) ? [] : Self.content(world.nextVersion(), length)))
    }
}

/// Messages between programs: a write on one node, a word to another, a write there. No snapshot has the second alone.
final class Probes {
    private struct Probe {
        var cause: Int
        var causeVersion: UInt32
        var effect: Int
        var effectVersion: UInt32
    }

    private unowned let world: DataWorld
    /// The last version that was given to a seam, and whether somebody writes there.
    private var versions = [[UInt32]](repeating: [], count: DataWorld.chunks)
    private var busy = [Bool](repeating: false, count: DataWorld.chunks)
    private var probes: [Probe] = []

    init(_ world: DataWorld) { self.world = world }

    func work() {
        world.after(world.milliseconds(5, 3 * world.plan.pace)) { [self] in
            guard world.isBusy else { return }
            begin()
            work()
        }
    }

    private func begin() {
        guard let cause = freeSeam(), let first = somebody() else { return }
        write(cause, first) { [self] causeVersion in
            world.after(world.milliseconds(0, 2)) { [self] in
                guard world.isBusy, let effect = freeSeam(), let second = somebody() else { return }
                let version = write(effect, second) { _ in }
                world.statistics[.probes] += 1
                probes.append(
                    Probe(cause: cause, causeVersion: causeVersion, effect: effect, effectVersion: version))
            }
        }
    }

    /// The power was lost: what was not flushed may be gone, causes before their effects.
    func forget() { probes = [] }

    private func somebody() -> ClientShell? {
        let clients = world.nodes.compactMap { $0.client }.filter { !$0.isDead }
        return clients.isEmpty ? nil : clients[world.random.next(below: clients.count)]
    }

    private func freeSeam() -> Int? {
        let seam = world.random.next(below: DataWorld.chunks - 1)
        return busy[seam] ? nil : seam
    }

    /// A seam whose client dies in the write is not used again: its late write may land at any time.
    @discardableResult
    private func write(_ seam: Int, _ client: ClientShell, _ done: @escaping (UInt32) -> Void) -> UInt32 {
        let version = world.nextVersion()
        versions[seam].append(version)
        busy[seam] = true
        let offset = (seam + 1) * DataWorld.chunkSize - DataLoad.sector
        client.write(offset: offset, DataLoad.content(version, 2 * DataLoad.sector)) { [self] isDone in
            busy[seam] = false
            if isDone { done(version) } else { versions[seam].removeAll { $0 == version } }
        }
        return version
    }

    /// D2: an effect in this image without its cause.
    func problem(in image: DiskImage) -> String? {
        let shown = versions.indices.map { shownVersion($0, image) }
        for probe in probes where shown[probe.effect] >= probe.effectVersion {
            if shown[probe.cause] < probe.causeVersion {
                return "seam \(probe.effect) shows an effect, and seam \(probe.cause) not its cause"
            }
        }
        return nil
    }

    private func shownVersion(_ seam: Int, _ image: DiskImage) -> UInt32 {
        guard seam < DataWorld.chunks - 1 else { return 0 }
        let bytes = image.bytes(8, at: (seam + 1) * DataWorld.chunkSize)
        return versions[seam].last { DataLoad.content($0, 8) == bytes } ?? 0
    }
}
