/// Why a datagram, or a part of it, was not obeyed or not sent.
package enum DropReason: Int, CaseIterable, Sendable {
    /// Not a packet of csnap, or of impossible form.
    case malformed
    case version
    case mandatoryFlag
    /// Another group's name or key.
    case stranger
    /// Our own packet came back.
    case reflected
    case olderBoot
    case replayed
    /// The seal does not fit: another key, or changed bytes.
    case unauthenticated
    /// Sealed with our key by a process whose leases and promises last differently from ours.
    case timers
    /// Sealed with our key, yet not understood: another version or a defect.
    case undecodable
    /// Messages from a process that has not yet shown that it knows this one.
    case unproven
    /// From a member of another group that has the same name and key.
    case foreignCluster
    /// From a process that belongs to no group yet.
    case unpinned
    /// More processes than a group can have.
    case tableFull
    /// A message that no datagram can hold.
    case oversized
    /// The kernel refused to send: no route, a firewall, a full buffer. The protocol resends.
    case unsent

    /// In the words of a log line.
    package var words: String {
        switch self {
        case .malformed: "malformed"
        case .version: "of another wire version"
        case .mandatoryFlag: "with an unknown mandatory flag"
        case .stranger: "with another cluster name or key"
        case .reflected: "reflected"
        case .olderBoot: "of an older boot"
        case .replayed: "replayed"
        case .unauthenticated: "unauthenticated"
        case .timers: "with other timers"
        case .undecodable: "not understood"
        case .unproven: "from an unproven process"
        case .foreignCluster: "of another group"
        case .unpinned: "from a node without a group"
        case .tableFull: "beyond the table of processes"
        case .oversized: "too large to send"
        case .unsent: "refused by the kernel"
        }
    }
}

/// Numbers of packets dropped, by reason.
package struct DropCounts: Equatable, Sendable {
    private var counts = [UInt64](repeating: 0, count: DropReason.allCases.count)

    package init() {}

    package subscript(reason: DropReason) -> UInt64 { counts[reason.rawValue] }

    package var total: UInt64 { counts.reduce(0, &+) }

    package mutating func count(_ reason: DropReason) { counts[reason.rawValue] &+= 1 }

    /// What was counted since `earlier`.
    package func since(_ earlier: DropCounts) -> DropCounts {
        var difference = self
        for index in counts.indices { difference.counts[index] = counts[index] &- earlier.counts[index] }
        return difference
    }
}

extension DropCounts: CustomStringConvertible {
    /// "3 unauthenticated, 1 replayed"; empty when nothing was dropped.
    package var description: String {
        DropReason.allCases.filter { self[$0] > 0 }.map { "\(self[$0]) \($0.words)" }.joined(separator: ", ")
    }
}
