/// Why a (node, boot) lost its admission.
package enum EvictionCause: UInt8, Sendable {
    case left = 0
    case leasePassed = 1
    case fenced = 2
}

package enum AdmissionStatus: Equatable, Sendable {
    case admitted
    case evicted(EvictionCause)

    package var isAdmitted: Bool { self == .admitted }
}

/// One node's line in the admission table: its highest boot, and what the holder of `epoch` said of it (§6).
package struct AdmissionEntry: Equatable, Sendable {
    package var process: NodeBoot
    package var epoch: Epoch
    package var status: AdmissionStatus

    package init(process: NodeBoot, epoch: Epoch, status: AdmissionStatus) {
        self.process = process
        self.epoch = epoch
        self.status = status
    }

    /// Whether this entry wins over `other` of the same node: higher boot, then higher epoch, then evicted.
    package func supersedes(_ other: AdmissionEntry) -> Bool {
        if process.boot != other.process.boot { return process.boot > other.process.boot }
        if Mutants.active(.noEpochOrderInTable) { return self != other }
        if epoch != other.epoch { return epoch > other.epoch }
        return !status.isAdmitted && other.status.isAdmitted
    }
}

/// Which boots may have client sessions; one entry per node, kept by every voter, outliving epochs.
package struct AdmissionTable: Equatable, Sendable {
    package private(set) var entries: [AdmissionEntry] = []

    package init() {}

    package init(merging entries: [AdmissionEntry]) {
        for entry in entries { merge(entry) }
    }

    package subscript(node: NodeID) -> AdmissionEntry? {
        entries.first { $0.process.node == node }
    }

    /// Takes the entry if it supersedes what is known; says whether it did.
    @discardableResult
    package mutating func merge(_ entry: AdmissionEntry) -> Bool {
        let index = entries.firstIndex { $0.process.node >= entry.process.node } ?? entries.count
        guard index < entries.count, entries[index].process.node == entry.process.node else {
            entries.insert(entry, at: index)
            return true
        }
        guard entry.supersedes(entries[index]) else { return false }
        entries[index] = entry
        return true
    }

    package mutating func merge(_ other: AdmissionTable) {
        for entry in other.entries { merge(entry) }
    }

    /// The (node, boot)s that may have sessions, in order.
    package var admitted: [NodeBoot] {
        entries.filter { $0.status.isAdmitted }.map { $0.process }
    }
}
