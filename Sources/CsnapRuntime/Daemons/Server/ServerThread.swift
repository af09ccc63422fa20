import CShims
import Glibc

/// A thread of its own for work that blocks in the kernel.
enum ServerThread {
    /// Starts it; it is never joined, and ends with the process.
    static func start(_ name: String, _ run: @escaping @Sendable () -> Void) throws(SystemError) {
        let isStarted = Threads.start(stackSize: 256 << 10) {
            csnap_name_thread(name)
            run()
        }
        if !isStarted { throw SystemError("cannot start the thread", name, code: EAGAIN) }
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
