import CsnapCore
import Glibc
import NBDProtocol
import Synchronization

/// The client of one volume on this node: an NBD server whose requests wait for agent and server, and never fail
/// because of them (docs/data-plane.md, "Client").
package final class ClientDaemon: Sendable {
    private static let stackSize = 512 << 10
    /// Threads for calls that block; all disk I/O is on them where there is no ring.
    package static let workers = 16
    /// How long a stop waits for writes that are at the disk.
    private static let drain = Interval.seconds(10)

    private static let noThread = ClientError.system(
        SystemError("cannot start", "a thread (raise the limit of tasks)", code: EAGAIN))

    private let options: ClientOptions
    private let lock: FileLock
    private let device: OriginDevice
    private let monitor: ClientMonitor
    private let watch: DiskWatch
    private let listener: NBDListener
    private let log: @Sendable (ClientNote) -> Void
    private let engine: DiskEngine
    /// What clients may open; the origin first.
    private let exports: ExportTable
    private let snapshots: SnapshotReader
    private let stopping = Atomic<Bool>(false)

    /// Takes the volume's lock, opens the origin, listens. Throws `ClientError`.
    /// `pool`: the threads of requests that block.
    package init(
        options: ClientOptions, pool: WorkerPool = WorkerPool(threads: ClientDaemon.workers),
        log: @escaping @Sendable (ClientNote) -> Void
    ) throws(ClientError) {
        self.options = options
        self.log = log
        do throws(FileLockError) {
            let note = "csnap-client of \(options.volume), process \(getpid())\n"
            lock = try options.runtime.acquireClientLock(volume: options.volume, note: note)
        } catch {
            throw .lock(error)
        }
        do throws(SystemError) {
            device = try OriginDevice(path: options.origin, node: options.node)
            engine = options.engine ?? device.preferredEngine
            monitor = try ClientMonitor(core: Self.core(options, device))
            watch = try DiskWatch()
            let export = device.export(of: options.volume, size: device.size)
            exports = ExportTable([ServedExport(export: export)])
            snapshots = SnapshotReader(
                options: options, monitor: monitor, watch: watch, origin: device, exports: exports, log: log)
            listener = try NBDListener(
                path: options.runtime.volumeSocket(options.volume),
                context: ConnectionContext(
                    monitor: monitor, watch: watch, device: device, pool: pool, exports: exports, engine: engine),
                log: log)
        } catch {
            throw .system(error)
        }
    }

    private static func core(_ options: ClientOptions, _ device: OriginDevice) -> ClientCore {
        // With the lock in hand: so a later client has a higher id (`SessionHello.client`).
        let client = Bits128(high: UInt64(bitPattern: BootClock.now().nanoseconds), low: RandomBits.word())
        return ClientCore(
            client: client, volume: options.volume, processID: UInt32(getpid()), disks: options.disks,
            machine: options.machine, originSize: device.size)
    }

    /// Serves until `stop`. Then no new request goes to the disk, and those there are waited for. Throws if it cannot
    /// begin.
    package func run() throws(ClientError) {
        let how = "\(device.size) bytes, \(device.isDirect ? "O_DIRECT" : "O_DSYNC"), \(engine.rawValue)"
        log(ClientNote(.serving, "serving \(options.origin) (\(how)) at \(listener.path)"))
        let accepting = Threads.start(stackSize: Self.stackSize) { [self] in
            listener.run { stopping.load(ordering: .acquiring) }
        }
        guard accepting else { throw Self.noThread }
        let control = ClientControl(
            monitor: monitor, watch: watch, snapshots: snapshots, dataSocket: options.runtime.dataSocket,
            source: options.source, keys: options.keys, log: log)
        control.run { stopping.load(ordering: .acquiring) }
        if monitor.drain(until: BootClock.now() + Self.drain) {
            control.sayGoodbye()
        } else {
            log(ClientNote(.diskHangs, "it stops while writes are still at the disk of \(options.origin)"))
        }
        unlink(listener.path)
        log(ClientNote(.stopped, "stopped"))
    }

    /// From any thread.
    package func stop() {
        stopping.store(true, ordering: .releasing)
        monitor.signal()
    }

    /// Keeps SIGTERM, SIGINT and SIGHUP for `handleSignals`: a reload while we still wait for our predecessor's writes
    /// must not end us. Before any thread is started, and in a process of its own only.
    package static func holdSignals() {
        var set = signals
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    private static var signals: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&set, number) }
        return set
    }

    /// SIGTERM and SIGINT call `stop`, SIGHUP `reload`; those that were held, too.
    package func handleSignals(reload: @escaping @Sendable () -> Void) throws(ClientError) {
        let waiting = Threads.start(stackSize: Self.stackSize) { [self] in
            var signal: Int32 = 0
            var set = Self.signals
            while true {
                guard sigwait(&set, &signal) == 0 else { continue }
                guard signal == SIGHUP else { break }
                reload()
            }
            stop()
        }
        if !waiting { throw Self.noThread }
    }
}
