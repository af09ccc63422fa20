import CShims
package import CsnapCore
import Dispatch
import Glibc
import Synchronization

/// Plain threads for work that blocks.
package enum Threads {
    /// False if the system has no more threads. The thread ends with `body`; nobody waits for it.
    static func start(stackSize: Int, _ body: @escaping @Sendable () -> Void) -> Bool {
        let box = Unmanaged.passRetained(ThreadBody(body))
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackSize)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
        if result != 0 { box.release() }
        return result == 0
    }

    /// What a thread of its own finds out; where it hangs, so does that thread alone.
    package static func ask<Answer: Sendable>(_ body: @escaping @Sendable () -> Answer) -> Question<Answer> {
        let question = Question<Answer>()
        // Without a thread there is no answer.
        _ = start(stackSize: 64 << 10) { question.answer(body()) }
        return question
    }

    private final class ThreadBody {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}

/// A thread was asked something.
package final class Question<Answer: Sendable>: Sendable {
    private let value = Mutex<Answer?>(nil)
    private let isAnswered = DispatchSemaphore(value: 0)

    fileprivate func answer(_ answer: Answer) {
        value.withLock { $0 = answer }
        isAnswered.signal()
    }

    /// Nil if there is none until then.
    package func wait(until end: Instant) -> Answer? {
        let left = max(.zero, end - BootClock.now())
        _ = isAnswered.wait(timeout: .now() + .nanoseconds(Int(left.nanoseconds)))
        return value.withLock { $0 }
    }
}
