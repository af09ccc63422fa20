import CShims
import CsnapCore
import Glibc
import NBDProtocol
import Synchronization

/// The Unix socket where programs find the volume; gives each connection a thread and a number.
final class NBDListener: Sendable {
    /// One thread each and up to 8 MiB of data, 32 MiB for a moment; more are closed at once.
    static let maximumConnections = ClientMonitor.maximumConnections
    private static let stackSize = 256 << 10

    let path: String
    private let descriptor: Int32
    private let context: ConnectionContext
    private let numbers = Mutex([Bool](repeating: false, count: maximumConnections))
    private let log: @Sendable (ClientNote) -> Void
    /// That there was no place is said at most so often.
    private static let sayingPeriod = Interval.seconds(60)
    private let saidAt = Mutex(Instant.distantPast)

    /// Replaces whatever lies at `path`: only the holder of the volume's lock may do so.
    init(
        path: String, context: ConnectionContext, log: @escaping @Sendable (ClientNote) -> Void
    ) throws(SystemError) {
        self.path = path
        self.log = log
        self.context = context
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        descriptor = socket(AF_UNIX, kind, 0)
        guard descriptor >= 0 else { throw SystemError("cannot make", path) }
        do throws(SystemError) {
            try Self.publish(descriptor, path)
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    /// Binds beside the name and renames, so that the name never leads to a socket nobody listens on, nor to one of a
    /// wider mode.
    private static func publish(_ descriptor: Int32, _ path: String) throws(SystemError) {
        let temporary = path + ".new"
        guard let address = UnixAddress(temporary) else {
            throw SystemError("too long for a Unix socket:", path, code: ENAMETOOLONG)
        }
        unlink(temporary)
        fchmod(descriptor, 0o660)
        guard address.with({ bind(descriptor, $0, $1) }) == 0, chmod(temporary, 0o660) == 0,
            listen(descriptor, 64) == 0, rename(temporary, path) == 0
        else {
            let code = errno
            unlink(temporary)
            throw SystemError("cannot listen at", path, code: code)
        }
    }

    /// Accepts until `isStopping`; it looks at least each half second.
    func run(isStopping: () -> Bool) {
        while !isStopping() {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 500) > 0 else { continue }
            let peer = csnap_client_accept(descriptor)
            guard peer >= 0 else { continue }
            if !serve(peer) { close(peer) }
        }
    }

    private func sayFull() {
        let now = BootClock.now()
        let isNews = saidAt.withLock { last in
            guard now - last >= Self.sayingPeriod else { return false }
            last = now
            return true
        }
        guard isNews else { return }
        log(
            ClientNote(
                .other,
                "\(Self.maximumConnections) programs are connected, as many as may be, and one more was turned away; "
                    + "`ss -xp` names who is connected to \(path)"))
    }

    private func serve(_ peer: Int32) -> Bool {
        let number = numbers.withLock { used -> Int? in
            guard let free = used.firstIndex(of: false) else { return nil }
            used[free] = true
            return free
        }
        guard let number else {
            sayFull()
            return false
        }
        let started = Threads.start(stackSize: Self.stackSize) { [self] in
            try? NBDConnection(socket: peer, number: number, context: context).run()
            close(peer)
            numbers.withLock { $0[number] = false }
        }
        if !started { numbers.withLock { $0[number] = false } }
        return started
    }
}
