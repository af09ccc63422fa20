import CsnapRuntime
import Synchronization

/// The creation of a snapshot, by a thread of its own.
package final class Creation: Sendable {
    package enum Outcome: Equatable, Sendable {
        case made
        /// The code and the words of `csnapctl snapshot create`.
        case refused(code: String, message: String)
        case failed(String)
    }

    package let name: String
    private let state = Mutex<Outcome?>(nil)
    private let thread = Mutex<ThreadedTask?>(nil)

    init(_ name: String, socket: String) {
        self.name = name
        let task = ThreadedTask { [self] in
            let outcome = Creation.ask(name, socket)
            state.withLock { $0 = outcome }
        }
        thread.withLock { $0 = task }
    }

    /// Nil while it is under way.
    package var outcome: Outcome? { state.withLock { $0 } }

    /// Waits for its end; once only. The agent gives up after 30 s.
    func join() -> Outcome? {
        thread.withLock { $0.take() }?.join()
        return outcome
    }

    private static func ask(_ name: String, _ socket: String) -> Outcome {
        do {
            _ = try AgentCaller(path: socket).createSnapshot(SandboxGroup.volume, name)
            return .made
        } catch ControlError.refused(let code, let message) {
            return .refused(code: code, message: message)
        } catch {
            return .failed("\(error)")
        }
    }
}
