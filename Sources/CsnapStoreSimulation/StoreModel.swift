import CsnapCore
package import CsnapStore

/// What a volume's images must be: for the origin and each snapshot the version of each chunk.
package struct StoreModel: Equatable, Sendable {
    package struct Image: Equatable, Sendable {
        package var number: SnapshotNumber
        package var name: String
        package var priority: Int32 = 0
        package var versions: [UInt32]

        package init(_ number: SnapshotNumber, _ name: String, _ versions: [UInt32]) {
            self.number = number
            self.name = name
            self.versions = versions
        }
    }

    package var origin: [UInt32]
    package var snapshots: [Image] = []
    package var writers: [WriterRecord] = []
    /// Low words of their uuids.
    package var prepared: [UInt64] = []

    package init(chunks: Int) { origin = [UInt32](repeating: 0, count: chunks) }

    /// What a chunk of this version holds, in words of eight bytes.
    package static func word(_ chunk: Int, _ version: UInt32) -> UInt64 {
        if version == 0 { return 0 }
        return (UInt64(version) << 32 | UInt64(chunk)) &* 0x9E37_79B9_7F4A_7C15
    }

    package static func content(_ chunk: Int, _ version: UInt32, _ size: Int) -> [UInt8] {
        let word = word(chunk, version)
        return (0..<size).map { UInt8(truncatingIfNeeded: word >> UInt64($0 % 8 * 8)) }
    }

    /// The versions of all chunks from a store's view of a snapshot; nil: a chunk cannot be read or is none of ours.
    package static func isContent(_ bytes: [UInt8], _ chunk: Int, _ version: UInt32) -> Bool {
        let word = word(chunk, version)
        return bytes.withUnsafeBytes { raw in
            stride(from: 0, to: raw.count, by: 8).allSatisfy {
                raw.loadUnaligned(fromByteOffset: $0, as: UInt64.self) == word
            }
        }
    }

    /// The first difference between this model and a store; nil: there is none.
    package func difference(_ store: inout SnapshotStore<SimulatedDevice>) -> String? {
        let numbers = store.snapshots.map { $0.number.value }
        if numbers != snapshots.map({ $0.number.value }) {
            return "snapshots \(numbers), not \(snapshots.map { $0.number.value })"
        }
        if store.snapshots.map({ $0.about.name }) != snapshots.map({ $0.name }) { return "names differ" }
        if store.snapshots.map({ $0.about.priority }) != snapshots.map({ $0.priority }) { return "priorities differ" }
        if store.writers != writers { return "writers \(store.writers), not \(writers)" }
        if store.prepared.map({ $0.about.uuid.low }) != prepared { return "prepared snapshots differ" }
        for image in snapshots {
            for chunk in image.versions.indices {
                do throws(StoreError) {
                    let bytes = try store.read(image.number, chunk: UInt64(chunk))
                    if !Self.isContent(bytes, chunk, image.versions[chunk]) {
                        return "snapshot \(image.number.value), chunk \(chunk) is not version \(image.versions[chunk])"
                    }
                } catch {
                    return "snapshot \(image.number.value), chunk \(chunk): \(error)"
                }
            }
        }
        for older in snapshots.indices {
            for newer in snapshots[older...] {
                if let missing = missing(snapshots[older], newer.number, newer.versions, &store) { return missing }
            }
            if let missing = missing(snapshots[older], nil, origin, &store) { return missing }
        }
        return nil
    }

    /// A chunk that differs between two images and is not named as changed; asked for in pages of three.
    private func missing(
        _ older: Image, _ newer: SnapshotNumber?, _ versions: [UInt32],
        _ store: inout SnapshotStore<SimulatedDevice>
    ) -> String? {
        var changed: [Range<UInt64>] = []
        var next = UInt64?.some(0)
        do throws(StoreError) {
            while let first = next {
                let part = try store.diff(older.number, newer, startingAt: first, limit: 3)
                changed += part.ranges
                next = part.next
            }
        } catch {
            return "difference since snapshot \(older.number.value): \(error)"
        }
        for chunk in versions.indices where versions[chunk] != older.versions[chunk] {
            if !changed.contains(where: { $0.contains(UInt64(chunk)) }) {
                return "chunk \(chunk) changed since snapshot \(older.number.value) and is not named"
            }
        }
        return nil
    }
}
