import CShims
import Glibc
import Synchronization

/// What other threads have finished for a connection: they post, its own thread takes.
package final class Mailbox: Sendable {
    struct Letter {
        /// The request, 0 ..< 128.
        var request: Int
        /// 0 or a count of bytes; -errno on failure.
        var result: Int32
    }

    /// An eventfd, readable when something was posted; and when held requests are to look at the gate again.
    let wakeup: Int32
    private let letters = Mutex<[Letter]>([])

    package init() throws(SystemError) {
        wakeup = csnap_wakeup_make()
        guard wakeup >= 0 else { throw SystemError("cannot make", "an eventfd", code: -wakeup) }
    }

    deinit { close(wakeup) }

    func post(_ request: Int, _ result: Int32) {
        letters.withLock { $0.append(Letter(request: request, result: result)) }
        csnap_wakeup_signal(wakeup)
    }

    /// After the eventfd was readable.
    func take() -> [Letter] {
        csnap_wakeup_clear(wakeup)
        return letters.withLock { letters in
            defer { letters.removeAll(keepingCapacity: true) }
            return letters
        }
    }
}
