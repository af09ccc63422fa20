import CsnapRuntime

/// What a long command tells a person while a request of it does not return: what `csnapctl why` says, once.
final class WaitNotice {
    /// Before that something is slow, not stuck. Nanoseconds.
    private static let patience: Int64 = 5_000_000_000
    /// Whoever waits asks `isCancelled` ten times a second; after a longer silence another request waits.
    private static let pause: Int64 = 1_000_000_000

    private let socket: String
    private var since: Int64 = 0
    private var asked: Int64 = 0
    private var said: Set<String> = []

    /// `socket`: the agent's.
    init(socket: String) { self.socket = socket }

    /// For `NBDClient`.
    func isCancelled() -> Bool {
        if Interruption.isRequested { return true }
        let now = boottime()
        if now - asked > Self.pause { since = now }
        if now - since > Self.patience {
            say()
            since = boottime()
        }
        asked = boottime()
        return false
    }

    /// What the command itself does is no news.
    private func say() {
        let end = boottime() + Self.pause
        let caller = try? AgentCaller(path: socket, cancelled: { Interruption.isRequested || boottime() > end })
        let waits = (try? caller?.why()) ?? []
        let news = waits.filter { wait in
            !wait.warning && !["receiving", "reverting"].contains(wait.kind) && said.insert(wait.kind).inserted
        }
        guard !news.isEmpty else { return }
        Terminal.complain("\nIt waits; it goes on by itself, or is ended by Ctrl-C.\n\(StatusScreen.why(news))")
    }
}
