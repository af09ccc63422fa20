import CShims
package import CsnapCore
import Glibc
package import Logging
import Systemd

/// Why an agent does not start; the process ends with `exitCode`, having changed nothing.
package struct AgentStartError: Error, Equatable, Sendable, CustomStringConvertible {
    package var description: String
    /// 2 for what the configuration can mend, 1 for the rest.
    package var exitCode: Int32
}

/// Everything an agent needs before its first packet: identity drawn, boot counted and on disk, locks taken.
package struct AgentStart: Sendable {
    package let configuration: CsnapConfiguration
    /// Absolute; the server reads the same file.
    package let configurationFile: String
    /// `--set` of the command line; the server gets the same.
    package let flags: [String]
    package let settings: AgentSettings
    /// With the new boot in it; nil when it was missing or lost: this node is a learner then.
    package let stored: StoredState?
    package let stateFile: StateFile
    /// Held as long as the agent lives.
    package let locks: [FileLock]
    /// Absolute; nil if this node runs no server.
    package let serverExecutable: String?

    /// It is to serve, but has no program to do it.
    var lacksServer: Bool { serverExecutable == nil && configuration.serve && !configuration.volumes.isEmpty }

    /// The start sequence of docs/protocol.md §1 and §5.8. Blocks on the state file's disk.
    package static func prepare(
        _ configuration: CsnapConfiguration, file: String, flags: [String] = [], server executable: String? = nil,
        logger: Logger
    ) throws(AgentStartError) -> AgentStart {
        Failpoints.watch(configuration.runtimeDirectory)
        try refuseOwnVolumes(configuration, logger: logger)
        let locks = try makeDirectoriesAndLock(configuration)
        try outwaitEarlierPromises(configuration, logger: logger)
        let stateFile = StateFile(path: configuration.stateFile)
        let machine: MachineIdentity
        let reading: StoredStateReading
        let clients: [String]
        do {
            machine = try MachineIdentity.read(stateDirectory: configuration.stateDirectory)
            reading = try stateFile.read(
                node: configuration.node, machineID: machine.machineID, formerID: machine.formerID)
            clients = livingClients(configuration, locked: try configuration.runtime.livingClients(), logger)
        } catch {
            throw AgentStartError(description: error.description, exitCode: 1)
        }
        if machine.isSubstitute {
            logger.warning(
                """
                no /etc/machine-id: a clone of this machine cannot be told from it; make one with \
                systemd-machine-id-setup
                """)
        }
        let startBits = RandomBits.draw()
        let old = try usable(reading, stateFile: stateFile, logger: logger)
        let proven = old.map { isPreviousServerDead($0, configuration.runtime, machine, logger) } ?? false
        let stored = try old.map { old throws(AgentStartError) in
            try countBoot(old, startBits: startBits, machine: machine, stateFile: stateFile)
        }
        if stored == nil {
            // The first boot is on disk too before it speaks, so that no later start repeats it.
            let first = StoredState(
                process: NodeBoot(node: configuration.node, boot: Boot(0)), machineID: machine.machineID,
                kernelBootID: machine.kernelBootID, startBits: startBits)
            _ = try countBoot(first, startBits: startBits, machine: machine, stateFile: stateFile)
        }
        if machine.formerID != nil {
            MachineIdentity.forgetSubstitute(stateDirectory: configuration.stateDirectory)
        }
        let server = serverProgram(configuration, executable: executable, logger: logger)
        let settings = AgentSettings(
            process: stored?.process ?? NodeBoot(node: configuration.node, boot: Boot(1)), startBits: startBits,
            machineID: machine.machineID, kernelBootID: machine.kernelBootID, address: configuration.advertise,
            peers: configuration.peers, serves: server != nil, hasVolumes: !configuration.volumes.isEmpty,
            timing: configuration.timing, maximumVoters: configuration.maximumVoters, seed: RandomBits.word(),
            livingClients: clients, previousServerProvenDead: proven)
        return AgentStart(
            configuration: configuration, configurationFile: file, flags: flags, settings: settings, stored: stored,
            stateFile: stateFile, locks: locks, serverExecutable: server)
    }

    private static func refuseOwnVolumes(
        _ configuration: CsnapConfiguration, logger: Logger
    ) throws(AgentStartError) {
        let placement = VolumePlacement(configuration)
        for warning in placement.warnings { logger.warning("\(warning)") }
        guard placement.refusals.isEmpty else {
            throw AgentStartError(description: placement.refusals.joined(separator: "; "), exitCode: 2)
        }
    }

    /// Before a packet may leave: shorter timers than an earlier boot's wait until its promise has surely ended.
    private static func outwaitEarlierPromises(
        _ configuration: CsnapConfiguration, logger: Logger
    ) throws(AgentStartError) {
        let length = PromiseLength(stateDirectory: configuration.stateDirectory)
        do {
            let wait = try length.excess(over: configuration.timing.promise)
            if wait > .zero {
                let line = "the timers are shorter than before: waiting \(wait.seconds) s for earlier promises to end"
                logger.notice("\(line)")
                let microseconds = UInt64(clamping: wait.nanoseconds / 1000) &+ 30_000_000
                ServiceManager.notify(.status(line), .extendTimeout(microseconds: microseconds))
                csnap_sleep_until((BootClock.now() + wait).nanoseconds)
            }
            try length.record(configuration.timing.promise)
        } catch {
            throw AgentStartError(description: error.description, exitCode: 1)
        }
    }

    /// A disk that has not answered by then is not waited for: this node's vote may be needed.
    private static let diskPatience = Interval.seconds(2)

    /// Volumes whose client of an earlier boot may still write: its process lives, or its requests outlive it.
    private static func livingClients(
        _ configuration: CsnapConfiguration, locked: [String], _ logger: Logger
    ) -> [String] {
        var living = locked
        let node = configuration.node
        let questions = configuration.volumes.filter { !living.contains($0.name) }.map { volume in
            (volume, Threads.ask { Result { try OriginLock.isHeld(volume.origin, node: node) } })
        }
        let end = BootClock.now() + diskPatience
        for (volume, question) in questions {
            switch question.wait(until: end) {
            case .success(false): break
            case .success(true): living.append(volume.name)
            case .failure(let error):
                logger.warning("only its lock file tells whether a client of \(volume.name) is gone: \(error)")
            case .none:
                logger.warning("\(volume.origin) does not answer: a client of \(volume.name) may still write there")
                living.append(volume.name)
            }
        }
        return living
    }

    private static func makeDirectoriesAndLock(
        _ configuration: CsnapConfiguration
    ) throws(AgentStartError) -> [FileLock] {
        do {
            try Files.ensureDirectory(configuration.stateDirectory)
            try Files.ensureDirectory(configuration.runtimeDirectory, mode: 0o755)
        } catch {
            throw AgentStartError(description: error.description, exitCode: 1)
        }
        do {
            let note = "node \(configuration.node.value), process \(getpid())"
            // The state directory too: two agents on one state file would take back each other's promises.
            return [
                try FileLock.acquire(configuration.runtime.agentLock, note: note),
                try FileLock.acquire(configuration.stateDirectory + "/agent.lock", note: note),
            ]
        } catch {
            let meaning =
                switch error {
                case .held: "an agent runs here already: "
                case .system: "the agent cannot take its lock: "
                }
            throw AgentStartError(description: meaning + error.description, exitCode: 1)
        }
    }

    private static func usable(
        _ reading: StoredStateReading, stateFile: StateFile, logger: Logger
    ) throws(AgentStartError) -> StoredState? {
        switch reading {
        case .intact(let state): return state
        case .missing:
            logger.notice(
                """
                no state file at \(stateFile.path): this node starts as a learner; on the first node of a group \
                run 'csnapctl found'
                """)
            return nil
        case .newer(let why): throw AgentStartError(description: why, exitCode: 1)
        case .lost(let why):
            do {
                let kept = try stateFile.setAside()
                logger.critical(
                    """
                    the state is lost, this node cannot vote any more if it was a voter: \(why) \
                    (kept as \(kept))
                    """)
                return nil
            } catch {
                throw AgentStartError(description: "\(why); and it cannot be set aside: \(error)", exitCode: 1)
            }
        }
    }

    /// Counts the boot and makes it durable, before any packet can leave.
    private static func countBoot(
        _ old: StoredState, startBits: Bits128, machine: MachineIdentity, stateFile: StateFile
    ) throws(AgentStartError) -> StoredState {
        var state = old
        state.process.boot = old.process.boot.next
        state.startBits = startBits
        state.machineID = machine.machineID
        state.kernelBootID = machine.kernelBootID
        do {
            try stateFile.writeNow(state)
        } catch {
            throw AgentStartError(description: "the new boot cannot be stored: \(error.description)", exitCode: 1)
        }
        return state
    }

    /// Whether no server of the boot that wrote `old` can be alive (§5.8). The lock is given back at once: the
    /// server of this boot takes it, and no other can, since this agent holds `agent.lock`.
    private static func isPreviousServerDead(
        _ old: StoredState, _ runtime: RuntimeDirectory, _ machine: MachineIdentity, _ logger: Logger
    ) -> Bool {
        guard old.machineID == machine.machineID, old.kernelBootID == machine.kernelBootID else { return false }
        do {
            let lock = try FileLock.acquire(runtime.serverLock, note: nil)
            return Bits128(hex: try lock.content()) == old.startBits
        } catch {
            logger.warning("the server of an earlier boot may still live, its promise must run out: \(error)")
            return false
        }
    }

    /// csnap-server beside our own executable; nil, and said, if there is none to start.
    private static func serverProgram(
        _ configuration: CsnapConfiguration, executable: String?, logger: Logger
    ) -> String? {
        guard configuration.serve, !configuration.volumes.isEmpty else { return nil }
        let path = executable ?? ownDirectory() + "/csnap-server"
        guard access(path, X_OK) == 0 else {
            logger.error("this node cannot serve: \(SystemError("cannot execute", path))")
            return nil
        }
        return path
    }

    private static func ownDirectory() -> String {
        ConfigurationReader.parentDirectory(Files.ownExecutable ?? "/usr/sbin/csnap-agent")
    }
}
