import CShims
import CsnapCore
import Glibc

/// The one lock of the client: the core, and the waiting of held requests.
///
/// `@unchecked Sendable` is safe: `core` and `isDraining` are touched only between `lock` and `unlock`; the other
/// fields never change.
final class ClientMonitor: @unchecked Sendable {
    /// How long a held request waits before its thread looks whether the peer is still there.
    private static let waitMilliseconds = 500

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var core: ClientCore
    private var isDraining = false
    /// An eventfd, readable when the control thread has actions to carry out.
    let wakeup: Int32

    init(core: ClientCore) throws(SystemError) {
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

    /// Runs `body` under the lock; the control thread is woken if there is something for it to do.
    func with<Result>(_ body: (inout ClientCore) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        let result = body(&core)
        let hasActions = core.hasActions
        pthread_mutex_unlock(mutex)
        if hasActions { signal() }
        return result
    }

    /// For the control thread: what it is to do now, in order. Held requests are woken first if that is among it.
    func takeActions() -> [ClientCore.Action] {
        pthread_mutex_lock(mutex)
        let actions = core.takeActions()
        if actions.contains(.wake) { pthread_cond_broadcast(changed) }
        pthread_mutex_unlock(mutex)
        return actions
    }

    /// A write at the gate. On `hold` it has waited a while, or until something changed: look at the peer, try again.
    func enter(_ ticket: UInt32, offset: UInt64, length: UInt64) -> ClientCore.Admission {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        let admission = core.enter(ticket, offset: offset, length: length, now: BootClock.now())
        guard admission == .hold else { return admission }
        if core.hasActions { signal() }
        wait()
        return core.enter(ticket, offset: offset, length: length, now: BootClock.now())
    }

    func leave() {
        pthread_mutex_lock(mutex)
        core.leave()
        let (hasActions, isDrained) = (core.hasActions, core.writesInFlight == 0 && isDraining)
        if isDrained { pthread_cond_broadcast(changed) }
        pthread_mutex_unlock(mutex)
        if hasActions { signal() }
    }

    /// Closes the gate for ever and waits for the writes at the disk; false if some are there at `until`.
    func drain(until: Instant) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        isDraining = true
        core.close()
        while core.writesInFlight > 0 && BootClock.now() < until { wait() }
        return core.writesInFlight == 0
    }

    /// A read at the gate; false like `hold`.
    func mayRead() -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if core.mayRead(BootClock.now()) { return true }
        wait()
        return core.mayRead(BootClock.now())
    }

    func signal() { csnap_wakeup_signal(wakeup) }

    private func wait() {
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        until.tv_nsec += Self.waitMilliseconds * 1_000_000
        until.tv_sec += until.tv_nsec / 1_000_000_000
        until.tv_nsec %= 1_000_000_000
        pthread_cond_timedwait(changed, mutex, &until)
    }
}
