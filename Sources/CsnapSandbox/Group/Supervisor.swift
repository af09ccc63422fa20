import CsnapRuntime
import Synchronization

/// Starts what should live and is not alive: what systemd does for csnap's units, with the same rules.
///
/// A dead agent is started again after 100 ms, at once when it asks for a new boot (75), not when it was told to end
/// (0) or a newer process of its node lives (76). A dead client is started again after 100 ms.
final class Supervisor: Sendable {
    private let nodes: [SandboxNode]
    private let volumes: [String]
    private let directory: SandboxDirectory
    private let binaries: String
    private let stopping = Atomic<Bool>(false)
    private let failure = Mutex<SandboxError?>(nil)
    private let thread = Mutex<ThreadedTask?>(nil)

    private static let pause: Int64 = 100_000_000
    private static let newBoot: Int32 = 75
    private static let olderProcess: Int32 = 76

    init(nodes: [SandboxNode], volumes: [String], directory: SandboxDirectory, binaries: String) {
        self.nodes = nodes
        self.volumes = volumes
        self.directory = directory
        self.binaries = binaries
        let task = ThreadedTask { self.run() }
        thread.withLock { $0 = task }
    }

    /// The last start that failed.
    var lastFailure: SandboxError? { failure.withLock { $0 } }

    /// Ends every process, then the thread.
    func stop() {
        stopping.store(true, ordering: .relaxed)
        thread.withLock { $0.take() }?.join()
    }

    private func run() {
        while !stopping.load(ordering: .relaxed) {
            for node in nodes {
                do {
                    try node.change { try superviseAgent(node.number, &$0) }
                    for volume in volumes { try node.change { try superviseClient(node.number, volume, &$0) } }
                } catch {
                    failure.withLock { $0 = error as? SandboxError ?? .system("\(error)") }
                }
            }
            CsnapSandbox.pause(milliseconds: 5)
        }
        for node in nodes { node.end() }
    }

    private func superviseAgent(_ number: Int, _ state: inout SandboxNode.State) throws {
        if let agent = state.agent {
            guard let code = agent.exitCode else { return }
            state.agent = nil
            state.lastExit = code
            state.restarts += 1
            state.agentNotBefore = boottime() + (code == Supervisor.newBoot ? 0 : Supervisor.pause)
            if code == 0 || code == Supervisor.olderProcess { state.wantsAgent = false }
        }
        guard state.wantsAgent, !state.isHeld, boottime() >= state.agentNotBefore else { return }
        state.agent = try ChildProcess(
            binaries + "/csnap-agent", ["--config", directory.configuration(number)],
            log: directory.log(number, "agent"))
    }

    private func superviseClient(_ number: Int, _ volume: String, _ state: inout SandboxNode.State) throws {
        if let client = state.clients[volume] {
            guard client.exitCode != nil else { return }
            state.clients[volume] = nil
            state.clientNotBefore[volume] = boottime() + Supervisor.pause
        }
        guard state.wantsClient, !state.isHeld, boottime() >= state.clientNotBefore[volume] ?? 0 else { return }
        state.clients[volume] = try ChildProcess(
            binaries + "/csnap-client", ["--config", directory.configuration(number), "--volume", volume],
            log: directory.log(number, volume == SandboxGroup.volume ? "client" : "client-\(volume)"))
    }
}
