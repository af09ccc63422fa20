/// A volume by its name, where many names must be short: FNV-1a of its UTF-8 bytes.
package struct VolumeDigest: Equatable, Comparable, Sendable {
    package var value: UInt32

    package init(_ value: UInt32) { self.value = value }

    package init(name: String) {
        value = 0x811c_9dc5
        for byte in name.utf8 { value = (value ^ UInt32(byte)) &* 0x0100_0193 }
    }

    package static func < (left: VolumeDigest, right: VolumeDigest) -> Bool { left.value < right.value }
}

/// The last epochs known to have been active, for a store's check against an old copy of itself.
///
/// Each volume has its own: one that was left out of the configuration for some epochs has not seen them and is no
/// copy. Epochs whose server's volumes are not known count for all volumes, so that nothing stale passes.
package struct ActiveEpochs: Equatable, Sendable {
    /// Of all volumes: the highest epoch whose server's volumes are unknown.
    package private(set) var ofAll = Epoch.none
    private var named = SortedTable<VolumeDigest, Epoch>()
    /// `ofAll` without its newest epoch, whose volumes may become known yet.
    private var ofAllBefore = Epoch.none
    /// The highest epoch whose volumes are known.
    private var lastNamed = Epoch.none

    package init() {}

    /// What a node that starts remembers.
    package init(_ volumes: [VolumeEpoch]) {
        for volume in volumes {
            named[volume.volume] = volume.epoch
            lastNamed = max(lastNamed, volume.epoch)
        }
    }

    /// That epoch was active; its server said which volumes it serves, or this node has not heard it.
    package mutating func note(_ epoch: Epoch, volumes: [VolumeDigest]?) {
        guard let volumes, let merged = merging(volumes, epoch) else {
            guard epoch > ofAll, epoch > lastNamed else { return }
            ofAllBefore = ofAll
            ofAll = epoch
            return
        }
        named = merged
        lastNamed = max(lastNamed, epoch)
        if ofAll == epoch { ofAll = ofAllBefore }
    }

    package var volumes: [VolumeEpoch] { named.map { VolumeEpoch(volume: $0.0, epoch: $0.1) } }

    /// Nil if there would be more volumes than a node remembers.
    private func merging(_ volumes: [VolumeDigest], _ epoch: Epoch) -> SortedTable<VolumeDigest, Epoch>? {
        var merged = named
        for volume in volumes { merged[volume] = max(merged[volume] ?? .none, epoch) }
        return merged.count <= Limits.rememberedVolumes ? merged : nil
    }
}

/// The last epoch known to have been active for a volume.
package struct VolumeEpoch: Equatable, Sendable {
    package var volume: VolumeDigest
    package var epoch: Epoch

    package init(volume: VolumeDigest, epoch: Epoch) {
        self.volume = volume
        self.epoch = epoch
    }
}

extension VolumeDigest: WireValue {
    package func encode(to writer: inout ByteWriter) { writer.fixed(value) }

    package init(from reader: inout ByteReader) throws(WireError) { self.init(try reader.fixed(UInt32.self)) }
}

extension VolumeEpoch: WireValue {
    package func encode(to writer: inout ByteWriter) {
        writer.value(volume)
        writer.value(epoch)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        self.init(volume: try reader.value(), epoch: try reader.value())
    }
}
