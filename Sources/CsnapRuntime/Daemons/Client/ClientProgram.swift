import FoundationEssentials
import Glibc
import Logging
import Synchronization
import Systemd

/// The program csnap-client, apart from its arguments.
package enum ClientProgram {
    private static let usageCode: Int32 = 2

    /// Serves until SIGTERM or SIGINT; returns the exit code. Its process must have no other threads yet.
    package static func run(file: String, volume: String) -> Int32 {
        ClientDaemon.holdSignals()
        let environment = ProcessInfo.processInfo.environment
        let configuration: CsnapConfiguration
        do {
            configuration = try CsnapConfiguration.load(file: file, environment: environment)
        } catch {
            refuse(Log.plain(identifier: "csnap-client"), "\(error)")
            return usageCode
        }
        var logger = Log.make(identifier: "csnap-client", configuration: configuration)
        logger[metadataKey: LogField.volume] = "\(volume)"
        do throws(ClientError) {
            let options = try ClientOptions(configuration: configuration, volume: volume)
            Latency.lockMemory(logger)
            let daemon = try ClientDaemon(options: options) { [logger] in logger.log($0) }
            let reload = ClientReload(
                file: file, environment: environment, volume: volume, running: configuration, keys: options.keys,
                logger: logger)
            try daemon.handleSignals { reload.run() }
            try daemon.run()
            return 0
        } catch {
            refuse(logger, "\(error)")
            if error.exitCode == 1 { ServiceManager.waitBeforeNextTry() }
            return error.exitCode
        }
    }

    private static func refuse(_ logger: Logger, _ why: String) { logger.critical("the client cannot start: \(why)") }
}

/// SIGHUP: takes from the configuration what can change in a running client, and names the rest.
final class ClientReload: Sendable {
    private let file: String
    private let environment: [String: String]
    private let volume: String
    private let running: Mutex<CsnapConfiguration>
    private let keys: KeySource
    private let logger: Logger

    init(
        file: String, environment: [String: String], volume: String, running: CsnapConfiguration, keys: KeySource,
        logger: Logger
    ) {
        self.file = file
        self.environment = environment
        self.volume = volume
        self.running = Mutex(running)
        self.keys = keys
        self.logger = logger
    }

    /// Blocks on the files. Nothing is changed if anything is refused.
    func run() {
        let new: CsnapConfiguration
        do {
            new = try CsnapConfiguration.load(file: file, environment: environment)
        } catch {
            logger.error("the configuration is not reloaded: \(error)")
            return
        }
        guard new.volume(named: volume) != nil else {
            logger.error("the configuration is not reloaded: volume \(volume) is gone from it; stop this client")
            return
        }
        Log.threshold.set(new.logLevel.level)
        keys.reload()
        let changed = running.withLock { old in
            let changed = new.clientDifferences(from: old, volume: volume)
            old.logLevel = new.logLevel
            return changed
        }
        logger.notice("configuration reloaded: \(changed.contains("log-level") ? "log-level" : "nothing new")")
        let left = changed.filter { $0 != "log-level" }
        guard !left.isEmpty else { return }
        logger.warning(
            "these need a restart of this client, which breaks its NBD connections: \(left.joined(separator: ", "))")
    }
}

extension CsnapConfiguration {
    /// The keys in which the two differ for the client of that volume.
    package func clientDifferences(from other: CsnapConfiguration, volume: String) -> [String] {
        let used = ["cluster", "node", "listen", "key-file", "insecure", "state-directory", "runtime-directory"]
        var keys = differences(from: other).filter { used.contains($0) || $0 == "log-level" }
        if self.volume(named: volume) != other.volume(named: volume) { keys.append("volumes.\(volume)") }
        return keys
    }
}
