import CsnapCore
package import CsnapStore

/// Figures of an enumeration; what went wrong first.
package struct ImageReport: Sendable {
    package var sequences = 0
    package var images = 0
    package var problems: [String] = []

    package init() {}

    mutating func problem(_ text: String) {
        if problems.count < 20 { problems.append(text) }
    }
}

/// Power fails at each request of a sequence of operations: every subset of at most `subsetLimit` unsynced writes,
/// and torn ones. Each image is taken, checked, and compared with the model (testing.md, D4 and D8).
package struct CrashImages {
    static let subsetLimit = 8
    package var report = ImageReport()
    let format: StoreFormat

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
    ]

    /// All sequences of `length` operations after each beginning, or every `stride`-th of them.
    package mutating func enumerate(length: Int, stride: Int = 1, _ alphabet: [StoreOperation]) {
        var count = 1
        for _ in 0..<length { count *= alphabet.count }
        for (index, beginning) in Self.beginnings.enumerated() {
            for number in Swift.stride(from: index % stride, to: count, by: stride) {
                var rest = number
                let sequence = (0..<length).map { _ in
                    defer { rest /= alphabet.count }
                    return alphabet[rest % alphabet.count]
                }
                run(beginning, sequence)
                report.sequences += 1
                if report.problems.count >= 20 { return }
            }
        }
    }

    package mutating func run(_ beginning: [StoreOperation], _ sequence: [StoreOperation]) {
        do {
            var world = try StoreWorld(format)
            for operation in beginning { try world.perform(operation) }
            for operation in sequence {
                let before = world.model
                let originBefore = world.originDisk.image
                let base = world.disk.image
                world.disk.events = []
                world.disk.isRecording = true
                do { try world.perform(operation) } catch StoreWorldError.store(.full) {}
                world.disk.isRecording = false
                images(base, world.disk.events, before, originBefore, world, "\(beginning) \(sequence) at \(operation)")
            }
            if let problem = world.problem() { report.problem("\(beginning) \(sequence): \(problem)") }
        } catch {
            report.problem("\(beginning) \(sequence): \(error)")
        }
    }

    /// The images of one operation, whose events these are.
    private mutating func images(
        _ base: DiskImage, _ events: [DiskEvent], _ before: StoreModel, _ originBefore: DiskImage,
        _ after: StoreWorld, _ what: @autoclosure () -> String
    ) {
        var durable = base
        var unsynced: [DiskWrite] = []
        for (index, event) in events.enumerated() {
            switch event {
            case .write(let write): unsynced.append(write)
            case .flush:
                for write in unsynced { durable.write(write) }
                unsynced = []
                continue
            }
            let isLast = index == events.count - 1
            // Before this write: the subsets without it were had with the one before.
            for subset in subsets(unsynced) {
                judge(durable, subset, after.epoch, [(before, originBefore), (after.model, originBefore)], what())
            }
            for torn in tearings(unsynced) {
                judge(durable, torn, after.epoch, [(before, originBefore), (after.model, originBefore)], what())
            }
            if isLast { break }
        }
        // All is done and acknowledged: whatever was not flushed may be gone, what was promised may not.
        for subset in subsets(unsynced) + [[]] {
            judge(durable, subset, after.epoch, [(after.model, after.originDisk.image)], what() + ", done")
        }
    }

    private func subsets(_ writes: [DiskWrite]) -> [[DiskWrite]] {
        guard let last = writes.last else { return [] }
        let others = writes.dropLast().suffix(Self.subsetLimit - 1)
        return (0..<1 << others.count).map { mask in
            others.enumerated().filter { mask >> $0.offset & 1 == 1 }.map { $0.element } + [last]
        }
    }

    /// All unsynced writes with the last one torn: its first half, its second half, every other sector.
    private func tearings(_ writes: [DiskWrite]) -> [[DiskWrite]] {
        guard let last = writes.last else { return [] }
        let half = last.bytes.count / DiskImage.sector / 2
        return [{ $0 < half }, { $0 >= half }, { $0 % 2 == 0 }].map { keeps in
            Array(writes.dropLast()) + last.torn(keeps)
        }
    }

    private mutating func judge(
        _ durable: DiskImage, _ writes: [DiskWrite], _ epoch: UInt64, _ allowed: [(StoreModel, DiskImage)],
        _ what: @autoclosure () -> String
    ) {
        report.images += 1
        var image = durable
        for write in writes { image.write(write) }
        do throws(StoreRefusal) {
            var differences: [String] = []
            var world = try StoreWorld(
                SimulatedDisk(image), SimulatedDisk(allowed[0].1), allowed[0].0, epoch: epoch + 1)
            for (model, origin) in allowed {
                world.model = model
                world.originDisk.image = origin
                guard let problem = world.problem() else { return }
                differences.append(problem)
            }
            report.problem("\(what()): \(differences)")
        } catch {
            report.problem("\(what()): refused: \(error)")
        }
    }
}
