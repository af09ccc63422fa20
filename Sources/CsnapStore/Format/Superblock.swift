package import CsnapCore

/// Who holds a tenure.
package struct StoreOwner: Equatable, Sendable {
    package var process: NodeBoot
    package var machineID: Bits128
    package var kernelBootID: Bits128

    package init(process: NodeBoot, machineID: Bits128, kernelBootID: Bits128) {
        self.process = process
        self.machineID = machineID
        self.kernelBootID = kernelBootID
    }
}

/// What a tenure says of itself in its slot. Stamps are ordered by (tenure, sequence).
package struct Superblock: Equatable, Sendable {
    package var store: Bits128
    /// Zero until the first claim pins it.
    package var cluster: Bits128
    /// None: nobody has taken this slot yet.
    package var tenure: Tenure
    /// Counts the superblocks of one tenure, from 1; a claim writes the first.
    package var sequence: UInt64
    package var owner: StoreOwner
    package var geometry: StoreGeometry
    /// Raised by each snapshot; carried from tenure to tenure.
    package var generation: UInt64
    package var slot: Int

    static func empty(of format: StoreFormat, slot: Int) -> Superblock {
        let nobody = NodeBoot(node: NodeID(0), boot: Boot(0))
        return Superblock(
            store: format.store, cluster: .zero, tenure: .none, sequence: 0,
            owner: StoreOwner(process: nobody, machineID: .zero, kernelBootID: .zero), geometry: format.geometry,
            generation: 1, slot: slot)
    }

    func isNewer(than other: Superblock) -> Bool {
        tenure == other.tenure ? sequence > other.sequence : tenure > other.tenure
    }
}

extension Superblock {
    /// "CSNAPSB1" in the order of its bytes.
    static let magic: UInt64 = 0x3142_5350_414E_5343

    /// One block; slot and copy are in it, so that a misdirected write is no superblock.
    func encoded(copy: Int) -> [UInt8] {
        var writer = ByteWriter(capacity: StoreLayout.blockSize)
        writer.fixed(Self.magic)
        writer.fixed(StoreLayout.version)
        writer.fixed(UInt16(slot))
        writer.fixed(UInt16(copy))
        writer.value(store)
        writer.value(cluster)
        writer.fixed(tenure.epoch.value)
        writer.fixed(tenure.round.value)
        writer.fixed(owner.process.node.value)
        writer.fixed(owner.process.boot.value)
        writer.value(owner.machineID)
        writer.value(owner.kernelBootID)
        writer.fixed(sequence)
        geometry.encode(to: &writer)
        writer.fixed(generation)
        // Base root, first segment and open windows follow here in a later format; zeros until then.
        return SealedBlock.seal(writer)
    }

    /// Nil for anything but a whole superblock of this store, at this place.
    init?(_ block: [UInt8], format: StoreFormat, slot: Int, copy: Int) {
        guard SealedBlock.isWhole(block) else { return nil }
        var reader = ByteReader(block)
        do throws(WireError) {
            guard try reader.fixed(UInt64.self) == Self.magic,
                try reader.fixed(UInt32.self) == StoreLayout.version,
                try reader.fixed(UInt16.self) == UInt16(slot), try reader.fixed(UInt16.self) == UInt16(copy)
            else { return nil }
            store = try reader.value()
            cluster = try reader.value()
            let epoch = try reader.fixed(UInt64.self)
            let round = try reader.fixed(UInt32.self)
            guard epoch <= Limits.epoch, round <= Limits.round else { return nil }
            tenure = Tenure(epoch: Epoch(epoch), round: Round(round))
            let node = NodeID(try reader.fixed(UInt32.self))
            let process = NodeBoot(node: node, boot: Boot(try reader.fixed(UInt64.self)))
            owner = StoreOwner(
                process: process, machineID: try reader.value(), kernelBootID: try reader.value())
            sequence = try reader.fixed(UInt64.self)
            geometry = try StoreGeometry(from: &reader)
            generation = try reader.fixed(UInt64.self)
            self.slot = slot
        } catch {
            return nil
        }
        guard store == format.store else { return nil }
    }
}

/// All slots of a store, as one read of them found them.
package struct StoreSlots: Equatable, Sendable {
    /// The copies that are whole, two per slot.
    private var copies: [Superblock?]

    package init(_ bytes: [UInt8], format: StoreFormat) {
        let block = StoreLayout.blockSize
        copies = (0..<format.slotCount * 2).map { index in
            guard bytes.count >= (index + 1) * block else { return nil }
            let part = Array(bytes[index * block..<(index + 1) * block])
            return Superblock(part, format: format, slot: index / 2, copy: index % 2)
        }
    }

    /// The newer of a slot's whole copies; nil: both are damaged.
    package func newest(in slot: Int) -> Superblock? {
        switch (copies[slot * 2], copies[slot * 2 + 1]) {
        case (let first?, let second?): second.isNewer(than: first) ? second : first
        case (let first, let second): first ?? second
        }
    }

    /// Both copies of that slot say this.
    package func holdTwice(_ superblock: Superblock) -> Bool {
        copies[superblock.slot * 2] == superblock && copies[superblock.slot * 2 + 1] == superblock
    }

    /// The superblock of the highest tenure; of tenure `none` in a store nobody has taken yet.
    package var highest: Superblock? {
        var best: Superblock?
        for copy in copies {
            guard let copy else { continue }
            if best.map({ copy.isNewer(than: $0) }) ?? true { best = copy }
        }
        return best
    }

    /// The first slot none of whose copies is whole.
    package var damagedSlot: Int? {
        (0..<copies.count / 2).first { copies[$0 * 2] == nil && copies[$0 * 2 + 1] == nil }
    }

    /// Zero until the first claim pins it.
    package var pinnedCluster: Bits128 {
        for copy in copies { if let copy, copy.cluster != .zero { return copy.cluster } }
        return .zero
    }

    /// A cluster uuid that is pinned in some slot and is not this one.
    package func foreignCluster(to cluster: Bits128) -> Bits128? {
        for copy in copies {
            if let copy, copy.cluster != .zero, copy.cluster != cluster { return copy.cluster }
        }
        return nil
    }
}
