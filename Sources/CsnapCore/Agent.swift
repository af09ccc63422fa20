/// The agent: one event in, ordered actions out (docs/architecture.md).
package struct Agent: Sendable {
    package let settings: AgentSettings

    /// `stored` is what the state file held, with the new boot already in it and on disk; nil when it was lost.
    package init(settings: AgentSettings, stored: StoredState?, at now: Instant) {
        self.settings = settings
    }

    package func status(at now: Instant) -> AgentStatus {
        AgentStatus(
            process: settings.process, cluster: .zero, mayVote: true, enabled: true, serves: settings.serves, claim: nil,
            claimIsRunning: false, role: .learner, leaseRemaining: nil, promise: nil, promiseRemaining: .zero,
            committed: nil, pending: nil, members: [], adopted: .none, clientsResumed: false, clients: [],
            admissions: [], waits: [])
    }

    /// When to send `wake` next; distantFuture when there is nothing to wait for.
    package var nextWake: Instant { .distantFuture }

    /// Takes one event, returns what to do, in order.
    package mutating func step(_ event: Event, at now: Instant) -> [Action] { [] }
}
