import CsnapCore
import Dispatch
import FoundationEssentials
import Glibc
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Systemd

/// The program csnap-agent, apart from its arguments. Each function returns the exit code.
package enum AgentProgram {
    private static let usageCode: Int32 = 2
    private static let failureCode: Int32 = 1

    /// `--check`: prints the effective configuration with the source of each value, or what is wrong with it.
    package static func check(file: String, flags: [String] = []) -> Int32 {
        do {
            let (configuration, lines) = try CsnapConfiguration.loadEffective(
                file: file, environment: environment(), flags: flags)
            _ = try KeySource(configuration)
            let placement = VolumePlacement(configuration)
            for problem in placement.refusals + placement.warnings + missing(configuration) { say(problem) }
            guard placement.refusals.isEmpty else { return usageCode }
            try? Files.writeAll(Array((lines.joined(separator: "\n") + "\n").utf8), descriptor: 1, path: "output")
            return 0
        } catch {
            say("\(error)")
            return usageCode
        }
    }

    /// What this node's daemons would not find or could not read; a node without stores has none, perhaps.
    private static func missing(_ configuration: CsnapConfiguration) -> [String] {
        var problems: [String] = []
        for volume in configuration.volumes {
            for (use, path) in [("origin", volume.origin), ("store", volume.store)] where access(path, F_OK) != 0 {
                problems.append("volumes.\(volume.name).\(use): \(path): \(String(cString: strerror(errno)))")
            }
        }
        if let key = configuration.keyFile, DaemonUser.lacks(key) {
            problems.append("\(key): user \(DaemonUser.name), as whom the units run, cannot read it: chown it")
        }
        return problems
    }

    /// Runs the agent until it stops; its process must have no other threads that spawn or handle signals.
    package static func run(file: String, flags: [String] = []) -> Int32 {
        let configuration: CsnapConfiguration
        let keys: KeyRing
        do {
            configuration = try CsnapConfiguration.load(file: file, environment: environment(), flags: flags)
            keys = try KeySource(configuration).current
        } catch {
            return refuse(Log.plain(identifier: "csnap-agent"), "\(error)", usageCode)
        }
        let logger = Log.make(identifier: "csnap-agent", configuration: configuration)
        if keys.isInsecure { logger.warning("insecure: anybody who reaches \(configuration.listen.text) is obeyed") }
        let start: AgentStart
        do {
            start = try AgentStart.prepare(configuration, file: file, flags: flags, logger: logger)
        } catch {
            return refuse(logger, "\(error)", error.exitCode)
        }
        return run(start, keys: keys, logger: logger)
    }

    private static func run(_ start: AgentStart, keys: KeyRing, logger: Logger) -> Int32 {
        signal(SIGPIPE, SIG_IGN)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        // Whatever callers do there, the core's loop does not wait for it.
        let callers = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let daemon: AgentDaemon
        do {
            Latency.lockMemory(logger)
            try loop.submit { Latency.scheduleThisThread(logger) }.wait()
            daemon = try AgentDaemon.run(start, on: loop, logger: logger, transport: AgentTransport.factory(keys: keys))
                .wait()
            let host = AgentControl(daemon: daemon)
            let path = start.configuration.runtime.controlSocket
            _ = try VarlinkServer.start(path: path, group: callers, host: host, access: .system()).wait()
            startMetrics(start.configuration, host, callers, logger)
            // Everybody may ask; who may change things is decided by their credentials.
            chmod(path, 0o666)
        } catch {
            return refuse(logger, "\(error)", failureCode)
        }
        let signals = AgentSignals(daemon: daemon, reload: AgentReload(daemon: daemon, start: start, keys: keys))
        defer { signals.cancel() }
        let process = start.settings.process
        logger.notice(
            "agent of node \(process.node.value), boot \(process.boot.value), at \(start.configuration.listen.text)")
        try? daemon.sayStatus().wait()
        ServiceManager.notify(.ready)
        guard let reason = try? daemon.exited.wait() else { return failureCode }
        ServiceManager.notify(.stopping)
        logger.notice("the agent ends: \(reason.text)")
        try? daemon.close().wait()
        return reason.exitCode
    }

    /// Without it the service goes on: monitoring must not stop what it watches.
    private static func startMetrics(
        _ configuration: CsnapConfiguration, _ host: AgentControl, _ group: any EventLoopGroup, _ logger: Logger
    ) {
        guard let address = configuration.metricsListen else { return }
        MetricsListener.start(
            at: address.hostText, port: Int(address.port), group: group, text: { host.metrics($0) }
        ).whenFailure { error in logger.error("no metrics at \(address.text): \(error)") }
    }

    /// No packet has left. `systemctl status` says why, too.
    private static func refuse(_ logger: Logger, _ why: String, _ code: Int32) -> Int32 {
        logger.critical("the agent cannot start: \(why)")
        ServiceManager.notify(.status("cannot start: \(why)"))
        if code == failureCode { ServiceManager.waitBeforeNextTry() }
        return code
    }

    private static func say(_ text: String) {
        try? Files.writeAll(Array((text + "\n").utf8), descriptor: STDERR_FILENO, path: "standard error")
    }

    static func environment() -> [String: String] { ProcessInfo.processInfo.environment }
}

extension ExitReason {
    /// systemd is told by these what to do next (units/csnap-agent.service).
    package var exitCode: Int32 {
        switch self {
        case .done: 0
        case .newBoot: 75
        case .olderProcess: 76
        }
    }

    var text: String {
        switch self {
        case .done: "as asked"
        case .newBoot: "this boot is over; the next one joins anew"
        case .olderProcess: "a newer process of this node is alive"
        }
    }
}
