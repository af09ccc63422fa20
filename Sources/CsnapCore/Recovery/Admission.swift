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

    /// Whether every message that carries this table fits a datagram, and goes on fitting while epochs and boots grow:
    /// nodes are never forgotten, and a table that cannot be sent ends all fail-overs.
    var fitsDatagramsForEver: Bool {
        var grown = AdmissionTable()
        grown.entries = entries.map { entry in
            AdmissionEntry(
                process: NodeBoot(
                    node: entry.process.node, boot: max(entry.process.boot, Boot(Self.manyBoots))),
                epoch: max(entry.epoch, Epoch(Self.manyEpochs)), status: entry.status)
        }
        return grown.fitsDatagrams
    }

    /// Whether it does as it is: what a voter takes of a holder, which may know of nodes that the voter does not.
    var fitsDatagrams: Bool {
        let longest = Epoch(Limits.epoch)
        let node = NodeBoot(node: NodeID(.max), boot: Boot(Limits.boot))
        let set = VoterSet(version: .max, voters: Array(repeating: node.node, count: Limits.voters))
        // Of all that carry it, this one says most beside it.
        let message = Message.voteRecoverAck(
            VoteRecoverAck(
                nonce: .max, highestEpoch: longest, promise: Promise(epoch: longest, holder: node, released: true),
                floor: longest, admissions: entries, committed: set,
                pending: PendingVoterSet(epoch: longest, set: set)))
        return MessageCodec.encodedSize(message) <= Limits.payload
    }

    /// The most of three and four bytes: a fail-over each minute for five centuries.
    private static let manyBoots: UInt64 = 1 << 21 - 1
    private static let manyEpochs: UInt64 = 1 << 28 - 1

    /// The (node, boot)s that may have sessions, in order.
    package var admitted: [NodeBoot] {
        entries.filter { $0.status.isAdmitted }.map { $0.process }
    }
}
