import CsnapCore
package import CsnapStore

/// A server dies with writes under way, which land when its successor has begun to work: at each of its writes and
/// flushes, in each phase of the successor's taking, and after each of its operations.
///
/// What the successor saw when it took the store is what counts: the late writes change nothing, for it or for the
/// next one (docs/data-plane.md, "late writes land where nobody looks").
package struct LateWrites {
    package var report = ImageReport()
    let format: StoreFormat

    package init() throws(StoreFormatError) { format = try StoreWorld.format(windows: 40, slots: 16) }

    /// What the dying server does, its taking of the store included.
    package static let lives: [[StoreOperation]] = [
        [.create, .write([0..<4]), .create, .write([0..<2, 7..<9]), .checkpoint, .write([4..<6]), .rename],
        [
            .create, .write([0..<10]), .create, .write([2..<8]), .deleteOldest, .settle, .create, .write([0..<10]),
            .checkpoint, .deleteNewest, .settle, .create, .write([3..<5]),
        ],
        [
            .create, .write([0..<7]), .takeOver, .create, .write([0..<9]), .restart, .create, .write([0..<10]),
            .takeOver,
        ],
        [
            .create, .write([0..<4]), .branch, .writeBranch(StoreOperation.parts), .checkpoint,
            .writeBranch(StoreOperation.otherParts), .maintain, .branch, .writeBranch(StoreOperation.parts),
            .deleteBranch, .settle, .writeBranch(StoreOperation.otherParts),
        ],
    ]

    /// What its successor does before, between and after the late writes.
    package static let successors: [[StoreOperation]] = [
        [],
        [
            .writeBranch(StoreOperation.parts), .create, .write([0..<10]), .checkpoint,
            .writeBranch(StoreOperation.otherParts), .create, .write([0..<10]),
        ],
        [
            .deleteBranch, .deleteOldest, .maintain, .maintain, .checkpoint, .create, .write([0..<10]), .checkpoint,
            .create,
            .write([0..<10]), .checkpoint,
        ],
    ]

    /// What of the writes that had returned, but were not flushed, has landed before the death.
    enum Landed: CaseIterable {
        case all
        case none
        case onlyLast
        case allButLast
    }

    /// Before the successor's first request, at each request of its taking, during some of its work, and at the end.
    private static let moments = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 25, 30, 40, 60, 1 << 20]

    /// The deaths whose number is `part` modulo `parts`.
    package mutating func enumerate(part: Int = 0, of parts: Int = 1) {
        for life in Self.lives {
            for death in Swift.stride(from: part, to: requests(of: life), by: parts) {
                run(life, death: death, Self.successors, Self.moments)
                if report.isOver { return }
            }
        }
        guard part == 0 else { return }
        for death in Self.windowChange {
            runFlush(death)
            if report.isOver { return }
        }
    }

    /// Its checkpoints write three nodes each, and one of them goes from one window of 64 nodes to the next.
    private static let checkpoints: [StoreOperation] = Array(
        repeating: [.create, .write([0..<chunks]), .checkpoint, .deleteOldest, .settle], count: 24
    ).flatMap { $0 }
    /// They fill the holes of the dead one's last windows, to the last place of each.
    private static let moreCheckpoints: [StoreOperation] = Array(
        repeating: [.create, .write([0..<3]), .checkpoint, .deleteOldest, .maintain], count: 32
    ).flatMap { $0 }
    private static let chunks = StoreWorld.chunks
    /// Three flushes of several writes a round; in these the window of nodes becomes full.
    private static let windowChange = 57..<72

    /// A server dies in a flush of several writes, of which only the last has landed: were it the record that opens the
    /// next window, the one before would count as sealed. The others land when its successor has worked.
    private mutating func runFlush(_ death: Int) {
        do {
            var dead = try StoreWorld(format)
            var models = [dead.model]
            dead.path.fullFlushesLeft = death
            do {
                for operation in Self.checkpoints {
                    models = dead.interrupted(operation)
                    try dead.perform(operation)
                }
                return
            } catch StoreWorldError.store {}
            report.sequences += 1
            if let problem = try inherit(dead, models, Self.moreCheckpoints, 1 << 20, .onlyLast) {
                report.problem("checkpoints, death at flush \(death): \(problem)")
            }
        } catch {
            report.problem("checkpoints, death at flush \(death): \(error)")
        }
    }

    /// One life, the deaths of a range, some of the moments.
    package mutating func run(_ life: [StoreOperation], deaths: Range<Int>, _ successors: [[StoreOperation]]) {
        for death in deaths { run(life, death: death, successors, [0, 20, 60, 1 << 20]) }
    }

    private mutating func requests(of life: [StoreOperation]) -> Int {
        do {
            var world = try StoreWorld(format)
            let before = world.path.requests
            for operation in life { try world.perform(operation) }
            return world.path.requests - before
        } catch {
            report.problem("a life: \(error)")
            return 0
        }
    }

    /// One life and its death, with all that may follow.
    private mutating func run(
        _ life: [StoreOperation], death: Int, _ successors: [[StoreOperation]], _ moments: [Int]
    ) {
        let text = "life \(life.count), death at \(death)"
        do {
            var dead = try StoreWorld(format)
            var models = [dead.model]
            dead.path.requestsLeft = death
            do {
                for operation in life {
                    models = dead.interrupted(operation)
                    try dead.perform(operation)
                }
                models = [dead.model]
            } catch StoreWorldError.store {}
            // Without unsynced writes it is all the same what of them has landed.
            let landings = dead.path.unsynced.isEmpty ? [.all] : Landed.allCases
            for successor in successors {
                for moment in moments {
                    for landed in landings {
                        report.sequences += 1
                        guard let problem = try inherit(dead, models, successor, moment, landed) else { continue }
                        let what = "\(landed), successor \(successor.count), late at \(moment)"
                        report.problem("\(text), \(what): \(problem)")
                    }
                }
            }
        } catch {
            report.problem("\(text): \(error)")
        }
    }

    /// From the death on; nil: all is right.
    private mutating func inherit(
        _ dead: StoreWorld, _ models: [StoreModel], _ successor: [StoreOperation], _ moment: Int, _ landed: Landed
    ) throws -> String? {
        let unsynced = dead.path.unsynced
        let disk = SimulatedDisk(dead.disk.durable)
        for (index, write) in unsynced.enumerated() {
            let isLast = index == unsynced.count - 1
            let isThere =
                switch landed {
                case .all: true
                case .none: false
                case .onlyLast: isLast
                case .allButLast: !isLast
                }
            if isThere { disk.image.write(write) }
            // Nobody knows of what lands late whether it had landed already.
            disk.hold(write, at: moment)
        }
        if let write = dead.path.inFlight { disk.hold(write, at: moment) }
        let originDisk = SimulatedDisk(dead.originDisk.image)
        var heir = try StoreWorld(disk, originDisk, models[0], dead.tenure.next.next)
        // An operation under way when its server died may have become durable, or not.
        var problems: [String] = []
        for model in models {
            heir.model = model
            guard let problem = model.difference(&heir.store) else { break }
            problems.append(problem)
        }
        if problems.count == models.count { return "taken: \(problems.joined(separator: "; "))" }
        heir.version = 1000
        heir.uuid = 1000
        for operation in successor {
            do { try heir.perform(operation) } catch StoreWorldError.store(.full) { break }
            if let problem = heir.problem() { return "\(operation): \(problem)" }
        }
        if let offset = disk.trespass { return "byte \(offset) was written though the dead one may still write there" }
        disk.land { _ in true }
        if let problem = heir.problem() { return "the heir, late: \(problem)" }
        var next = try StoreWorld(disk, heir.originDisk, heir.model, heir.tenure.next)
        report.images += 1
        return next.problem().map { "the next one: \($0)" }
    }
}
