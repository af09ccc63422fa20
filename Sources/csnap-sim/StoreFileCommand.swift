import ArgumentParser
import CShims
import CsnapCore
import CsnapStore
import Glibc

/// Large stores in files, for benches: `scripts/bench-data` makes one of millions of chunks and times its opening.
struct StoreFileCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store-file", abstract: "Make a large snapshot store without data, or time the opening of one.",
        subcommands: [Fill.self, Open.self])

    /// Zero: the first group that takes it makes it its own.
    static let cluster = Bits128.zero

    static func claim(_ epoch: UInt64, _ size: UInt64) -> StoreClaim {
        let owner = StoreOwner(
            process: NodeBoot(node: NodeID(1), boot: Boot(epoch)), machineID: .zero, kernelBootID: .zero)
        return StoreClaim(
            tenure: Tenure(epoch: Epoch(epoch), round: Round(1)), cluster: cluster, owner: owner,
            lastActiveEpoch: Epoch(0), deviceSize: size)
    }

    struct Fill: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a store whose snapshot 'base' holds so many chunks, and 'own' some of them once more.")

        @Argument(help: "The store; a sparse file is made.") var path: String
        @Option(help: "Size of the origin in GiB.") var originGib: UInt64 = 1024
        @Option(help: "Size of the store in GiB.") var storeGib: UInt64 = 512
        @Option(help: "Chunks of 'base'.") var chunks: UInt64 = 4_000_000
        @Option(help: "Chunks of 'own', which no other snapshot needs.") var own: UInt64 = 1_000_000
        @Option(help: "Of further chunks, how many are in the journal only.") var logged: UInt64 = 0
        @Option(help: "The first chunk of all; those before are in no snapshot.") var first: UInt64 = 65536

        func validate() throws {
            let all = (originGib << 30) / UInt64(StoreLayout.defaultChunkSize)
            guard originGib < 1 << 20, storeGib < 1 << 20, chunks <= all, own <= chunks, logged <= all,
                first + chunks + logged <= all
            else { throw ValidationError("the origin has \(all) chunks") }
        }

        func run() throws {
            let geometry = StoreGeometry(originSize: originGib << 30, storeSize: storeGib << 30)
            let format = try StoreFormat(store: Bits128(high: 1, low: 2), geometry: geometry)
            let device = try FileDevice(path, size: geometry.storeSize)
            for request in format.format() {
                switch request {
                case .write(let offset, let bytes):
                    try bytes.withUnsafeBytes { try device.write($0, at: offset) }
                case .flush: try device.flush()
                case .read: break
                }
            }
            var store = try SnapshotStore.take(
                StoreFileCommand.claim(1, device.size), device: device, origin: device.asOrigin, settled: [])
            var kept = first..<first + chunks
            for (name, part) in [("base", kept), ("own", kept.prefix(Int(own)))] {
                _ = try store.create(SnapshotRequest(uuid: Bits128(high: 3, low: UInt64(name.utf8.count)), name: name))
                var rest = part
                while !rest.isEmpty {
                    try store.fillWithZeros(Array(rest.prefix(60_000)), isLogged: false)
                    rest = rest.dropFirst(60_000)
                }
            }
            // Scattered, so that their places in the tree are.
            kept = kept.upperBound..<kept.upperBound + logged
            var generator = Generator(seed: 1)
            var scattered = Array(kept)
            for index in scattered.indices.dropFirst() {
                scattered.swapAt(index, generator.next(below: index + 1))
            }
            try store.fillWithZeros(scattered, isLogged: true)
            print("{\"chunks\": \(chunks + own + logged), \"usedBytes\": \(store.space.used)}")
        }
    }

    struct Open: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a store as a server does; the last line is one JSON object.")

        @Argument(help: "The store.") var path: String
        @Option(help: "The epoch to take it in.") var epoch: UInt64 = 2

        func run() throws {
            let device = try FileDevice(path, size: nil)
            let begun = ContinuousClock.now
            let store = try SnapshotStore.take(
                StoreFileCommand.claim(epoch, device.size), device: device, origin: device.asOrigin,
                settled: [.node(NodeBoot(node: NodeID(1), boot: Boot(epoch - 1)))])
            let spent = begun.duration(to: .now)
            let seconds = Double(spent.components.seconds) + Double(spent.components.attoseconds) / 1e18
            var usage = rusage()
            // RUSAGE_SELF, as a number.
            getrusage(0, &usage)
            print(
                "{\"seconds\": \(seconds), \"peakBytes\": \(usage.ru_maxrss << 10), "
                    + "\"snapshots\": \(store.snapshots.count)}")
        }
    }
}

/// A file past the page cache; whatever is not aligned goes through a buffer.
struct FileDevice: BlockDevice {
    private(set) var size: UInt64
    private let descriptor: Int32
    private let buffer: UnsafeMutableRawBufferPointer

    /// With a size: an old file of that name is lost.
    init(_ path: String, size: UInt64?) throws {
        if let size {
            let file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
            defer { close(file) }
            guard file >= 0, ftruncate(file, off_t(size)) == 0 else { throw ValidationError("\(path): error \(errno)") }
        }
        var isDirect: Int32 = 0
        var found: UInt64 = 0
        descriptor = csnap_open_device(path, 1, &isDirect, &found)
        guard descriptor >= 0 else { throw ValidationError("\(path): error \(-descriptor)") }
        self.size = found
        buffer = .allocate(byteCount: 2 << 20, alignment: StoreLayout.blockSize)
    }

    /// As large as any origin; nothing is ever read of it.
    var asOrigin: FileDevice {
        var origin = self
        origin.size = StoreLayout.maximumOriginSize
        return origin
    }

    func read(into target: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(BlockDeviceError) {
        var done = 0
        while done < target.count {
            let part = min(target.count - done, buffer.count)
            guard pread(descriptor, buffer.baseAddress, part, off_t(offset) + off_t(done)) == part else {
                throw .system(errno)
            }
            UnsafeMutableRawBufferPointer(rebasing: target[done..<done + part])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<part]))
            done += part
        }
    }

    func write(_ source: UnsafeRawBufferPointer, at offset: UInt64) throws(BlockDeviceError) {
        var done = 0
        while done < source.count {
            let part = min(source.count - done, buffer.count)
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[done..<done + part]))
            guard pwrite(descriptor, buffer.baseAddress, part, off_t(offset) + off_t(done)) == part else {
                throw .system(errno)
            }
            done += part
        }
    }

    func flush() throws(BlockDeviceError) {
        if fdatasync(descriptor) != 0 { throw .system(errno) }
    }
}
