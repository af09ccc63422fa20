import CsnapCore
import Dispatch
import Glibc
import Logging
import NIOCore
import Synchronization
import Systemd

/// Signals of the agent: SIGTERM and SIGINT stop it (the second at once), SIGHUP reloads what can change.
final class AgentSignals: Sendable {
    /// How long systemd is asked to wait for a hand-over, again and again while it lasts; then it may kill us.
    private static let stopMicroseconds: UInt64 = 30_000_000
    private static let stopPeriod = TimeAmount.seconds(10)
    private static let stopLimit = Interval.seconds(300)

    // A dispatch source may be cancelled from any thread; it is not marked so before libdispatch is annotated.
    nonisolated(unsafe) private let sources: [any DispatchSourceSignal]

    init(daemon: AgentDaemon, reload: AgentReload) {
        let queue = DispatchQueue(label: "csnap.signals")
        let counter = StopCounter()
        sources = [SIGTERM, SIGINT, SIGHUP].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                if number == SIGHUP { reload.run() } else { Self.stop(daemon, counter: counter) }
            }
            source.activate()
            return source
        }
    }

    func cancel() { for source in sources { source.cancel() } }

    private final class StopCounter: Sendable {
        private let count = Mutex(0)
        func next() -> Int {
            count.withLock { count in
                count += 1
                return count
            }
        }
    }

    private static func stop(_ daemon: AgentDaemon, counter: StopCounter) {
        guard counter.next() == 1 else {
            daemon.logger.warning("stopped a second time: the agent ends at once")
            exit(1)
        }
        daemon.logger.notice("stopping: what this node serves is handed over first")
        ServiceManager.notify(.stopping, .extendTimeout(microseconds: stopMicroseconds))
        let limit = BootClock.now() + stopLimit
        daemon.loop.scheduleRepeatedTask(initialDelay: stopPeriod, delay: stopPeriod) { task in
            guard BootClock.now() < limit else { return task.cancel() }
            ServiceManager.notifyAtOnce(.extendTimeout(microseconds: stopMicroseconds))
        }
        daemon.submit(.stop).whenSuccess { outcome in
            if case .refused(let code) = outcome { daemon.logger.warning("the stop is refused: \(code)") }
        }
    }
}
