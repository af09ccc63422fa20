import CsnapCore
package import CsnapStore

/// Figures of an enumeration; what went wrong first.
package struct ImageReport: Sendable {
    package static let problemLimit = 20
    package var sequences = 0
    package var images = 0
    package var problems: [String] = []

    package init() {}

    package var isOver: Bool { problems.count >= Self.problemLimit }

    mutating func problem(_ text: String) {
        if !isOver { problems.append(text) }
    }

    package mutating func add(_ other: ImageReport) {
        sequences += other.sequences
        images += other.images
        problems += other.problems
    }
}

/// Power fails at each request of a sequence of operations: every subset of at most `subsetLimit` unsynced writes,
/// and torn ones. Each image is taken, checked, and compared with the model (docs/testing.md §8).
package struct CrashImages {
    static let subsetLimit = 8
    package var report = ImageReport()
    let format: StoreFormat
    /// Images after which a server must not only stand, but work: each so many-th.
    private static let workPeriod = 16

    package init() throws(StoreFormatError) { format = try StoreWorld.format() }

    /// What every sequence begins with, so that there is something to lose.
    package static let beginnings: [[StoreOperation]] = [
        [],
        [.create, .write([0..<4]), .create, .write([0..<1, 7..<9])],
        [.create, .write([0..<6]), .create, .checkpoint, .write([2..<8]), .deleteOldest, .create],
        [
            .create, .write([0..<10]), .create, .write([0..<10]), .deleteOldest, .settle, .create, .write([3..<4]),
            .takeOver, .prepare, .write([4..<6]),
        ],
        [.create, .write([0..<10]), .checkpoint, .restart, .create, .write([0..<8]), .restart, .writer],
        [
            .create, .write([0..<10]), .create, .write([0..<10]), .create, .checkpoint, .write([0..<10]),
            .deleteOldest, .maintain, .deleteNewest, .checkpoint, .maintain,
        ],
        [.create, .write([0..<10]), .takeOver, .create, .write([2..<9]), .takeOver, .create, .takeOver, .takeOver],
        [.create, .write([0..<5]), .prepare, .create, .write([0..<10]), .checkpoint, .deleteOldest, .settle, .restart],
        [
            .create, .write([0..<4]), .branch, .writeBranch(StoreOperation.parts), .create, .write([0..<10]),
            .writeBranch(StoreOperation.otherParts),
        ],
        [
            .create, .branch, .writeBranch(StoreOperation.parts), .checkpoint, .writeBranch(StoreOperation.otherParts),
            .maintain, .takeOver, .branch, .writeBranch(StoreOperation.parts), .deleteBranch, .maintain,
        ],
    ]

    /// The sequences of `length` operations after each beginning whose number is `part` modulo `parts`.
    package mutating func enumerate(length: Int, part: Int = 0, of parts: Int = 1, _ alphabet: [StoreOperation]) {
        var count = 1
        for _ in 0..<length { count *= alphabet.count }
        for beginning in Self.beginnings {
            for number in Swift.stride(from: part, to: count, by: parts) {
                var rest = number
                let sequence = (0..<length).map { _ in
                    defer { rest /= alphabet.count }
                    return alphabet[rest % alphabet.count]
                }
                run(beginning, sequence)
                if report.isOver { return }
            }
        }
    }

    /// A long sequence drawn from a seed.
    package mutating func random(seed: UInt64) {
        var generator = Generator(seed: seed)
        let beginning = Self.beginnings[generator.next(below: Self.beginnings.count)]
        let length = 3 + generator.next(below: 10)
        run(beginning, (0..<length).map { _ in StoreOperation.random(&generator) })
    }

    package mutating func run(_ beginning: [StoreOperation], _ sequence: [StoreOperation]) {
        report.sequences += 1
        do {
            var world = try StoreWorld(format)
            for operation in beginning { try world.perform(operation) }
            for operation in sequence {
                let before = world
                let origin = world.originDisk.image
                let base = world.disk.image
                world.disk.events = []
                world.disk.isRecording = true
                do { try world.perform(operation) } catch StoreWorldError.store(.full) {}
                world.disk.isRecording = false
                let story = Story(
                    tenure: world.tenure.next, models: before.interrupted(operation), origin: origin,
                    text: "\(beginning) \(sequence) at \(operation)")
                images(base, [], world.disk.events, story)
                done(world, "\(beginning) \(sequence), \(operation) done")
            }
            if let problem = world.problem() { report.problem("\(beginning) \(sequence): \(problem)") }
        } catch {
            report.problem("\(beginning) \(sequence): \(error)")
        }
    }

    /// A server is killed at each of its requests, and the power fails while its successor takes the store: what the
    /// dead one had written, but not flushed, is read by the successor and lost all the same.
    package mutating func runKilled(_ beginning: [StoreOperation], _ operation: StoreOperation) {
        report.sequences += 1
        for death in 0..<200 {
            do {
                var world = try StoreWorld(format)
                for operation in beginning { try world.perform(operation) }
                let before = world
                let origin = world.originDisk.image
                world.path.requestsLeft = death
                do throws(StoreWorldError) {
                    try world.perform(operation)
                    return
                } catch {
                    if error == .store(.full) { return }
                }
                let (base, unsynced) = (world.disk.durable, world.path.unsynced)
                if unsynced.isEmpty { continue }
                let disk = SimulatedDisk(world.disk.image, durable: base)
                disk.isRecording = true
                let story = Story(
                    tenure: world.tenure.next.next.next, models: before.interrupted(operation), origin: origin,
                    text: "\(beginning) \(operation) killed at \(death)")
                _ = try StoreWorld(disk, world.originDisk, before.model, world.tenure.next.next)
                images(base, unsynced, disk.events, story)
            } catch {
                report.problem("\(beginning) \(operation) killed at \(death): \(error)")
            }
        }
    }

    /// What a power failure is to be judged by: before or after one operation, or of a branch after some chunks, never
    /// anything else.
    private struct Story {
        /// Of whoever takes the store next.
        let tenure: Tenure
        let models: [StoreModel]
        let origin: DiskImage
        let text: String
    }

    /// The images of one operation, whose events these are.
    private mutating func images(
        _ base: DiskImage, _ unsyncedBefore: [DiskWrite], _ events: [DiskEvent], _ story: Story
    ) {
        var durable = base
        var unsynced = unsyncedBefore
        for event in events {
            switch event {
            case .write(let write): unsynced.append(write)
            case .flush:
                for write in unsynced { durable.write(write) }
                unsynced = []
                continue
            }
            // Before this write: the subsets without it were had with the one before.
            for subset in subsets(unsynced) { judge(durable, subset, story) }
            for torn in tearings(unsynced) { judge(durable, torn, story) }
        }
    }

    /// All is done and acknowledged: whatever was not flushed may be gone, what was promised may not.
    private mutating func done(_ world: StoreWorld, _ text: String) {
        let story = Story(
            tenure: world.tenure.next, models: [world.model], origin: world.originDisk.image, text: text)
        for subset in subsets(world.path.unsynced) + [[]] { judge(world.disk.durable, subset, story) }
    }

    private func subsets(_ writes: [DiskWrite]) -> [[DiskWrite]] {
        guard let last = writes.last else { return [] }
        let others = writes.dropLast().suffix(Self.subsetLimit - 1)
        return (0..<1 << others.count).map { mask in
            others.enumerated().filter { mask >> $0.offset & 1 == 1 }.map { $0.element } + [last]
        }
    }

    /// All unsynced writes with the last one, or each of them, torn: cut off after each sector, its second half, every
    /// other sector.
    private func tearings(_ writes: [DiskWrite]) -> [[DiskWrite]] {
        guard let last = writes.last else { return [] }
        let count = last.bytes.count / DiskImage.sector
        let cuts = (1..<max(2, min(count, 9))).map { cut in { (sector: Int) in sector < cut } }
        let others: [(Int) -> Bool] = [{ $0 >= count / 2 }, { $0 % 2 == 0 }, { $0 % 2 == 1 }]
        var images = (cuts + others).map { keeps in Array(writes.dropLast()) + last.torn(keeps) }
        if writes.count > 1 {
            images += others.map { keeps in writes.flatMap { $0.torn(keeps) } }
        }
        return images
    }

    private mutating func judge(_ durable: DiskImage, _ writes: [DiskWrite], _ story: Story) {
        report.images += 1
        var image = durable
        for write in writes { image.write(write) }
        do throws(StoreRefusal) {
            var world = try StoreWorld(
                SimulatedDisk(image), SimulatedDisk(story.origin), story.models[0], story.tenure)
            var differences: [String] = []
            for model in story.models {
                world.model = model
                guard let problem = world.problem() else { return work(&world, story) }
                differences.append(problem)
            }
            report.problem("\(story.text): \(differences)")
        } catch {
            report.problem("\(story.text): refused: \(error)")
        }
    }

    /// The successor does something, and so does the next one.
    private mutating func work(_ world: inout StoreWorld, _ story: Story) {
        guard report.images % Self.workPeriod == 0 else { return }
        world.uuid = 1000
        world.version = 1000
        do throws(StoreWorldError) {
            let operations: [StoreOperation] = [
                .create, .write([0..<StoreWorld.chunks]), .writeBranch(StoreOperation.otherParts), .checkpoint,
                .takeOver,
            ]
            for operation in operations {
                do throws(StoreWorldError) {
                    try world.perform(operation)
                } catch {
                    guard error == .store(.full) else { throw error }
                }
            }
            if let problem = world.problem() { report.problem("\(story.text): its successor: \(problem)") }
        } catch {
            report.problem("\(story.text): its successor: \(error)")
        }
    }
}
