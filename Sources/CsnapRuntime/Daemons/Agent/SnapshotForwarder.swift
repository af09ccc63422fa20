import CShims
import CsnapCore
import CsnapSession
import Glibc
import Synchronization

/// Carries snapshot commands from this node's control socket to whoever serves, over a session of its own.
///
/// Who may ask is checked at the control socket, as for every command; the session is sealed by the group's key and
/// comes from an admitted node (docs/decisions/0051-commands-by-session.md).
final class SnapshotForwarder: Sendable {
    typealias Examination = Result<CommandOutcome, ControlError>

    /// Where the server of this moment is, and who asks.
    struct Target: Sendable {
        var tenure: Tenure
        var address: Address
        var process: NodeBoot
    }

    private static let atOnce = 8
    private static let stackSize = 256 << 10
    /// A fail-over and a barrier's deadline fit it several times.
    private static let patience = Interval.seconds(30)
    /// `why` must not wait as long as a fail-over lasts.
    private static let examinePatience = Interval.milliseconds(500)
    /// How long a snapshot may still be read before its deletion is refused.
    private static let readersPatience = Interval.seconds(2)
    private static let retry = Interval.milliseconds(100)

    private let configuration: CsnapConfiguration
    private let machine: MachineIdentity
    private let target: @Sendable () -> Target?
    private let running = Mutex(0)
    /// Volumes of the configuration of which the server said nothing: since when, and when it was asked last.
    private let silent = Mutex<[String: (since: Instant, last: Instant)]>([:])
    /// Whoever asks so seldom knows nothing of the time between.
    private static let silencePause = Interval.seconds(60)

    /// `target` is asked from the forwarder's threads, and may wait for the agent's loop.
    init(configuration: CsnapConfiguration, machine: MachineIdentity, target: @escaping @Sendable () -> Target?) {
        self.configuration = configuration
        self.machine = machine
        self.target = target
    }

    /// Never waits; `answer` comes once, from another thread.
    func perform(
        _ command: SnapshotCommand, _ answer: @escaping @Sendable (Result<CommandOutcome, ControlError>) -> Void
    ) {
        let started = start { [self] in answer(carry(command, Self.patience)) }
        if !started { answer(.failure(.busy)) }
    }

    /// What the server says of each volume just now, or why it does not, and for how long.
    func examine(
        _ volumes: [String],
        _ answer: @escaping @Sendable ([(volume: String, outcome: Examination, silent: Interval)]) -> Void
    ) {
        let started = start { [self] in
            answer(
                volumes.map { volume in
                    let outcome = carry(.examine(volume: volume), Self.examinePatience)
                    return (volume, outcome, silence(of: volume, outcome))
                })
        }
        if !started { answer([]) }
    }

    /// Since the first of several examinations without an answer.
    private func silence(of volume: String, _ outcome: Examination) -> Interval {
        let now = BootClock.now()
        return silent.withLock { silent in
            guard case .failure = outcome else {
                silent[volume] = nil
                return .zero
            }
            let since = silent[volume].flatMap { now - $0.last < Self.silencePause ? $0.since : nil } ?? now
            silent[volume] = (since, now)
            return now - since
        }
    }

    /// False: too many run already.
    private func start(_ body: @escaping @Sendable () -> Void) -> Bool {
        let mayRun = running.withLock { running in
            guard running < Self.atOnce else { return false }
            running += 1
            return true
        }
        guard mayRun else { return false }
        let started = Threads.start(stackSize: Self.stackSize) { [self] in
            body()
            running.withLock { $0 -= 1 }
        }
        if !started { running.withLock { $0 -= 1 } }
        return started
    }

    /// A name may come to mean another snapshot before a command is repeated; a uuid does not.
    private func carry(_ command: SnapshotCommand, _ patience: Interval) -> Examination {
        let until = BootClock.now() + patience
        let keys: KeyRing
        do throws(KeyFileError) {
            keys = try KeySource(configuration).current
        } catch {
            return .failure(.refused(code: "key", message: error.description))
        }
        guard let name = command.ambiguousName else { return repeating(command, keys, until) }
        let found = repeating(.show(volume: command.volume, name: name), keys, until)
        guard case .success(.snapshot(let entry)) = found else { return found }
        return repeating(command.meaning(entry.uuid), keys, until)
    }

    /// Repeats it while the server moves: uuids make commands safe to repeat.
    private func repeating(_ command: SnapshotCommand, _ keys: KeyRing, _ until: Instant) -> Examination {
        let readersUntil = min(until, BootClock.now() + Self.readersPatience)
        while BootClock.now() < until {
            if let target = target() {
                switch ask({ .command(request: 1, epoch: $0, command) }, of: target, keys, until) {
                case .refused(.notActive, _), nil: break
                // The end of a reading is on its way, perhaps.
                case .refused(.inUse, _) where BootClock.now() < readersUntil: break
                case .some(let outcome): return .success(outcome)
                }
            }
            csnap_pause(Int32(Self.retry.nanoseconds / 1_000_000))
        }
        return .failure(.noServer("no server carried the command out in time: `csnapctl why` says what it waits for"))
    }

    /// Tells the server that this node's client of the volume is gone, with proof; true if it has taken note. Blocks,
    /// at most for `patience`.
    func tellGone(_ volume: String, client: Bits128, patience: Interval) -> Bool {
        guard let target = target(), let keys = try? KeySource(configuration).current else { return false }
        let frame = { ClientFrame.clientGone(request: 1, epoch: $0, volume: volume, client: client) }
        return ask(frame, of: target, keys, BootClock.now() + patience) == .done
    }

    /// One session for one question; nil: it ended without an answer.
    private func ask(
        _ question: (Epoch) -> ClientFrame, of target: Target, _ keys: KeyRing, _ until: Instant
    ) -> CommandOutcome? {
        let hello = SessionHello(
            versions: SessionWire.versions, process: target.process, client: RandomBits.draw(),
            machineID: machine.machineID, kernelBootID: machine.kernelBootID, volume: "",
            image: SessionHello.commands, tenure: target.tenure)
        var source = configuration.listen
        source.port = 0
        let session = CommandSession(target.address, source: source, keys: keys, hello: hello, until: until)
        // A server whose machine died closes nothing: that it was replaced is heard from the agent alone.
        let isReplaced = { self.target().map { $0.tenure != target.tenure } ?? false }
        return session?.ask(question(target.tenure.epoch), unless: isReplaced)
    }
}

extension SnapshotCommand {
    /// The name by which alone it says what it means.
    fileprivate var ambiguousName: String? {
        switch self {
        case .delete(_, let name, nil), .rename(_, let name, _, nil): name
        default: nil
        }
    }

    /// The same, for the snapshot or branch of that uuid alone.
    fileprivate func meaning(_ uuid: Bits128) -> SnapshotCommand {
        switch self {
        case .delete(let volume, let name, _): .delete(volume: volume, name: name, uuid: uuid)
        case .rename(let volume, let from, let to, _): .rename(volume: volume, from: from, to: to, uuid: uuid)
        default: self
        }
    }
}

/// One session for one command, on a thread that may block.
private struct CommandSession {
    private let link: SessionLink
    private let hello: SessionHello
    private let until: Instant

    init?(_ address: Address, source: Address?, keys: KeyRing, hello: SessionHello, until: Instant) {
        guard let socket = StreamSocket.connect(address, source: source) else { return nil }
        link = SessionLink(socket: socket, keys: keys)
        self.hello = hello
        self.until = until
    }

    /// Nil: the session ended without an answer, and the question may have been carried out.
    func ask(_ question: ClientFrame, unless isReplaced: () -> Bool) -> CommandOutcome? {
        while BootClock.now() < until {
            let isWriting = link.isConnecting || link.socket.wantsToWrite
            var entry = pollfd(
                fd: link.socket.descriptor, events: Int16(isWriting ? POLLIN | POLLOUT : POLLIN), revents: 0)
            guard poll(&entry, 1, 100) > 0 else {
                if isReplaced() { return nil }
                continue
            }
            if isWriting, entry.revents & Int16(POLLOUT | POLLERR | POLLHUP) != 0, !link.write() { return nil }
            guard entry.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 else { continue }
            switch link.receive() {
            case .nothing: continue
            case .broken: return nil
            case .ready:
                guard link.send(.hello(hello)) else { return nil }
            case .frames(let frames):
                for frame in frames {
                    switch frame {
                    case .welcome:
                        guard link.send(question) else { return nil }
                    case .outcome(_, _, let outcome): return outcome
                    case .refused, .goAway: return nil
                    default: continue
                    }
                }
            }
        }
        return nil
    }
}
