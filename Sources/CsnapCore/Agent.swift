/// The agent: one event in, ordered actions out (docs/architecture.md).
package struct Agent: Sendable {
    package let settings: AgentSettings

    /// `stored` is what the state file held, with the new boot already in it and on disk; nil when it was lost.
    package init(settings: AgentSettings, stored: StoredState?, at now: Instant) {
        self.settings = settings
    }

    /// When to send `wake` next; distantFuture when there is nothing to wait for.
    package var nextWake: Instant { .distantFuture }

    /// Takes one event, returns what to do, in order.
    package mutating func step(_ event: Event, at now: Instant) -> [Action] { [] }
}
