import CsnapCore
import CsnapSession
import Logging

/// What stores have to say. One whose disk hangs says nothing: its thread waits, the lease goes on, and somebody has to
/// name it (docs/decisions/0103-the-main-thread-names-a-store-that-hangs.md).
extension ServerLoop {
    func watch(_ now: Instant) {
        noteGate(now)
        for store in stores where store.takeHanging(now) {
            logger.error(
                "the disk under the store of \(store.volume), or under its origin, does not answer",
                metadata: [LogField.volume: "\(store.volume)"])
        }
    }

    /// Much was queued at once, by what the stores said while the gate was closed: who reads takes it.
    func flushOrLose(_ id: ConnectionID) {
        flush(id)
        if connections[id]?.isOverfull == true { lose(id, "it does not read what it asked for") }
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
