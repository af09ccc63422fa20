package import CsnapCore

/// A configured peer, or a holder of our key, that we do not understand; news for `why`, never obeyed.
package struct Stranger: Equatable, Sendable {
    package var address: Address
    package var reason: DropReason
    package var since: Instant
    package var heardAt: Instant

    package init(address: Address, reason: DropReason, since: Instant, heardAt: Instant) {
        self.address = address
        self.reason = reason
        self.since = since
        self.heardAt = heardAt
    }
}

/// Who sends what we refuse. Anybody can send garbage, so only configured peers count, or who has the key.
struct StrangerTable {
    /// More than a person wants to read, and than a flood may fill.
    static let limit = 16
    /// Announcements to a silent peer are far apart in `wan`.
    static let memory = Interval.seconds(60)

    var peers: [Address]
    private var strangers: [Stranger] = []

    init(peers: [Address]) { self.peers = peers }

    mutating func refused(_ reason: DropReason, from address: Address, at now: Instant) {
        switch reason {
        case .timers: break
        case .stranger, .unauthenticated, .version: guard peers.contains(address) else { return }
        case .malformed, .mandatoryFlag, .reflected, .olderBoot, .replayed, .undecodable, .unproven, .foreignCluster,
            .unpinned, .tableFull, .oversized, .unsent:
            return
        }
        forget(before: now - Self.memory)
        if let index = strangers.firstIndex(where: { $0.address == address && $0.reason == reason }) {
            strangers[index].heardAt = now
        } else if strangers.count < Self.limit {
            strangers.append(Stranger(address: address, reason: reason, since: now, heardAt: now))
        }
    }

    /// A packet from there was understood: whatever was wrong is mended.
    mutating func understood(_ address: Address) {
        if !strangers.isEmpty { strangers.removeAll { $0.address == address } }
    }

    mutating func current(at now: Instant) -> [Stranger] {
        forget(before: now - Self.memory)
        return strangers
    }

    private mutating func forget(before limit: Instant) { strangers.removeAll { $0.heardAt < limit } }
}
