package import CsnapRuntime
import Synchronization

/// Follows one agent's event stream over its restarts and keeps what it said.
package final class EventFollower: Sendable {
    private let events = Mutex<[EventItem]>([])
    private let stopping = Atomic<Bool>(false)
    private let thread = Mutex<ThreadedTask?>(nil)

    private static let maximumEvents = 100_000

    package init(socket: String) {
        let task = ThreadedTask { self.run(socket) }
        thread.withLock { $0 = task }
    }

    package var snapshot: [EventItem] { events.withLock { $0 } }

    package func stop() {
        stopping.store(true, ordering: .relaxed)
        thread.withLock { $0.take() }?.join()
    }

    private func run(_ socket: String) {
        while !isStopping {
            do {
                let caller = try AgentCaller(path: socket, cancelled: { self.isStopping })
                try caller.follow(since: events.withLock { $0.last?.cursor }) { event in
                    events.withLock { events in
                        if events.count < EventFollower.maximumEvents, event.kind != "resync" { events.append(event) }
                    }
                    return !isStopping
                }
            } catch {
                pause(milliseconds: 20)
            }
        }
    }

    private var isStopping: Bool { stopping.load(ordering: .relaxed) }
}
