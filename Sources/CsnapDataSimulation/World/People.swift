import CsnapCore
import CsnapSession
import CsnapStore
import CsnapStoreSimulation

/// Whoever makes, deletes and renames snapshots and branches, over sessions for commands; as SnapshotForwarder repeats
/// a command until it has an answer.
final class People {
    private struct Running {
        var command: SnapshotCommand
        var wasSent = false
        var answers = 0
    }

    private unowned let world: DataWorld
    private var running: Running?
    private var connection: Connection?
    private var lastName: UInt64 = 0
    /// Creations refused in a row, because a writer is lost.
    private var refusals = 0
    private var wantsLast = true
    private var restSince: Int64 = 0
    /// What a uuid's command was answered.
    private var made: [(uuid: Bits128, number: UInt64)] = []

    init(_ world: DataWorld) { self.world = world }

    /// The last snapshot, with all in peace, is made.
    var isDone: Bool { !world.isBusy && running == nil && !wantsLast }

    var waitsFor: String { running.map { "\($0.command)" } ?? "a last snapshot" }

    func dismantle() { connection = nil }

    func work() {
        world.after(world.isBusy ? world.milliseconds(20, 150) : 200_000_000) { [self] in
            if running == nil { next() }
            work()
        }
    }

    private func next() {
        guard world.isBusy else { return rest() }
        let names = world.model.names
        let branches = world.branches.names
        let choice = world.random.next(below: 20)
        switch choice {
        case 0...1: begin(.list(volume: DataWorld.volume, after: 0))
        case 2 where !names.isEmpty:
            begin(.rename(volume: DataWorld.volume, from: somebody(names + branches), to: freshName()))
        case 8...9 where branches.count < world.plan.branches && !names.isEmpty:
            branch(from: world.chance(1, in: 8) ? somebody(names + branches) : somebody(names))
        case 10 where !branches.isEmpty: begin(.delete(volume: DataWorld.volume, name: somebody(branches)))
        case 3...7 where names.count > max(2, world.plan.snapshots / 4), _ where names.count > world.plan.snapshots:
            begin(.delete(volume: DataWorld.volume, name: somebody(names)))
        default: create()
        }
    }

    /// Faults are over: what waits for room gets some, and one more snapshot is made.
    private func rest() {
        if restSince == 0 { restSince = world.now }
        let names = world.branches.names + world.model.names
        if world.now - restSince > 8_000_000_000, let oldest = names.first {
            begin(.delete(volume: DataWorld.volume, name: oldest))
        } else if wantsLast {
            create()
        }
    }

    private func somebody(_ names: [String]) -> String { names[world.random.next(below: names.count)] }

    private func freshName() -> String {
        lastName += 1
        return "s\(lastName)"
    }

    private func create() {
        let name = freshName()
        begin(.create(volume: DataWorld.volume, name: name, uuid: Bits128(high: 50, low: lastName)))
    }

    private func branch(from: String) {
        let name = freshName()
        begin(.branch(volume: DataWorld.volume, from: from, name: name, uuid: Bits128(high: 50, low: lastName)))
    }

    // MARK: - One command

    private func begin(_ command: SnapshotCommand) {
        world.note(50, lastName, 0, "people: \(command)")
        world.statistics[.commands] += 1
        running = Running(command: command)
        ask()
    }

    private func askAgain() { world.after(world.milliseconds(20, 100)) { [self] in ask() } }

    private func ask() {
        guard running != nil else { return }
        let agents = world.nodes.filter { $0.isUp && !$0.isCut && $0.standing != .evicted }
        guard let server = world.director.server, server.isListening, !agents.isEmpty else { return askAgain() }
        let node = agents[world.random.next(below: agents.count)]
        let hello = SessionHello(
            versions: SessionWire.versions, process: node.process,
            client: Bits128(high: 60, low: world.random.next()), machineID: node.machineID,
            kernelBootID: node.kernelBootID, volume: "", image: SessionHello.commands, tenure: server.tenure)
        var isOpen = true
        let end = { [self] in
            guard isOpen else { return }
            isOpen = false
            connection?.close()
            connection = nil
            if running != nil { askAgain() }
        }
        let opening = Connection(
            to: server, world,
            opened: { [self] in self.connection?.send(.hello(hello)) },
            received: { [self] frame in
                guard isOpen, let command = running?.command else { return }
                switch frame {
                case .welcome:
                    running?.wasSent = true
                    self.connection?.send(.command(request: 1, epoch: server.tenure.epoch, command))
                case .outcome(_, _, let outcome): if heard(outcome) { end() }
                case .refused, .goAway: end()
                case .grant, .error, .map, .data, .written, .barrierBegin, .barrierEnd, .snapshotsChanged, .snapshots,
                    .changes, .pong:
                    break
                }
            }, lost: end)
        connection = opening
        // A server that forgot it, or a half-open connection.
        world.after(6_000_000_000) { [self] in if isOpen, connection === opening { end() } }
        if world.isBusy, world.plan.has(.connections), world.chance(1, in: 10) {
            world.after(world.milliseconds(1, 30)) { opening.cut(isHalfOpen: false) }
        }
    }

    /// Whether that was all on this connection.
    private func heard(_ outcome: CommandOutcome) -> Bool {
        guard let command = running?.command else { return true }
        world.note(51, lastName, 0, "people hear \(outcome)")
        if case .refused(.notActive, _) = outcome { return true }
        running = nil
        switch (command, outcome) {
        case (.create(_, let name, let uuid, _), .snapshot(let entry)): created(name, uuid, entry)
        case (.branch(_, let from, let name, let uuid), .snapshot(let entry)):
            world.statistics[.branches] += 1
            if world.branches.names.contains(from) { world.fail("D5", "\(name) is a branch of the branch \(from)") }
            created(name, uuid, entry)
        case (.create, .refused(let reason, _)): refused(reason)
        case (.delete, .refused(.storeFull, _)), (.branch, .refused(.storeFull, _)): full()
        case (.branch(_, let from, _, _), .refused(.isBranch, _)) where world.branches.names.contains(from): break
        case (.branch, .refused(.unknownSnapshot, _)): break
        case (.delete(_, let name, _), .refused(.inUse, _)) where world.branches.hasBranch(name):
            world.statistics[.keptBases] += 1
        case (.delete, .refused(.unknownSnapshot, _)), (.delete, .refused(.inUse, _)), (.delete, .snapshot),
            (.rename, .refused), (.rename, .snapshot), (.list, .snapshots):
            break
        default: world.fail("D5", "\(command) is answered \(outcome)")
        }
        return true
    }

    private func created(_ name: String, _ uuid: Bits128, _ entry: SnapshotEntry) {
        refusals = 0
        let number = SnapshotNumber(entry.number)
        if entry.uuid != uuid || !(world.model.knows(number, uuid) || world.branches.knows(number, uuid)) {
            world.fail("D5", "the creation of \(name) is answered by snapshot \(entry.number), which it did not make")
        }
        if let before = made.first(where: { $0.uuid == uuid }), before.number != entry.number {
            world.fail("D5", "one command, two snapshots: \(before.number) and \(entry.number)")
        }
        made.append((uuid, entry.number))
        if !world.isBusy { wantsLast = false }
    }

    /// Even a deletion finds no room: too much is kept away because of dead servers. Somebody resets their machines.
    private func full() {
        let others = world.nodes.filter { $0 !== world.director.server?.node }
        let node = others[world.random.next(below: others.count)]
        node.crash(reboot: world.milliseconds(300, 600))
        world.director.strike(node, isFenced: true)
    }

    private func refused(_ reason: CommandRefusal) {
        world.statistics[.refusedSnapshots] += 1
        if reason == .clientLate { world.statistics[.lateClients] += 1 }
        if reason == .storeFull { full() }
        guard reason == .writerLost else { return }
        refusals += 1
        guard refusals > 3 || world.plan.has(.fences) else { return }
        for node in world.nodes where !node.isUp { world.director.strike(node, isFenced: true) }
    }
}
