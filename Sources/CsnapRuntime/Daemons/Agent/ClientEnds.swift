import CShims
import CsnapCore
import Logging
import Synchronization

/// Clients of this node that are gone: as soon as nobody holds a client's lock on the origin, nothing of it can be at
/// the disk, and the server is told, so that snapshots no longer wait for it (docs/data-plane.md, "Client").
///
/// Clients say so themselves when they stop. This is for those that were killed, or whose goodbye nobody heard.
final class ClientEnds: Sendable {
    private static let stackSize = 256 << 10
    /// A client that starts waits 10 s for the lock, which is held while the server is asked.
    private static let patience = Interval.seconds(2)
    /// Between two looks; doubled from the first to the last.
    private static let pauses = (first: Interval.milliseconds(250), last: Interval.seconds(8))

    private struct Watch {
        /// By volume: the client that was known last; zero: none in this life of the agent.
        var gone: [String: Bits128] = [:]
        /// Volumes whose origin could not be looked at; said once each.
        var isTroubled: Set<String> = []
        var isRunning = false
        var isStopped = false
    }

    private let node: NodeID
    private let origins: [String: String]
    private let tell: @Sendable (_ volume: String, _ client: Bits128, Interval) -> Bool
    private let logger: Logger
    private let watch = Mutex(Watch())

    /// `tell` returns true when the server knows that the client is gone; it is called from a thread of its own.
    init(
        _ configuration: CsnapConfiguration, logger: Logger,
        tell: @escaping @Sendable (_ volume: String, _ client: Bits128, Interval) -> Bool
    ) {
        node = configuration.node
        origins = Dictionary(configuration.volumes.map { ($0.name, $0.origin) }) { first, _ in first }
        self.tell = tell
        self.logger = logger
    }

    /// Nobody knows which clients an earlier agent had: each volume's counts as gone until it says hello.
    func begin() {
        for volume in origins.keys { isGone(volume, client: .zero) }
    }

    func isHere(_ volume: String) { watch.withLock { $0.gone[volume] = nil } }

    /// A client on another origin than the agent's: for what is under way there the lock on the agent's proves nothing,
    /// but one that was known to be on the agent's may be proven gone.
    func isElsewhere(_ volume: String) { watch.withLock { if $0.gone[volume] == .zero { $0.gone[volume] = nil } } }

    /// The agent ends: nobody is told any more.
    func stop() {
        watch.withLock { watch in
            watch.isStopped = true
            watch.gone = [:]
        }
    }

    func isGone(_ volume: String, client: Bits128) {
        let begins = watch.withLock { watch in
            guard !watch.isStopped else { return false }
            watch.gone[volume] = client
            defer { watch.isRunning = true }
            return !watch.isRunning
        }
        guard begins else { return }
        let started = Threads.start(stackSize: Self.stackSize) { [self] in run() }
        if !started {
            watch.withLock { $0.isRunning = false }
            logger.error("no thread to learn whether the client of \(volume) is gone; raise the limit of tasks")
        }
    }

    /// Until every volume's client is back, or known to be gone.
    private func run() {
        var pause = Self.pauses.first
        while true {
            // Most clients that end are back at once.
            csnap_sleep_until((BootClock.now() + pause).nanoseconds)
            pause = min(pause + pause, Self.pauses.last)
            let gone = watch.withLock { watch in
                watch.isRunning = !watch.gone.isEmpty
                return watch.gone
            }
            if gone.isEmpty { return }
            for (volume, client) in gone where isProven(volume, client) {
                watch.withLock { if $0.gone[volume] == client { $0.gone[volume] = nil } }
            }
        }
    }

    private func isProven(_ volume: String, _ client: Bits128) -> Bool {
        do throws(SystemError) {
            guard let origin = origins[volume], let proof = try OriginLock.Proof(origin, node: node) else {
                return false
            }
            let isTold = tell(volume, client, Self.patience)
            _ = consume proof
            if isTold { logger.info("the server knows that the client of \(volume) has nothing at the disk") }
            return isTold
        } catch {
            if watch.withLock({ $0.isTroubled.insert(volume).inserted }) {
                logger.warning("whether the client of \(volume) is gone cannot be learnt: \(error)")
            }
            return false
        }
    }
}
