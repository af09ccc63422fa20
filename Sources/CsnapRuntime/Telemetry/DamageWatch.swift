package import CsnapCore
package import CsnapStore

/// Damage of a store, or of its origin, that a server or a client met and goes on with: what of it has to be said, and
/// for how long the store's own work rests.
package struct DamageWatch {
    /// At most one line in this time.
    private static let interval = Interval.seconds(1)
    /// The same is said again after this time.
    private static let patience = Interval.seconds(60)
    /// The store's own work would meet the same damage with each step.
    private static let rest = Interval.seconds(1)
    /// A checkpoint that found no room would write its nodes in vain with each step.
    private static let restWithoutRoom = Interval.milliseconds(100)

    /// Within `patience`, in order: at most one for each `interval`.
    private var said: [(error: StoreError, at: Instant)] = []
    private var news: StoreError?
    package private(set) var restsUntil = Instant.distantPast

    package init() {}

    /// `isWork`: a checkpoint or a sweep met it.
    package mutating func met(_ error: StoreError, isWork: Bool = false, at now: Instant) {
        switch error {
        case .damaged, .damagedData, .originRead: break
        case .full:
            if isWork { restsUntil = max(restsUntil, now + Self.restWithoutRoom) }
            return
        default: return
        }
        if isWork { restsUntil = now + Self.rest }
        if let last = said.last, now - last.at < Self.interval { return }
        said.removeAll { now - $0.at >= Self.patience }
        if said.contains(where: { $0.error == error }) { return }
        said.append((error, now))
        news = error
    }

    /// What is to be said now; nil: nothing new.
    package mutating func take() -> StoreError? { news.take() }

    package func isResting(_ now: Instant) -> Bool { now < restsUntil }
}
