import CsnapCore
package import CsnapStore

/// A server dies with writes under way, which land when its successor has begun to work: at each of its writes, in
/// each phase of the successor's taking, and after each of its operations.
///
/// What the successor saw when it took the store is what counts: the late writes change nothing, for it or for the
/// next one (docs/data-plane.md, "late writes land where nobody looks").
package struct LateWrites {
    package var report = ImageReport()
    let format: StoreFormat

    package init() throws(StoreFormatError) { format = try StoreWorld.format(windows: 32) }

    /// What the dying server does.
    package static let lives: [[StoreOperation]] = [
        [.create, .write([0..<4]), .create, .write([0..<2, 7..<9]), .checkpoint, .write([4..<6])],
        [
            .create, .write([0..<10]), .create, .write([2..<8]), .deleteOldest, .settle, .create, .write([0..<10]),
            .checkpoint, .deleteNewest, .settle, .create, .write([3..<5]),
        ],
    ]

    /// What its successor does before, between and after the late writes.
    package static let successors: [[StoreOperation]] = [
        [.create, .write([0..<10]), .checkpoint, .create, .write([0..<10])],
        [
            .deleteOldest, .maintain, .maintain, .checkpoint, .create, .write([0..<10]), .checkpoint, .create,
            .write([0..<10]), .checkpoint,
        ],
    ]

    /// Every `stride`-th write of each life.
    package mutating func enumerate(stride: Int = 1) {
        for life in Self.lives {
            let count = writes(of: life)
            for death in Swift.stride(from: 0, to: count, by: stride) {
                for successor in Self.successors {
                    // Before the successor's first request, at each request of its taking and some of its work.
                    for moment in [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 25, 30, 40, 60, 1 << 20] {
                        run(life, death: death, successor, moment: moment)
                        if report.problems.count >= 20 { return }
                    }
                }
            }
        }
    }

    /// One life, the deaths of a range.
    package mutating func run(_ life: [StoreOperation], deaths: Range<Int>, _ successor: [StoreOperation]) {
        for death in deaths {
            for moment in [0, 20, 60, 1 << 20] { run(life, death: death, successor, moment: moment) }
        }
    }

    private func writes(of life: [StoreOperation]) -> Int {
        do {
            var world = try StoreWorld(format)
            let before = world.store.device.path.writes
            for operation in life { try world.perform(operation) }
            return world.store.device.path.writes - before
        } catch {
            return 0
        }
    }

    private mutating func run(_ life: [StoreOperation], death: Int, _ successor: [StoreOperation], moment: Int) {
        report.sequences += 1
        func note(_ text: String) {
            report.problem(
                "life \(life.count), death at \(death), successor \(successor.count), late at \(moment): \(text)")
        }
        do {
            var dead = try StoreWorld(format)
            let path = dead.store.device.path
            path.writesLeft = death
            var before = dead.model
            do {
                for operation in life {
                    before = dead.model
                    try dead.perform(operation)
                }
                before = dead.model
            } catch StoreWorldError.store {}
            // What returned since the last flush may not have reached the disk either; of what lands late nobody
            // knows whether it had landed already.
            let late = path.unsynced + [path.inFlight].compactMap { $0 }
            let disk = dead.disk
            disk.late = late.map { (disk.requests + moment, $0) }
            var heir = try StoreWorld(disk, dead.originDisk, before, epoch: dead.epoch + 1)
            // An operation under way when its server died may have become durable, or not.
            if let problem = heir.model.difference(&heir.store) {
                heir.model = try after(life, before, dead) ?? before
                if let other = heir.model.difference(&heir.store) { return note("taken: \(problem); \(other)") }
            }
            heir.version = 1000
            heir.uuid = 1000
            for operation in successor {
                do { try heir.perform(operation) } catch StoreWorldError.store(.full) { break }
                if let problem = heir.problem() { return note("\(operation): \(problem)") }
            }
            disk.requests += 1 << 21
            disk.begin()
            if let problem = heir.problem() { return note("the heir, late: \(problem)") }
            var next = try StoreWorld(disk, heir.originDisk, heir.model, epoch: heir.epoch + 1)
            if let problem = next.problem() { return note("the next one: \(problem)") }
            report.images += 1
        } catch {
            note("\(error)")
        }
    }

    /// The model as it would be had the operation that death interrupted gone through; nil: nothing was interrupted.
    private func after(_ life: [StoreOperation], _ before: StoreModel, _ dead: StoreWorld) throws -> StoreModel? {
        var world = try StoreWorld(format)
        for operation in life {
            let wasHere = world.model == before
            try world.perform(operation)
            if wasHere, world.model != before {
                // The origin was not written: the grant never came.
                var model = world.model
                model.origin = before.origin
                return model
            }
        }
        return nil
    }
}
