import CsnapCore
import CsnapStore

/// Server after server is killed at a random request, each with writes held back that land at random moments while
/// later ones work, at the latest when its tenure is settled (docs/data-plane.md, "Settling").
package struct LateChains {
    package var report = ImageReport()
    /// Tenures that were settled while others had quarantined space.
    package var settled = 0
    private static let slots = 64

    package init() {}

    package mutating func run(seed: UInt64) {
        report.sequences += 1
        do {
            // Some of them are full soon.
            let windows = seed % 4 == 1 ? 24 : 56
            var chain = try Chain(seed: seed, format: StoreWorld.format(windows: windows, slots: Self.slots))
            // Below the number of slots: 256 tenures are thought to take longer than any late write.
            for _ in 0..<4 + seed % 12 {
                try chain.live()
                try chain.succeed()
                report.images += 1
            }
            try chain.end()
            settled += chain.settled
        } catch {
            report.problem("chain \(seed): \(error)")
        }
    }

    struct Wrong: Error, CustomStringConvertible {
        let description: String
    }

    private struct Chain {
        var generator: Generator
        var world: StoreWorld
        /// What the store may be: an operation that death interrupted may have become durable, or not.
        var models: [StoreModel] = []
        var settled = 0
        /// Every second operation is a checkpoint, so that tree and catalog go from window to window.
        let isCheckpointing: Bool

        init(seed: UInt64, format: StoreFormat) throws {
            isCheckpointing = seed % 3 == 0
            generator = Generator(seed: seed)
            world = try StoreWorld(format)
        }

        /// The present server works until it is killed.
        mutating func live() throws {
            // At any request; or with more than one write that may have landed or not.
            if generator.next(below: 2) == 0 {
                world.path.requestsLeft = generator.next(below: 90)
            } else {
                world.path.requestsLeft = 500
                world.path.fullFlushesLeft = generator.next(below: 10)
            }
            while true {
                let operation = draw()
                models = world.interrupted(operation)
                do throws(StoreWorldError) {
                    try perform(operation)
                } catch {
                    switch error {
                    case .store(.device(.stopped)), .store(.ended): return
                    case .store(.full): if try makeRoom() { return }
                    case .store: throw Wrong(description: "\(operation): \(error)")
                    }
                }
            }
        }

        private mutating func draw() -> StoreOperation {
            while true {
                if isCheckpointing, generator.next(below: 2) == 0 { return .checkpoint }
                let operation = StoreOperation.random(&generator)
                if operation != .takeOver, operation != .restart { return operation }
            }
        }

        private mutating func perform(_ operation: StoreOperation) throws(StoreWorldError) {
            guard operation == .settle else { return try world.perform(operation) }
            // Some of them only: the oldest.
            let due = world.store.unsettled.prefix(generator.next(below: 3)).map { $0.tenure }
            settle(due)
            do throws(StoreError) {
                try world.store.settle(due.map { .tenure($0) })
                world.store.readersForgot(upTo: world.store.freeStamp)
            } catch {
                throw .store(error)
            }
        }

        /// What is settled has landed.
        private mutating func settle(_ tenures: [Tenure]) {
            world.disk.land { late in tenures.contains(late.tenure) }
            settled += tenures.count
        }

        /// True: it died of it.
        private mutating func makeRoom() throws -> Bool {
            for operation in [StoreOperation.deleteBranch, .deleteOldest, .deleteOldest, .settle] {
                models = world.interrupted(operation)
                do throws(StoreWorldError) {
                    try perform(operation)
                } catch {
                    switch error {
                    case .store(.device(.stopped)), .store(.ended): return true
                    case .store(.full): break
                    case .store: throw Wrong(description: "\(operation): \(error)")
                    }
                }
            }
            return false
        }

        /// The next one takes the store while the dead ones' writes land; some die while they try.
        mutating func succeed() throws {
            try expectNoTrespass()
            let dead = world
            var disk = afterDeath(dead.disk, dead.path, dead.tenure)
            var tenure = dead.tenure.next
            var facts: [SettleFact] = []
            while true {
                let isShort = generator.next(below: 4) == 0
                let path = SimulatedDevice.Path(requestsLeft: isShort ? generator.next(below: 12) : .max)
                do throws(StoreRefusal) {
                    world = try StoreWorld(disk, dead.originDisk, models[0], tenure, settled: facts, path: path)
                    break
                } catch {
                    switch error {
                    case .device(125): disk = afterDeath(disk, path, tenure)
                    case .unsettled where facts.isEmpty:
                        // The operator proves all of them to be off.
                        disk.land { _ in true }
                        facts = (1...3).map { .node(NodeBoot(node: NodeID($0), boot: Boot(.max))) }
                    default: throw error
                    }
                    tenure = tenure.next
                }
            }
            world.uuid = dead.uuid
            world.version = dead.version
            var problems: [String] = []
            for model in models {
                world.model = model
                guard let problem = world.problem() else { return }
                problems.append(problem)
            }
            throw Wrong(description: "taken: \(problems.joined(separator: "; "))")
        }

        /// The disk as the next one finds it, and what is still to come.
        private mutating func afterDeath(
            _ before: SimulatedDisk, _ path: SimulatedDevice.Path, _ tenure: Tenure
        ) -> SimulatedDisk {
            let disk = SimulatedDisk(before.durable)
            for late in before.late { disk.hold(late.write, at: late.at - before.requests, of: late.tenure) }
            for write in path.unsynced {
                if generator.next(below: 2) == 0 { disk.image.write(write) }
                disk.hold(write, at: soon(), of: tenure)
            }
            guard let write = path.inFlight else { return disk }
            switch generator.next(below: 4) {
            case 0: break
            case 1: for part in write.torn({ $0 % 2 == 0 }) { disk.hold(part, at: soon(), of: tenure) }
            default: disk.hold(write, at: soon(), of: tenure)
            }
            return disk
        }

        private mutating func soon() -> Int { generator.next(below: generator.next(below: 2) == 0 ? 200 : 2000) }

        private func expectNoTrespass() throws {
            guard let offset = world.disk.trespass else { return }
            throw Wrong(description: "byte \(offset) was written though a dead server may still write there")
        }

        /// All has landed and is settled: nothing is kept away any more, and all is right.
        mutating func end() throws {
            try expectNoTrespass()
            world.path.requestsLeft = .max
            world.path.fullFlushesLeft = .max
            world.disk.land { _ in true }
            if let problem = world.problem() { throw Wrong(description: "all has landed: \(problem)") }
            try world.perform(.settle)
            if world.store.awaitsSpace { throw Wrong(description: "a sweep is due for ever") }
            guard world.store.unsettled.isEmpty, world.store.space.quarantined == 0 else {
                throw Wrong(description: "space is kept away though all is settled")
            }
            if let problem = world.problem() { throw Wrong(description: "all is settled: \(problem)") }
            try world.perform(.takeOver)
            if let problem = world.problem() { throw Wrong(description: "the last one: \(problem)") }
        }
    }
}
