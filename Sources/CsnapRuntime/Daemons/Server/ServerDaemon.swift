import CShims
import CsnapCore
import Foundation
import Glibc
import Logging

/// csnap-server: started by the agent, loaded and inert until its START, gone with its agent or its tenure
/// (docs/data-plane.md, "Server").
package enum ServerDaemon {
    /// Runs until the process ends; returns only an exit code of a failed load.
    ///
    /// `agentDescriptor` is one end of a stream socket pair whose other end the agent holds. `leavesOut`: volumes whose
    /// stores fail are not served; else such a one ends the server. Those of `without` are not even opened. `volumes`:
    /// those that the agent started with, in JSON; the file may have others by now, which clients do not use.
    package static func run(
        configurationFile: String, flags: [String] = [], volumes: String? = nil, leavesOut: Bool = false,
        without: [String] = [], agentDescriptor: Int32
    ) -> Int32 {
        let plain = Log.plain(identifier: "csnap-server")
        // Only the agent's death counts: who is parent by now is asked again after the signal is set.
        guard csnap_die_with_parent(getppid()) == 0 else { return ServerExit.agentGone.rawValue }
        var configuration: CsnapConfiguration
        let keys: KeySource
        do {
            configuration = try CsnapConfiguration.load(
                file: configurationFile, environment: ProcessInfo.processInfo.environment,
                flags: flags)
            if let volumes {
                configuration.volumes = try JSON.decode([CsnapConfiguration.Volume].self, from: Array(volumes.utf8))
            }
            keys = try KeySource(configuration)
        } catch {
            plain.critical("\(error)")
            return ServerExit.usage.rawValue
        }
        Failpoints.watch(configuration.runtimeDirectory)
        let logger = Log.make(identifier: "csnap-server", configuration: configuration)
        Latency.lockMemory(logger)
        var agent = AgentChannel(descriptor: agentDescriptor)
        guard let lock = waitForLock(configuration, agent: agent, logger: logger) else {
            return ServerExit.agentGone.rawValue
        }
        // They may have been changed while it was waited for.
        keys.reload()
        do {
            let resources = try ServerResources(
                configuration: configuration, keys: keys, leavesOut: leavesOut, without: without)
            let loop = try ServerLoop(resources, agent: agent, lock: lock, logger: logger)
            loop.run()
        } catch {
            logger.error("\(error)")
            let load = error as? ServerLoadError
            _ = agent.send(
                .failed(load?.failure ?? .storeUnreachable, volume: load?.volume ?? "", epochSeen: .none))
            return ServerExit.failed.rawValue
        }
    }

    package static func arguments(of volumes: [CsnapConfiguration.Volume]) -> [String] {
        // Strings are always encoded.
        guard let text = try? JSON.text(volumes) else { return [] }
        return ["--volumes", text]
    }

    /// `server.lock` from before `inert` until the end (docs/protocol.md §5.8). The server before us may be on its way
    /// out; nil if the agent goes first.
    private static func waitForLock(
        _ configuration: CsnapConfiguration, agent: AgentChannel, logger: Logger
    ) -> FileLock? {
        var isSaid = false
        while true {
            do {
                return try FileLock.acquire(configuration.runtime.serverLock, note: nil)
            } catch {
                if !isSaid { logger.notice("waits for the server's lock: \(error)") }
                isSaid = true
            }
            // What it says is read later; here only its end counts.
            var polled = pollfd(fd: agent.descriptor, events: 0, revents: 0)
            if poll(&polled, 1, 20) > 0 { return nil }
        }
    }
}
