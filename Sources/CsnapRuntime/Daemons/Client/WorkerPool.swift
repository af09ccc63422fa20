import DequeModule
import Glibc

/// A few threads for calls that block: trims, extents, snapshot reads, and all disk I/O where no ring may be had.
///
/// Jobs wait in a queue that is as long as what connections can have in flight; a thread is started when a job finds
/// none idle, up to the bound, and stays.
///
/// `@unchecked Sendable` is safe: all that changes is touched only between `lock` and `unlock`.
package final class WorkerPool: @unchecked Sendable {
    private static let stackSize = 256 << 10

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let added = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let maximumThreads: Int
    private var jobs: Deque<@Sendable () -> Void> = []
    private var threads = 0
    private var idle = 0

    package init(threads: Int) {
        maximumThreads = threads
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(added, nil)
    }

    // The threads keep the pool: it lives as long as the process once it has worked.
    deinit {
        pthread_cond_destroy(added)
        pthread_mutex_destroy(mutex)
        added.deallocate()
        mutex.deallocate()
    }

    /// Runs the job on some thread, soon; on the caller's own if the system gives us not one thread.
    package func run(_ job: @escaping @Sendable () -> Void) {
        pthread_mutex_lock(mutex)
        jobs.append(job)
        if idle > 0 { pthread_cond_signal(added) }
        let isNeeded = jobs.count > idle && threads < maximumThreads
        if isNeeded { threads += 1 }
        pthread_mutex_unlock(mutex)
        if isNeeded { startThread() }
    }

    private func startThread() {
        if Threads.start(stackSize: Self.stackSize, { [self] in work() }) { return }
        pthread_mutex_lock(mutex)
        threads -= 1
        // Others that wait for the same thread have left theirs to us.
        let left = threads == 0 ? jobs : []
        if threads == 0 { jobs = [] }
        pthread_mutex_unlock(mutex)
        for job in left { job() }
    }

    private func work() {
        while true {
            pthread_mutex_lock(mutex)
            idle += 1
            while jobs.isEmpty { pthread_cond_wait(added, mutex) }
            idle -= 1
            let job = jobs.popFirst()
            pthread_mutex_unlock(mutex)
            job?()
        }
    }
}
