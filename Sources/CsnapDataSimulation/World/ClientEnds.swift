import CsnapCore
import CsnapSession

/// The agent of a node, as far as it proves that the node's client is gone: like `ClientEnds` of the daemon. With the
/// byte of the origin in hand that lives as long as a client's requests, it tells the server.
final class ClientEnds {
    /// Between two looks; doubled from the first to the last.
    private static let pauses: (first: Int64, last: Int64) = (250_000_000, 2_000_000_000)
    private static let patience: Int64 = 2_000_000_000

    private unowned let world: DataWorld
    private unowned let node: DataNode
    /// The client that was known last; zero: none in this life of the agent. Nil: nobody is gone.
    private var gone: Bits128?
    private var isLooking = false
    private var connection: Connection?
    /// No client begins meanwhile.
    private(set) var holdsByte = false
    private var kernel: UInt64 { node.kernel }

    init(_ world: DataWorld, _ node: DataNode) {
        self.world = world
        self.node = node
    }

    func dismantle() { connection = nil }

    func isHere() { gone = nil }

    func isGone(_ client: Bits128) {
        gone = client
        guard !isLooking else { return }
        isLooking = true
        look(after: Self.pauses.first, kernel)
    }

    /// The machine is down, and its agent with it.
    func crash() {
        gone = nil
        isLooking = false
        holdsByte = false
        connection = nil
    }

    private func look(after pause: Int64, _ kernel: UInt64) {
        world.after(pause) { [self] in
            guard kernel == self.kernel, node.isUp else { return }
            guard let client = gone else {
                isLooking = false
                return
            }
            let next = min(pause + pause, Self.pauses.last)
            guard world.plan.proves, !node.isByteHeld else { return look(after: next, kernel) }
            holdsByte = true
            tell(client) { [self] isTold in
                guard kernel == self.kernel, node.isUp else { return }
                holdsByte = false
                if isTold, gone == client { gone = nil }
                look(after: next, kernel)
            }
        }
    }

    /// One session for commands, as SnapshotForwarder opens it.
    private func tell(_ client: Bits128, _ done: @escaping (Bool) -> Void) {
        guard let server = world.director.server, server.isListening, !node.isCut else { return done(false) }
        world.statistics[.proofs] += 1
        let hello = SessionHello(
            versions: SessionWire.versions, process: node.process,
            client: Bits128(high: 61, low: world.random.next()), machineID: node.machineID,
            kernelBootID: node.kernelBootID, volume: "", image: SessionHello.commands, tenure: server.tenure)
        var isOpen = true
        let end = { [self] (isTold: Bool) in
            guard isOpen else { return }
            isOpen = false
            connection?.close()
            connection = nil
            done(isTold)
        }
        connection = Connection(
            to: server, world,
            opened: { [self] in connection?.send(.hello(hello)) },
            received: { [self] frame in
                switch frame {
                case .welcome:
                    let epoch = server.tenure.epoch
                    connection?.send(
                        .clientGone(request: 1, epoch: epoch, volume: DataWorld.volume, client: client))
                case .outcome(_, _, let outcome): end(outcome == .done)
                case .refused, .goAway: end(false)
                case .grant, .error, .map, .data, .written, .barrierBegin, .barrierEnd, .snapshotsChanged, .snapshots,
                    .changes, .pong:
                    break
                }
            }, lost: { end(false) })
        world.after(Self.patience) { end(false) }
    }
}
