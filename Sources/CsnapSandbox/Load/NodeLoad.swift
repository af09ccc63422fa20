import Synchronization

/// Verified writes through one node's block device: first a filling of some MiB, then one fresh 4 KiB block, each in
/// a fresh chunk, every period. Each node has a region of its own.
package final class NodeLoad: Sendable {
    package static let chunk: UInt64 = 65_536
    package static let region: UInt64 = 256 << 20
    /// Filled before the paced part: 4.25 MiB, so that at least 4 MiB can be verified whatever happens later.
    static let filledChunks: UInt64 = 68

    package let node: Int
    private let base: UInt64
    private let record = Mutex(LoadRecord())
    private let stopping = Atomic<Bool>(false)
    private let filled = Atomic<Bool>(false)
    private let finished = Atomic<Bool>(false)
    private let thread: Mutex<ThreadedTask?>

    /// `period`: from one request to the next. Each generation of a node's load has half a region, alternately.
    package init(node: Int, generation: Int, socket: String, periodMilliseconds: Int) {
        self.node = node
        base = UInt64(node - 1) * NodeLoad.region + UInt64(generation & 1) * (NodeLoad.region / 2)
        thread = Mutex(nil)
        let task = ThreadedTask { self.run(socket: socket, periodMilliseconds: periodMilliseconds) }
        thread.withLock { $0 = task }
    }

    package var isFilled: Bool { filled.load(ordering: .acquiring) }
    package var hasEnded: Bool { finished.load(ordering: .acquiring) }
    package var snapshot: LoadRecord { record.withLock { $0 } }

    /// Lets the request in hand end, unless its answer never comes.
    package func stop() {
        stopping.store(true, ordering: .relaxed)
        thread.withLock { $0.take() }?.join()
    }

    private var isStopping: Bool { stopping.load(ordering: .relaxed) }

    private func run(socket: String, periodMilliseconds: Int) {
        defer { finished.store(true, ordering: .releasing) }
        do {
            guard let device = try connect(socket) else { return }
            try fill(device)
            filled.store(true, ordering: .releasing)
            try pace(device, periodMilliseconds)
            device.disconnect()
        } catch SandboxError.cancelled {
            return
        } catch {
            record.withLock { $0.errors.append("node \(node): \(error)") }
        }
    }

    /// The client process may not have bound its socket yet.
    private func connect(_ socket: String) throws -> NBDClient? {
        while true {
            do {
                return try NBDClient(path: socket, export: "origin", cancelled: { [self] in isStopping })
            } catch {
                guard !isStopping else { return nil }
                pause(milliseconds: 50)
            }
        }
    }

    private func fill(_ device: NBDClient) throws {
        for chunk in 0..<NodeLoad.filledChunks {
            let start = offset(chunk: chunk, block: 0)
            let blocks = stride(from: start, to: start + NodeLoad.chunk, by: BlockPattern.size).map { offset in
                BlockPattern(node: UInt32(node), sequence: offset / 4096, offset: offset)
            }
            var bytes: [UInt8] = []
            for block in blocks { bytes += block.bytes }
            begin(offset: start)
            try device.write(bytes, offset: start)
            end(blocks)
            if isStopping { throw SandboxError.cancelled }
        }
    }

    private func pace(_ device: NBDClient, _ period: Int) throws {
        let chunks = NodeLoad.region / 2 / NodeLoad.chunk - NodeLoad.filledChunks
        var sequence: UInt64 = 1 << 32
        while !isStopping {
            let count = sequence - 1 << 32
            let position = count % (chunks * 16)
            let offset = offset(chunk: NodeLoad.filledChunks + position % chunks, block: position / chunks)
            let block = BlockPattern(node: UInt32(node), sequence: sequence, offset: offset)
            let issued = boottime()
            begin(offset: offset)
            try device.write(block.bytes, offset: offset)
            end([block])
            sequence += 1
            let rest = Int64(period) - (boottime() - issued) / 1_000_000
            if rest > 0 { pause(milliseconds: Int(rest)) }
        }
    }

    private func begin(offset: UInt64) {
        record.withLock {
            $0.requests.append(.init(issued: boottime(), completed: nil))
            $0.uncertain.insert(offset)
        }
    }

    private func end(_ blocks: [BlockPattern]) {
        record.withLock { record in
            record.requests[record.requests.count - 1].completed = boottime()
            for block in blocks {
                record.uncertain.remove(block.offset)
                record.acknowledged[block.offset] = block.sequence
            }
        }
    }

    private func offset(chunk: UInt64, block: UInt64) -> UInt64 {
        base + chunk * NodeLoad.chunk + block * UInt64(BlockPattern.size)
    }
}
