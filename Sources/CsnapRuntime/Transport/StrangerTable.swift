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
package struct StrangerTable {
    /// More than a person wants to read, and than a flood may fill.
    static let limit = 16
    /// Announcements to a silent peer are far apart in `wan`.
    static let memory = Interval.seconds(60)

    /// Who is heard again after that long is told anew, also if it was understood meanwhile.
    static let toldMemory = Interval.seconds(30)

    package var peers: [Address]
    private var strangers: [Stranger] = []
    /// Those of which the log was told; `heardAt` is of the last look.
    private var told: [Stranger] = []

    package init(peers: [Address]) { self.peers = peers }

    package mutating func refused(_ reason: DropReason, from address: Address, at now: Instant) {
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
    package mutating func understood(_ address: Address) {
        if !strangers.isEmpty { strangers.removeAll { $0.address == address } }
    }

    mutating func current(at now: Instant) -> [Stranger] {
        forget(before: now - Self.memory)
        return strangers
    }

    /// The next one of which the log was not told; asked at most once a second, so that forged packets fill no log.
    package mutating func takeNews(at now: Instant) -> Stranger? {
        told.removeAll { $0.heardAt < now - Self.toldMemory }
        var news: Stranger?
        for stranger in current(at: now) {
            if let index = told.firstIndex(where: { $0.address == stranger.address && $0.reason == stranger.reason }) {
                told[index].heardAt = stranger.heardAt
            } else if news == nil, told.count < Self.limit {
                told.append(stranger)
                news = stranger
            }
        }
        return news
    }

    private mutating func forget(before limit: Instant) { strangers.removeAll { $0.heardAt < limit } }
}
