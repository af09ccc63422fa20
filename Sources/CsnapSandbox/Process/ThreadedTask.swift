import Glibc

/// A thread that is waited for; the sandbox's shells block, so they live on threads of their own.
final class ThreadedTask: Sendable {
    private let thread: pthread_t

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    init(_ run: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let body = Unmanaged.passRetained(Body(run))
        let result = pthread_create(
            &thread, nil,
            { pointer in
                if let pointer { Unmanaged<Body>.fromOpaque(pointer).takeRetainedValue().run() }
                return nil
            }, body.toOpaque())
        precondition(result == 0, "no thread: \(result)")
        self.thread = thread
    }

    /// Waits for its end; once only.
    func join() { pthread_join(thread, nil) }
}

/// CLOCK_BOOTTIME in nanoseconds.
package func boottime() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Gives the processor away between two looks at a condition.
package func pause(milliseconds: Int) {
    usleep(UInt32(milliseconds) * 1000)
}

/// Looks until the condition holds; throws `timeout(what)` after `seconds`.
package func waitUntil(_ what: String, seconds: Double, _ condition: () throws -> Bool) throws {
    let end = boottime() + Int64(seconds * 1e9)
    while try !condition() {
        guard boottime() < end else { throw SandboxError.timeout(what) }
        guard !Interruption.isRequested else { throw SandboxError.cancelled }
        pause(milliseconds: 25)
    }
}

func lastError() -> String { String(cString: strerror(errno)) }
