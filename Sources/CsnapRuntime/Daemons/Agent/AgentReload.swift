import Logging
import NIOCore
import Synchronization
import Systemd

/// SIGHUP: takes from the configuration and the key file what can change in a running agent, and names the rest.
final class AgentReload: Sendable {
    private let daemon: AgentDaemon
    private let file: String
    private let flags: [String]
    private let current: Mutex<(configuration: CsnapConfiguration, keys: KeyRing)>

    init(daemon: AgentDaemon, start: AgentStart, keys: KeyRing) {
        self.daemon = daemon
        file = start.configurationFile
        flags = start.flags
        current = Mutex((start.configuration, keys))
    }

    /// Blocks on the files, so not on the agent's loop. Nothing is changed if anything is refused.
    func run() {
        ServiceManager.notifyReloading()
        defer { ServiceManager.notify(.ready) }
        let logger = daemon.logger
        do {
            let new = try CsnapConfiguration.load(
                file: file, environment: AgentProgram.environment(), flags: flags)
            let old = current.withLock { $0 }
            // The running server's and the clients' file; another one needs a restart of all three.
            let keys = try KeySource(old.configuration).current
            guard old.keys.mayBecome(keys) else {
                logger.error("the configuration is not reloaded: a key id stands for another key than before")
                return
            }
            let changed = new.differences(from: old.configuration)
            Log.threshold.set(new.logLevel.level)
            try daemon.reload(keys: keys, peers: new.peers).wait()
            current.withLock { current in
                current.configuration.logLevel = new.logLevel
                current.configuration.peers = new.peers
                current.keys = keys
            }
            var taken = changed.filter { CsnapConfiguration.reloadable.contains($0) }
            if keys != old.keys { taken.append("the keys in \(old.configuration.keyFile ?? "no file")") }
            let words = taken.isEmpty ? "nothing new" : taken.joined(separator: ", ")
            logger.notice("configuration reloaded: \(words)")
            let left = changed.filter { !CsnapConfiguration.reloadable.contains($0) }
            if !left.isEmpty { logger.warning("these need a restart of the agent: \(left.joined(separator: ", "))") }
        } catch {
            logger.error("the configuration is not reloaded: \(error)")
        }
    }
}
