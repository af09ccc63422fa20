import Synchronization

/// Writes the same blocks over and over, one request at a time, in an order that is known: so a snapshot of any instant
/// is the image after exactly so many writes, and nothing else.
///
/// Through the devices of several nodes in turn it is a chain: each write is begun when the one before, of another
/// node, was answered. A snapshot that has a write and lacks its cause is then wrong.
package final class CyclicLoad: Sendable {
    package let model: CyclicModel
    /// Numbers of the newest write that was begun, and that was answered.
    private let begun = Atomic<UInt64>(0)
    private let done = Atomic<UInt64>(0)
    private let stopping = Atomic<Bool>(false)
    private let record = Mutex((requests: [LoadRecord.Request](), error: String?.none))
    private let thread: Mutex<ThreadedTask?>

    /// `node` names the region. Each write goes through the next of `sockets`. Any other export than the origin is a
    /// branch.
    package init(node: Int, sockets: [String], export: String = "origin", periodMilliseconds: Int) {
        model = CyclicModel(node: node, isOfBranch: export != "origin")
        thread = Mutex(nil)
        let task = ThreadedTask { self.run(sockets, export, periodMilliseconds) }
        thread.withLock { $0 = task }
    }

    package var issued: UInt64 { begun.load(ordering: .sequentiallyConsistent) }
    package var acknowledged: UInt64 { done.load(ordering: .sequentiallyConsistent) }
    package var error: String? { record.withLock { $0.error } }
    package var isFilled: Bool { acknowledged >= CyclicModel.slots }

    /// Lets the request in hand end.
    package func stop() {
        stopping.store(true, ordering: .relaxed)
        thread.withLock { $0.take() }?.join()
    }

    /// The longest that a request waited which was in hand at some time between those instants; nanoseconds. A device
    /// that died with its node waits for nothing.
    package func longestWait(from begin: Int64, to end: Int64) -> Int64 {
        record.withLock { record in
            if record.error != nil { return 0 }
            return record.requests.lazy.map { request in
                let completed = request.completed ?? end
                return request.issued <= end && completed >= begin ? completed - request.issued : 0
            }.max() ?? 0
        }
    }

    private func run(_ sockets: [String], _ export: String, _ period: Int) {
        do {
            let devices = try sockets.map { socket in
                try NBDClient(
                    path: socket, export: export, cancelled: { [self] in stopping.load(ordering: .relaxed) })
            }
            var sequence: UInt64 = 0
            while !stopping.load(ordering: .relaxed) {
                sequence += 1
                try write(sequence, devices[Int(sequence % UInt64(devices.count))])
                if sequence > CyclicModel.slots { pause(milliseconds: period) }
            }
            for device in devices { device.disconnect() }
        } catch SandboxError.cancelled {
            return
        } catch {
            record.withLock { $0.error = "\(model.name): \(error)" }
        }
    }

    private func write(_ sequence: UInt64, _ device: NBDClient) throws {
        let block = model.pattern(sequence)
        record.withLock { $0.requests.append(.init(issued: boottime(), completed: nil)) }
        begun.store(sequence, ordering: .sequentiallyConsistent)
        try device.write(block.bytes, offset: block.offset)
        done.store(sequence, ordering: .sequentiallyConsistent)
        record.withLock { $0.requests[$0.requests.count - 1].completed = boottime() }
    }
}

/// Which block a node's cyclic load writes when, and so what its region looks like after each write.
package struct CyclicModel: Equatable, Sendable {
    /// 32 chunks of 64 KiB: after each snapshot every write of the first round needs a copy-out.
    package static let slots: UInt64 = 512
    /// Coprime to `slots`, so that neighbours in time are not neighbours on disk.
    private static let step: UInt64 = 37
    /// Behind the regions of `NodeLoad`.
    private static let start: UInt64 = 3 << 30
    /// The region of the chain, and of the chain through two volumes.
    package static let chain = 0
    package static let pair = SandboxAddresses.maximumNodes + 1
    package static let regionSize = Int(slots) * BlockPattern.size

    /// Whose blocks are told from those that it began with.
    private static let branch = 100

    package let node: Int
    package let base: UInt64
    private let isOfBranch: Bool

    var name: String {
        let region =
            switch node {
            case CyclicModel.chain: "chain"
            case CyclicModel.pair: "two volumes"
            default: "node \(node)"
            }
        return isOfBranch ? "\(region) in the branch" : region
    }

    /// A branch has the same regions as the origin, with blocks of its own.
    package init(node: Int, isOfBranch: Bool = false) {
        self.node = node
        self.isOfBranch = isOfBranch
        base = CyclicModel.start + UInt64(node) * UInt64(CyclicModel.regionSize)
    }

    /// Writes are numbered from 1.
    package func pattern(_ sequence: UInt64) -> BlockPattern {
        let slot = sequence &* CyclicModel.step % CyclicModel.slots
        let writer = isOfBranch ? CyclicModel.branch + node : node
        return BlockPattern(
            node: UInt32(writer), sequence: sequence, offset: base + slot * UInt64(BlockPattern.size))
    }

    /// What is wrong with an image of the region that was taken when between `least` and `most` writes were done; nil
    /// if it is the image after exactly one such number of writes.
    package func fault(in image: [UInt8], least: UInt64, most: UInt64) -> String? {
        guard image.count == CyclicModel.regionSize else { return "\(name): \(image.count) bytes" }
        let newest = newestSequence(in: image)
        guard newest >= least, newest <= most else {
            return "\(name): the newest write in it is \(newest), wanted \(least) to \(most)"
        }
        for sequence in (newest > CyclicModel.slots ? newest - CyclicModel.slots + 1 : 1)...max(newest, 1) {
            let pattern = pattern(sequence)
            let start = Int(pattern.offset - base)
            if let fault = pattern.fault(in: image[start..<start + BlockPattern.size]) {
                return "\(name), image after write \(newest): \(fault)"
            }
        }
        return nil
    }

    /// What is wrong with an image of the region that was read while it was written; nil if nothing is. `least` writes,
    /// a cycle or more, were answered before the reading began, `most` were begun before it ended: each block is the
    /// newest of its place that was answered, or one of those that came after it.
    package func fault(inLiving image: [UInt8], least: UInt64, most: UInt64) -> String? {
        guard image.count == CyclicModel.regionSize else { return "\(name): \(image.count) bytes" }
        guard least >= CyclicModel.slots else { return "\(name): not filled" }
        for sequence in least - CyclicModel.slots + 1...least {
            let start = Int(pattern(sequence).offset - base)
            let found = self.sequence(of: start, in: image)
            let isOfPlace = found % CyclicModel.slots == sequence % CyclicModel.slots
            let wanted = isOfPlace && sequence...max(most, sequence) ~= found ? found : sequence
            if let fault = pattern(wanted).fault(in: image[start..<start + BlockPattern.size]) {
                return "\(name), after write \(least): \(fault)"
            }
        }
        return nil
    }

    /// The whole region as a device shows it.
    func image(on device: NBDClient) throws -> [UInt8] {
        var image: [UInt8] = []
        let part = 128 << 10
        for start in stride(from: 0, to: CyclicModel.regionSize, by: part) {
            image += try device.read(offset: base + UInt64(start), count: part)
        }
        return image
    }

    private func newestSequence(in image: [UInt8]) -> UInt64 {
        stride(from: 0, to: image.count, by: BlockPattern.size).reduce(0) { max($0, sequence(of: $1, in: image)) }
    }

    /// The third word of a block is its number.
    private func sequence(of block: Int, in image: [UInt8]) -> UInt64 {
        (0..<8).reduce(UInt64(0)) { $0 | UInt64(image[block + 16 + $1]) << UInt64($1 * 8) }
    }
}
