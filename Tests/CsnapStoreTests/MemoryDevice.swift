import CsnapCore
import CsnapStore

/// A device that loses what is not flushed: each unsynced write, in parts of 512 bytes, may be there after a crash
/// or not.
struct MemoryDevice: Equatable {
    static let sector = 512
    private(set) var durable: [UInt8]
    private(set) var unsynced: [(offset: Int, bytes: [UInt8])] = []

    init(size: Int) { durable = [UInt8](repeating: 0, count: size) }

    static func == (left: MemoryDevice, right: MemoryDevice) -> Bool {
        left.durable == right.durable && left.visible == right.visible
    }

    /// What a reading sees while there is no crash.
    private var visible: [UInt8] {
        var bytes = durable
        for write in unsynced {
            bytes.replaceSubrange(write.offset..<write.offset + write.bytes.count, with: write.bytes)
        }
        return bytes
    }

    mutating func perform(_ request: StoreRequest) -> StoreAnswer {
        switch request {
        case .read(let offset, let count):
            return .bytes(Array(visible[Int(offset)..<min(Int(offset) + count, durable.count)]))
        case .write(let offset, let bytes):
            unsynced.append((Int(offset), bytes))
        case .flush:
            durable = visible
            unsynced = []
        }
        return .done
    }

    /// Power is lost: of each unsynced sector a coin decides whether it was written.
    mutating func crash(_ generator: inout Generator) {
        for write in unsynced {
            for start in stride(from: 0, to: write.bytes.count, by: Self.sector)
            where generator.next() & 1 == 0 {
                let part = write.bytes[start..<start + Self.sector]
                durable.replaceSubrange(write.offset + start..<write.offset + start + Self.sector, with: part)
            }
        }
        unsynced = []
    }

    mutating func damage(at offset: Int) { durable[offset] ^= 0x40 }

    /// Changes a block as its writer could have, checksum included.
    mutating func reseal(block: Int, _ change: (inout [UInt8]) -> Void) {
        let size = StoreLayout.blockSize
        var bytes = Array(durable[block * size..<(block + 1) * size])
        change(&bytes)
        let checksum = Castagnoli.checksum(Array(bytes[..<(size - 4)]))
        for index in 0..<4 { bytes[size - 4 + index] = UInt8(truncatingIfNeeded: checksum >> UInt32(index * 8)) }
        durable.replaceSubrange(block * size..<(block + 1) * size, with: bytes)
    }
}

/// A small store and claims on it.
enum Sample {
    static let cluster = Bits128(high: 9, low: 9)
    static let geometry = StoreGeometry(originSize: 1 << 30, storeSize: StoreLayout.minimumStoreSize)
    /// Bytes that are there in memory: up to the end of the anchors of four slots.
    static let deviceSize = Int(StoreLayout.anchorsOffset) + 4 * 4 * StoreLayout.blockSize

    static func format(slots: Int = 4) throws -> StoreFormat {
        try StoreFormat(store: Bits128(high: 1, low: 2), geometry: geometry, slotCount: slots)
    }

    static func device() throws -> MemoryDevice {
        var device = MemoryDevice(size: deviceSize)
        for request in try format().format() { _ = device.perform(request) }
        return device
    }

    static func claim(
        _ epoch: UInt64, round: UInt32 = 1, node: UInt32 = 1, cluster: Bits128 = cluster, lastActive: UInt64 = 0
    ) -> StoreClaim {
        let owner = StoreOwner(
            process: NodeBoot(node: NodeID(node), boot: Boot(1)), machineID: Bits128(high: 0, low: UInt64(node)),
            kernelBootID: Bits128(high: 1, low: UInt64(node)))
        return StoreClaim(
            tenure: Tenure(epoch: Epoch(epoch), round: Round(round)), cluster: cluster, owner: owner,
            lastActiveEpoch: Epoch(lastActive), deviceSize: geometry.storeSize)
    }
}

/// One claimer, step by step.
struct Claimer {
    private(set) var taking: StoreTaking
    private(set) var request: StoreRequest?
    private(set) var end: StoreTaking.Step?

    init(_ claim: StoreClaim) {
        taking = StoreTaking(claim)
        request = taking.first
    }

    /// One request of the device; false once it has ended.
    mutating func step(_ device: inout MemoryDevice) -> Bool {
        guard let request else { return false }
        switch taking.answered(device.perform(request)) {
        case .perform(let next): self.request = next
        case .taken(let superblock):
            self.request = nil
            end = .taken(superblock)
        case .refused(let refusal):
            self.request = nil
            end = .refused(refusal)
        }
        return self.request != nil
    }

    mutating func run(_ device: inout MemoryDevice) -> StoreTaking.Step? {
        while step(&device) {}
        return end
    }

    var isTaken: Bool { if case .taken = end { true } else { false } }
}

func take(_ claim: StoreClaim, _ device: inout MemoryDevice) -> StoreTaking.Step? {
    var claimer = Claimer(claim)
    return claimer.run(&device)
}

func refusal(_ claim: StoreClaim, _ device: inout MemoryDevice) -> StoreRefusal? {
    if case .refused(let refusal) = take(claim, &device) { refusal } else { nil }
}
