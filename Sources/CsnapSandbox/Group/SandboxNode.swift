import Glibc
import Synchronization

/// One node of the sandbox: which of its processes should live, and which do.
///
/// Only the supervisor's thread starts processes, since they die with the thread that started them.
package final class SandboxNode: Sendable {
    package let number: Int
    private let state: Mutex<State>

    struct State: Sendable {
        var wantsAgent = false
        var wantsClient = false
        /// Nothing is started while it is set, whatever is wanted: the machine is off.
        var isHeld = false
        var agent: ChildProcess?
        /// By volume.
        var clients: [String: ChildProcess] = [:]
        /// When a dead agent or client may be started again.
        var agentNotBefore: Int64 = 0
        var clientNotBefore: [String: Int64] = [:]

        /// Of the volume that every group has.
        var client: ChildProcess? { clients[SandboxGroup.volume] }
        /// The last exit code of the agent.
        var lastExit: Int32?
        var restarts = 0
    }

    init(number: Int) {
        self.number = number
        state = Mutex(State())
    }

    func change<Result: Sendable>(_ body: @Sendable (inout State) throws -> Result) rethrows -> Result {
        try state.withLock { try body(&$0) }
    }

    package var agentPid: Int32? { state.withLock { $0.agent?.pid } }
    package var clientPid: Int32? { state.withLock { $0.client?.pid } }
    /// By /proc: the agent's child.
    package var serverPid: Int32? { state.withLock { $0.agent }?.children().first }
    package var lastExit: Int32? { state.withLock { $0.lastExit } }
    package var restarts: Int { state.withLock { $0.restarts } }

    /// Sends a signal to the agent alone.
    package func signalAgent(_ number: Int32) { state.withLock { $0.agent }?.send(number) }
    package func signalClient(_ number: Int32) { state.withLock { $0.client }?.send(number) }

    /// Sends a signal to the server's process; false if there is none.
    @discardableResult
    package func signalServer(_ number: Int32) -> Bool {
        guard let pid = serverPid else { return false }
        return kill(pid, number) == 0
    }

    /// While held, what dies stays dead.
    package func hold(_ held: Bool) { state.withLock { $0.isHeld = held } }

    /// From now on it is started by nobody; every process of it is gone on return.
    func end() {
        let (agent, clients) = state.withLock { state in
            state.wantsAgent = false
            state.wantsClient = false
            return (state.agent, Array(state.clients.values))
        }
        let servers = agent?.children() ?? []
        agent?.send(SIGKILL)
        for client in clients { client.send(SIGKILL) }
        for pid in servers { kill(pid, SIGKILL) }
        agent?.end()
        for client in clients { client.end() }
        for pid in servers {
            while kill(pid, 0) == 0 && waitpid(pid, nil, WNOHANG) == 0 { pause(milliseconds: 1) }
        }
        state.withLock { state in
            state.agent = nil
            state.clients = [:]
        }
    }
}
