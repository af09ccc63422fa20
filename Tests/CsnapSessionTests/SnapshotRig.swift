import CsnapCore
import CsnapSession
import Testing

/// Three nodes with a client each on connections 1 to 3, active, and a session for commands on connection 9.
struct SnapshotRig {
    static let tenure = SessionTableTests.tenure
    static let nodes = (1...3).map { NodeBoot(node: NodeID($0), boot: Boot(5)) }
    static let commander = ConnectionID(9)
    static let uuid = Bits128(high: 7, low: 7)
    static let attempt = BarrierAttempt(tenure: tenure, counter: 1)

    var served: ServedTable
    /// As clients do at once after their WELCOME.
    var saysWhatIsOpen = true

    init(limits: SessionLimits = SessionLimits(), deadServers: [SessionWriter] = []) {
        served = SessionTableTests.table(limits: limits, admitted: Self.nodes, deadServers: deadServers)
        for node in Self.nodes { _ = join(node, on: UInt64(node.node.value)) }
        _ = served.opened(Self.commander)
        _ = served.received(SessionTableTests.hello(Self.nodes[0], volume: "", image: "commands"), on: Self.commander)
        _ = served.activate(Self.tenure)
    }

    /// HELLO of this node's client (its uuid is the node's number) on a new connection.
    mutating func join(
        _ node: NodeBoot, client: UInt64? = nil, on id: UInt64, kernel: UInt64 = 1
    ) -> [SessionAction] {
        let opened = served.opened(ConnectionID(id))
        let hello = SessionTableTests.hello(node, client: client ?? UInt64(node.node.value), kernel: kernel)
        let greeted = served.received(hello, on: ConnectionID(id))
        let isWelcome = greeted.contains { if case .send(.welcome, ConnectionID(id)) = $0 { true } else { false } }
        guard isWelcome, saysWhatIsOpen else { return opened + greeted }
        return opened + greeted
            + served.received(.openImages(epoch: Self.tenure.epoch, []), on: ConnectionID(id))
    }

    mutating func write(_ request: UInt64, chunk: UInt64 = 0, on id: UInt64) -> [SessionAction] {
        let ranges = [ChunkRange(first: chunk, count: 1)]
        return served.received(
            .queryWrite(request: request, epoch: Self.tenure.epoch, ranges: ranges), on: ConnectionID(id))
    }

    mutating func read(_ request: UInt64, chunk: UInt64 = 0, on id: UInt64) -> [SessionAction] {
        let ranges = [ChunkRange(first: chunk, count: 1)]
        return served.received(
            .queryRead(request: request, epoch: Self.tenure.epoch, snapshot: 3, ranges: ranges), on: ConnectionID(id))
    }

    mutating func endRead(_ request: UInt64, on id: UInt64) -> [SessionAction] {
        served.received(.endRead(request: request, epoch: Self.tenure.epoch), on: ConnectionID(id))
    }

    mutating func create(
        _ name: String = "monday", request: UInt64 = 1, uuid: Bits128 = uuid
    ) -> [SessionAction] {
        let command = SnapshotCommand.create(volume: "data", name: name, uuid: uuid)
        return served.received(
            .command(request: request, epoch: Self.tenure.epoch, command), on: Self.commander)
    }

    mutating func acknowledge(
        _ attempt: BarrierAttempt = attempt, origin: UInt32 = ServedTable.origin, on id: UInt64
    ) -> [SessionAction] {
        served.received(.barrierAck(attempt, origin: origin), on: ConnectionID(id))
    }

    static func grant(_ request: UInt64, generation: UInt64 = 4, to id: UInt64) -> SessionAction {
        .send(.grant(request: request, epoch: tenure.epoch, generation: generation), to: ConnectionID(id))
    }

    static func map(_ request: UInt64, _ place: MapPiece.Place = .origin, to id: UInt64) -> SessionAction {
        .send(
            .map(request: request, epoch: tenure.epoch, pieces: [MapPiece(count: 1, place: place)]),
            to: ConnectionID(id))
    }

    static func begins(_ attempt: BarrierAttempt = attempt) -> [SessionAction] {
        (1...3).map { .send(.barrierBegin(attempt), to: ConnectionID($0)) }
    }

    static func ends(_ attempt: BarrierAttempt = attempt, generation: UInt64, to ids: [UInt64] = [1, 2, 3])
        -> [SessionAction]
    {
        ids.map { .send(.barrierEnd(attempt, generation: generation), to: ConnectionID($0)) }
    }

    static func outcome(_ outcome: CommandOutcome, request: UInt64 = 1) -> SessionAction {
        .send(.outcome(request: request, epoch: tenure.epoch, outcome), to: commander)
    }

    /// What clients on these connections and the command hear of a snapshot that was made.
    static func success(to ids: [UInt64] = [1, 2, 3], attempt: BarrierAttempt = attempt) -> [SessionAction] {
        ends(attempt, generation: 5, to: ids) + [outcome(.snapshot(made))]
            + ids.map { .send(.snapshotsChanged(epoch: tenure.epoch, from: 4), to: ConnectionID($0)) }
    }

    static let made = SnapshotEntry(number: 4, uuid: uuid, name: "monday", size: 655361, createdAt: 0)
}
