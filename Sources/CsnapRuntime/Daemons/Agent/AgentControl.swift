import CsnapCore
import CsnapSession
import NIOCore

/// The agent as the control socket sees it.
struct AgentControl: ControlHost {
    let daemon: AgentDaemon

    func status(_ answer: @escaping @Sendable (StatusReport) -> Void) {
        daemon.loop.execute { answer(daemon.statusReport()) }
    }

    func why(_ answer: @escaping @Sendable ([WaitReport]) -> Void) {
        daemon.loop.execute {
            let status = daemon.statusReport()
            guard status.phase == "active", let server = status.server, !status.volumes.isEmpty else {
                return answer(status.waits)
            }
            daemon.snapshots.examine(status.volumes.map(\.name)) { reports in
                let volumes = reports.flatMap {
                    WaitReport.ofVolume(
                        $0.volume, $0.outcome, server: server, admissions: status.admissions, silent: $0.silent)
                }
                // The server's own agent knows of a full store too; the server knows for how long a write waits.
                let isTold = volumes.contains { $0.kind == "storeFull" }
                answer(status.waits.filter { !isTold || $0.kind != "storeFull" } + volumes)
            }
        }
    }

    func metrics(_ answer: @escaping @Sendable (String) -> Void) {
        daemon.loop.execute { answer(daemon.metricsText()) }
    }

    func perform(_ command: ControlCommand, _ answer: @escaping @Sendable (OperatorOutcome) -> Void) {
        daemon.submit(Command(command)).whenComplete { result in
            switch result {
            case .success(let outcome): answer(outcome)
            case .failure: answer(.refused(.busy))
            }
        }
    }

    func perform(
        _ command: SnapshotCommand, _ answer: @escaping @Sendable (Result<CommandOutcome, ControlError>) -> Void
    ) {
        daemon.loop.execute { [daemon] in
            // It would wait for a server in vain.
            guard daemon.isFounded else {
                return answer(.failure(ControlError(RefusalCode.notFounded)))
            }
            daemon.snapshots.perform(command, answer)
        }
    }

    func events(after cursor: UInt64?, limit: Int) -> EventPage {
        daemon.eventLog.events(after: cursor, limit: limit)
    }

    func watchEvents(_ notify: @escaping @Sendable () -> Void) -> Int { daemon.eventLog.watch(notify) }

    func stopWatching(_ token: Int) { daemon.eventLog.stopWatching(token) }
}

extension Command {
    /// The core's form of a command from the control socket; `found` draws its uuid here.
    init(_ command: ControlCommand) {
        switch command {
        case .found: self = .found(cluster: RandomBits.draw())
        case .leave: self = .leave
        case .transfer(let node): self = .transfer(node)
        case .strike(let node, let fenced): self = .strike(node, fenced: fenced)
        case .disable: self = .disable
        case .enable: self = .enable
        case .voters(let nodes): self = .voters(nodes)
        case .addVoters(let nodes): self = .addVoters(nodes)
        case .replaceVoter(let old, let new): self = .replaceVoter(old, by: new)
        }
    }
}
