import CShims
import Glibc

/// A thread of its own for work that blocks in the kernel.
enum ServerThread {
    /// Safe to hand over: it is made here and taken exactly once, by the new thread.
    private final class Body: @unchecked Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts it; it is never joined, and ends with the process.
    static func start(_ name: String, _ run: @escaping @Sendable () -> Void) throws(SystemError) {
        var thread = pthread_t()
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, 256 << 10)
        let body = Unmanaged.passRetained(
            Body {
                csnap_name_thread(name)
                run()
            })
        let result = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, body.toOpaque())
        guard result == 0 else {
            body.release()
            throw SystemError("cannot start the thread", name, code: result)
        }
    }
}

/// Wakes a thread that waits for it: an eventfd(2).
final class Doorbell: Sendable {
    let descriptor: Int32

    /// `blocking`: `wait` waits.
    init(blocking: Bool) throws(SystemError) {
        descriptor = csnap_doorbell(blocking ? 1 : 0)
        guard descriptor >= 0 else { throw SystemError("cannot make", "an eventfd", code: -descriptor) }
    }

    deinit { close(descriptor) }

    func ring() {
        var one: UInt64 = 1
        while write(descriptor, &one, 8) < 0, errno == EINTR {}
    }

    /// Takes all rings so far.
    func wait() {
        var count: UInt64 = 0
        while read(descriptor, &count, 8) < 0, errno == EINTR {}
    }
}
