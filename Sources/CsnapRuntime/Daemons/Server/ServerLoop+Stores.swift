import CsnapCore
import CsnapSession
import Logging

/// A store whose disk hangs: its thread waits, the lease goes on, and somebody has to say so
/// (docs/decisions/0103-the-main-thread-names-a-store-that-hangs.md).
extension ServerLoop {
    func watch(_ now: Instant) {
        noteGate(now)
        for store in stores where store.takeHanging(now) {
            logger.error(
                "the disk under the store of \(store.volume), or under its origin, does not answer",
                metadata: [LogField.volume: "\(store.volume)"])
        }
    }

    /// What people ask about a store that hangs needs no answer of it.
    func submit(_ order: StoreOrder, _ ticket: UInt64, to volume: Int) {
        let now = BootClock.now()
        guard order == .examine, let age = stores[volume].hanging(now) else {
            return stores[volume].submit(order, ticket: ticket)
        }
        withTable { $0.completed(ticket, volume: volume, .outcome(.hanging(age)), at: now) }
    }
}
