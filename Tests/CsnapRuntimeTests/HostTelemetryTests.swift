import CsnapCore
import CsnapRuntime
import Glibc
import Logging
import Synchronization
import Systemd
import Testing

private final class Lines: Sendable {
    private let lines = Mutex<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}

@Suite("Telemetry")
struct HostTelemetryTests {
    private func logger(_ lines: Lines, _ level: Logger.Level = .info) -> Logger {
        let threshold = LogThreshold(level)
        return Logger(label: "test") { _ in CsnapLogHandler(output: .lines { lines.add($0) }, threshold: threshold) }
    }

    /// Without the stamp, whose form is checked.
    private func text(_ line: String?) -> String? {
        guard let line, let match = line.prefixMatch(of: #/\[ *[0-9]+\.[0-9]{6}\] /#) else { return nil }
        return String(line[match.range.upperBound...])
    }

    @Test func aReportIsOneLineWithItsFields() {
        let lines = Lines()
        var logger = logger(lines)
        logger[metadataKey: LogField.node] = "2"
        let server = NodeBoot(node: NodeID(3), boot: Boot(1))
        logger.log(.serverActive(Tenure(epoch: Epoch(7), round: Round(2)), server: server), cluster: .zero)
        #expect(lines.all.count == 1)
        #expect(
            text(lines.all.first)
                == "notice: server on node 3 active, epoch 7 round 2 (epoch=7 peer=3 phase=active round=2)")
    }

    @Test func textNeverBreaksALine() {
        let lines = Lines()
        logger(lines).warning("two\nlines")
        #expect(text(lines.all.first) == "warning: two lines")
    }

    @Test func levelsBelowTheThresholdAreSilent() {
        let lines = Lines()
        let logger = logger(lines, .warning)
        logger.info("nothing")
        logger.error("something")
        #expect(lines.all.count == 1)
    }

    @Test func messageIdentifiersAreTheirOwn() {
        let tenure = Tenure(epoch: Epoch(1), round: Round(1))
        let process = NodeBoot(node: NodeID(1), boot: Boot(1))
        let reports: [Report] = [
            .founded(cluster: .zero), .joinedGroup(cluster: .zero), .memberAlive(process), .memberLeft(process),
            .memberUnreachable(process), .leaseSoft(Epoch(1)), .leaseRegained(Epoch(1)), .leaseLost(Epoch(1)),
            .released(Epoch(1)), .serverDown(Epoch(1)), .clientsSuspended(tenure), .clientsResumed(tenure),
            .admitted(tenure, process), .evicted(tenure, process, .left), .stateWriteFailed,
            .clientGone(ClientID(1)), .serverFailed(.storeIO, volume: "a"), .waitingFor(tenure, []),
        ]
        let identifiers = reports.map { ReportEntry($0).messageID }
        #expect(Set(identifiers).count == reports.count)
        #expect(identifiers.allSatisfy { $0.count == 32 && Bits128(hex: $0) != nil })
    }

    @Test func eventsAreNumberedBoundedAndResumable() {
        let log = EventLog(process: NodeBoot(node: NodeID(1), boot: Boot(2)))
        let count = EventLog.capacity + 10
        let seen = Mutex(0)
        let token = log.watch { seen.withLock { $0 += 1 } }
        for epoch in 1...count { log.append(.released(Epoch(UInt64(epoch))), at: .distantPast) }
        log.stopWatching(token)
        log.append(.released(Epoch(1)), at: .distantPast)
        #expect(seen.withLock { $0 } == count)
        let all = log.events(after: nil, limit: .max)
        #expect(all.events.count == EventLog.capacity && !all.missed)
        #expect(all.events.first?.cursor == 2 << 32 | 12)
        #expect(zip(all.events, all.events.dropFirst()).allSatisfy { $0.cursor + 1 == $1.cursor })
        let page = log.events(after: all.events[5].cursor, limit: 3)
        #expect(page.events == Array(all.events[6..<9]) && !page.missed)
        #expect(log.events(after: 1 << 32 | 5, limit: 3).missed)
        #expect(log.events(after: 2 << 32 | 1, limit: 1).missed)
        let last = all.events.last?.cursor
        #expect(log.events(after: last, limit: 9).events.isEmpty)
    }
}

@Suite("Service manager", .serialized)
struct HostServiceManagerTests {
    @Test func noticesReachTheSocket() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/notify"
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(socket) }
        let bound = UnixAddress(path)?.with { bind(socket, $0, $1) }
        #expect(bound == 0)
        #expect(!ServiceManager.isPresent && !ServiceManager.notify(.ready))
        setenv("NOTIFY_SOCKET", path, 1)
        defer { unsetenv("NOTIFY_SOCKET") }
        #expect(ServiceManager.notify(.ready, .status("two\nlines")))
        #expect(receive(socket) == "READY=1\nSTATUS=two lines")
        #expect(ServiceManager.notifyReloading())
        #expect(receive(socket)?.hasPrefix("RELOADING=1\nMONOTONIC_USEC=") == true)
        #expect(ServiceManager.notify(.stopping, .extendTimeout(microseconds: 5)))
        #expect(receive(socket) == "STOPPING=1\nEXTEND_TIMEOUT_USEC=5")
    }

    /// The agent says how things stand on its event loop.
    @Test(.timeLimit(.minutes(1)), arguments: [false, true]) func aFullQueueIsNotWaitedFor(isAbstract: Bool) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/notify"
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(socket) }
        var name = try #require(sockaddr_un(path: path))
        var length = MemoryLayout<sockaddr_un>.size
        if isAbstract {
            name.sun_path.0 = 0
            length = 2 + path.utf8.count
        }
        let bound = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, socklen_t(length)) }
        }
        try #require(bound == 0)
        #expect(!ServiceManager.notifyAtOnce(.ready), "nobody listens")
        setenv("NOTIFY_SOCKET", isAbstract ? "@" + path.dropFirst() : path, 1)
        defer { unsetenv("NOTIFY_SOCKET") }
        var taken = 0
        while taken < 100_000, ServiceManager.notifyAtOnce(.status("two\nlines")) { taken += 1 }
        #expect(taken > 0 && taken < 100_000)
        for _ in 0..<taken { #expect(receive(socket) == "STATUS=two lines") }
        #expect(ServiceManager.notifyAtOnce(.watchdog) && receive(socket) == "WATCHDOG=1")
    }

    /// Whoever logs on an event loop must not wait for a journal that stands still.
    @Test func aFullQueueIsSeenBeforeItIsWaitedFor() throws {
        let path = "/tmp/csnap-queue-\(getpid())"
        defer { unlink(path) }
        #expect(QueueProbe(path: path) == nil, "nobody has it")
        let reader = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(reader) }
        let address = try #require(UnixAddress(path))
        try #require(address.with { bind(reader, $0, $1) } == 0)
        let probe = try #require(QueueProbe(path: path))
        #expect(probe.hasRoom)
        let writer = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(writer) }
        try #require(address.with { connect(writer, $0, $1) } == 0)
        var sent = 0
        while sent < 100_000, send(writer, "x", 1, Int32(MSG_DONTWAIT)) == 1 { sent += 1 }
        #expect(sent < 100_000 && !probe.hasRoom)
        var byte: UInt8 = 0
        while recv(reader, &byte, 1, Int32(MSG_DONTWAIT)) == 1 {}
        #expect(probe.hasRoom)
    }

    @Test func theWatchdogIsForThisProcessOnly() {
        #expect(ServiceManager.watchdogMicroseconds == nil)
        setenv("WATCHDOG_USEC", "2000000", 1)
        setenv("WATCHDOG_PID", "\(getpid())", 1)
        #expect(ServiceManager.watchdogMicroseconds == 2_000_000)
        setenv("WATCHDOG_PID", "1", 1)
        #expect(ServiceManager.watchdogMicroseconds == nil)
        unsetenv("WATCHDOG_USEC")
        unsetenv("WATCHDOG_PID")
    }

    private func receive(_ socket: Int32) -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(socket, &buffer, buffer.count, 0)
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }
}
