import CsnapCore
package import CsnapStore

/// Of which version each quarter of a chunk is: branches are written in parts of chunks.
package typealias Quarters = SIMD4<UInt32>

/// What a volume's images must be: for the origin, each snapshot and each branch the versions of each chunk.
package struct StoreModel: Equatable, Sendable {
    package struct Image: Equatable, Sendable {
        package var number: SnapshotNumber
        package var name: String
        package var priority: Int32 = 0
        package var versions: [Quarters]
        /// Of a branch.
        package var base: SnapshotNumber?

        package init(
            _ number: SnapshotNumber, _ name: String, _ versions: [Quarters], base: SnapshotNumber? = nil
        ) {
            self.number = number
            self.name = name
            self.versions = versions
            self.base = base
        }

        /// What a person calls it.
        var title: String { "\(base == nil ? "snapshot" : "branch") \(number.value)" }

        fileprivate func isLike(_ snapshot: Snapshot) -> Bool {
            snapshot.number == number && snapshot.about.name == name && snapshot.about.priority == priority
                && snapshot.base == base
        }
    }

    package var origin: [Quarters]
    package var snapshots: [Image] = []
    package var branches: [Image] = []
    /// Of the branch that was made last.
    package var lastBranch = SnapshotNumber(SnapshotNumber.branches)
    package var writers: [WriterRecord] = []
    /// Low words of their uuids.
    package var prepared: [UInt64] = []

    package init(chunks: Int) { origin = [Quarters](repeating: Quarters(), count: chunks) }

    package var images: [Image] { snapshots + branches }

    package func hasBranch(_ number: SnapshotNumber) -> Bool { branches.contains { $0.base == number } }

    /// The same with these parts of the newest branch written.
    func written(_ parts: [BranchPart], _ version: UInt32) -> StoreModel {
        guard !branches.isEmpty else { return self }
        var next = self
        for part in parts {
            for quarter in part.quarters { next.branches[branches.count - 1].versions[part.chunk][quarter] = version }
        }
        return next
    }

    /// What a chunk of this version holds, in words of eight bytes.
    package static func word(_ chunk: Int, _ version: UInt32) -> UInt64 {
        if version == 0 { return 0 }
        return (UInt64(version) << 32 | UInt64(chunk)) &* 0x9E37_79B9_7F4A_7C15
    }

    package static func content(_ chunk: Int, _ version: UInt32, _ size: Int) -> [UInt8] {
        let word = word(chunk, version)
        return (0..<size).map { UInt8(truncatingIfNeeded: word >> UInt64($0 % 8 * 8)) }
    }

    /// Whether a chunk holds these versions.
    package static func isContent(_ bytes: [UInt8], _ chunk: Int, _ versions: Quarters) -> Bool {
        let size = bytes.count / Quarters.scalarCount
        return bytes.withUnsafeBytes { raw in
            versions.indices.allSatisfy { quarter in
                let word = word(chunk, versions[quarter])
                return stride(from: quarter * size, to: (quarter + 1) * size, by: 8).allSatisfy {
                    raw.loadUnaligned(fromByteOffset: $0, as: UInt64.self) == word
                }
            }
        }
    }

    /// The first difference between this model and a store; nil: there is none.
    package func difference(_ store: inout SnapshotStore<SimulatedDevice>) -> String? {
        let numbers = store.snapshots.map { $0.number.value }
        if numbers != snapshots.map({ $0.number.value }) {
            return "snapshots \(numbers), not \(snapshots.map { $0.number.value })"
        }
        for (image, snapshot) in zip(snapshots, store.snapshots) where !image.isLike(snapshot) {
            return "\(image.title) is \(snapshot)"
        }
        let branches = store.branches
        guard branches.count == self.branches.count, zip(self.branches, branches).allSatisfy({ $0.isLike($1) }) else {
            return "branches \(branches.map { $0.number.value }), not \(self.branches.map { $0.number.value })"
        }
        if store.writers != writers { return "writers \(store.writers), not \(writers)" }
        if store.prepared.map({ $0.about.uuid.low }) != prepared { return "prepared snapshots differ" }
        for image in images {
            for chunk in image.versions.indices {
                do throws(StoreError) {
                    let bytes = try store.read(image.number, chunk: UInt64(chunk))
                    if !Self.isContent(bytes, chunk, image.versions[chunk]) {
                        return "\(image.title), chunk \(chunk) is not version \(image.versions[chunk])"
                    }
                } catch {
                    return "\(image.title), chunk \(chunk): \(error)"
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
        _ older: Image, _ newer: SnapshotNumber?, _ versions: [Quarters],
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
