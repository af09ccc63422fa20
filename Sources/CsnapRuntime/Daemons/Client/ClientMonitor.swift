import CShims
import CsnapCore
import CsnapSession
import Glibc
import Synchronization

/// The one lock of the client, around its core; and the fast gate, which repeats the core's verdict to requests.
///
/// A request takes the lock only when the fast gate is closed to it: before its chunk's first grant, without a lease,
/// suspended, or in the moment in which the control thread changes something.
///
/// `@unchecked Sendable` is safe: what changes is touched only between `lock` and `unlock` or under a lock of its own;
/// the other fields never change.
package final class ClientMonitor: @unchecked Sendable {
    /// One bit of a word for each.
    static let maximumConnections = 64

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let fast = FastGate()
    private var core: ClientCore
    private var isDraining = false
    /// The eventfd of each connection, -1: none. It has a lock of its own, so that a connection does not wake only to
    /// wait for ours.
    private let connections = Mutex([Int32](repeating: -1, count: maximumConnections))
    /// Connections with held requests, which are to be woken.
    private var waiting: UInt64 = 0
    /// An eventfd, readable when the control thread has actions to carry out.
    let wakeup: Int32

    package init(core: ClientCore) throws(SystemError) {
        self.core = core
        wakeup = csnap_wakeup_make()
        guard wakeup >= 0 else { throw SystemError("cannot make", "an eventfd", code: -wakeup) }
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(changed, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        close(wakeup)
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    func signal() { csnap_wakeup_signal(wakeup) }

    // MARK: - Control thread

    /// Runs `body` under the lock, with the fast gate closed; the control thread is woken if there is something for it
    /// to do.
    package func with<Result>(_ body: (inout ClientCore) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { unlock() }
        return change(body)
    }

    /// The same for the control thread itself, which needs no waking: it takes the actions before it sleeps.
    func control(_ body: (inout ClientCore) -> Void) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        change(body)
    }

    private func change<Result>(_ body: (inout ClientCore) -> Result) -> Result {
        core.countElsewhere(fast.close())
        defer { publish() }
        return body(&core)
    }

    func peek<Result>(_ body: (ClientCore) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(core)
    }

    /// Under the lock, after `fast.close`: opens it again as far as the core says.
    private func publish() {
        let verdict = core.verdict
        fast.open(verdict)
        if fast.tell(verdict.owesNews || isDraining) { core.countElsewhere(0) }
        noteDrained()
    }

    /// Under the lock: the fast gate's count was 0 while the core waits for that.
    private func recount() {
        core.countElsewhere(fast.close())
        publish()
    }

    private func noteDrained() {
        if isDraining && core.writesInFlight == 0 { pthread_cond_broadcast(changed) }
    }

    private func unlock() {
        let hasActions = core.hasActions
        pthread_mutex_unlock(mutex)
        if hasActions { signal() }
    }

    /// What to do now, in order. Held requests are woken first if that is among it.
    func takeActions() -> [ClientCore.Action] {
        pthread_mutex_lock(mutex)
        let actions = core.takeActions()
        var woken: UInt64 = 0
        if actions.contains(.wake) { swap(&woken, &waiting) }
        pthread_mutex_unlock(mutex)
        if woken != 0 { wake(woken) }
        return actions
    }

    private func wake(_ numbers: UInt64) {
        connections.withLock { connections in
            for (number, wakeup) in connections.enumerated() where numbers >> UInt64(number) & 1 == 1 && wakeup >= 0 {
                csnap_wakeup_signal(wakeup)
            }
        }
    }

    /// Closes the gate for ever and waits for the writes at the disk; false if some are there at `until`.
    func drain(until: Instant) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        isDraining = true
        core.close()
        recount()
        while core.writesInFlight > 0 && BootClock.now() < until { wait() }
        return core.writesInFlight == 0
    }

    /// At most a moment: the caller looks at the time.
    private func wait() {
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        until.tv_nsec += 200_000_000
        until.tv_sec += until.tv_nsec / 1_000_000_000
        until.tv_nsec %= 1_000_000_000
        pthread_cond_timedwait(changed, mutex, &until)
    }

    // MARK: - Connections

    /// `wakeup` is signalled when held requests of this connection are to look again.
    func register(_ connection: Int, wakeup: Int32) {
        connections.withLock { $0[connection] = wakeup }
    }

    /// Before its eventfd is closed.
    func unregister(_ connection: Int) {
        connections.withLock { $0[connection] = -1 }
        pthread_mutex_lock(mutex)
        waiting &= ~(1 << UInt64(connection))
        pthread_mutex_unlock(mutex)
    }

    /// A read at the gate; false: it is held, and the connection will be woken.
    func mayRead(_ connection: Int) -> Bool {
        if fast.mayRead() { return true }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if core.mayRead(BootClock.now()) { return true }
        waiting |= 1 << UInt64(connection)
        return false
    }

    /// How a write got past the gate: who counts it.
    enum Pass: Equatable {
        case fast
        case slow
    }

    /// Whether a request that passed the gate and then waited may still go to the disk. False also while the gate is
    /// just being looked at: then it asks again.
    func mayGoOn() -> Bool { fast.mayRead() }

    /// What a write learns at the gate.
    enum Admission: Equatable {
        /// It is counted: do it, then `leave`.
        case go(Pass)
        /// It is held, and the connection will be woken.
        case hold
        /// The server could not copy out a chunk of this write: an errno.
        case failed(Int32)
    }

    /// A write, trim or write-zeroes; `length` 0 is a flush. `ticket` names it while it waits; one that was held asks
    /// with `again`.
    func enter(
        _ connection: Int, ticket: UInt32, offset: UInt64, length: UInt64, again: Bool
    ) -> Admission {
        // A held one is known to the core, which forgets it when it goes: it does not pass by the core.
        let passage = again ? .no : fast.enter(offset: offset, length: length)
        if passage == .go { return .go(.fast) }
        pthread_mutex_lock(mutex)
        defer { unlock() }
        if passage == .noAndTell { recount() }
        switch core.enter(ticket, offset: offset, length: length, now: BootClock.now()) {
        case .go: return .go(.slow)
        case .hold:
            waiting |= 1 << UInt64(connection)
            return .hold
        // There is no room behind what the store knows of the origin.
        case .failed(let code): return .failed(code == SessionQueryError.outOfRange.rawValue ? ENOSPC : EIO)
        }
    }

    /// The write has returned from the disk.
    func leave(_ pass: Pass) {
        switch pass {
        case .fast:
            guard fast.leave() else { return }
            pthread_mutex_lock(mutex)
            recount()
        case .slow:
            pthread_mutex_lock(mutex)
            core.leave()
            noteDrained()
        }
        unlock()
    }

    /// The held write's connection is gone.
    func withdraw(_ ticket: UInt32) {
        pthread_mutex_lock(mutex)
        core.withdraw(ticket)
        unlock()
    }
}
