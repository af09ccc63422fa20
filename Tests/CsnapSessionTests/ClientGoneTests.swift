import CsnapCore
import CsnapSession
import Testing

/// An agent's proof that its client has nothing at the disk any more (docs/decisions/0059).
@Suite("A client that is gone")
struct ClientGoneTests {
    typealias Rig = SnapshotRig
    static let agent = ConnectionID(20)

    /// The client of node 3 is killed: its connection breaks, without a goodbye.
    static func killed(limits: SessionLimits = SessionLimits()) -> Rig {
        var rig = Rig(limits: limits)
        _ = rig.served.closed(ConnectionID(3))
        return rig
    }

    /// The agent of node 3 opens a session for commands.
    static func agent(_ rig: inout Rig, boot: UInt64 = 5, kernel: UInt64 = 1) {
        let process = NodeBoot(node: NodeID(3), boot: Boot(boot))
        _ = rig.served.admit(process)
        _ = rig.served.opened(agent)
        let hello = SessionTableTests.hello(process, client: 77, volume: "", image: "commands", kernel: kernel)
        _ = rig.served.received(hello, on: agent)
    }

    static func prove(_ rig: inout Rig, client: UInt64 = 3, epoch: Epoch = Rig.tenure.epoch) -> [SessionAction] {
        let frame = ClientFrame.clientGone(
            request: 1, epoch: epoch, volume: "data", client: Bits128(high: 0, low: client))
        return rig.served.received(frame, on: agent)
    }

    static func answer(_ outcome: CommandOutcome) -> SessionAction {
        .send(.outcome(request: 1, epoch: Rig.tenure.epoch, outcome), to: agent)
    }

    static let busy = answer(.refused(.busy, culprit: "data"))

    @Test("its writer is cleared, and a snapshot no longer waits for it")
    func cleared() {
        var rig = Self.killed()
        #expect(rig.create() == [Rig.outcome(.refused(.writerLost, culprit: "node 3 (boot 5, 0 s)"))])
        Self.agent(&rig)
        #expect(Self.prove(&rig) == [Self.answer(.done)])
        #expect(rig.served.orders.last == .clearWriter(Self.writer()))
        #expect(rig.create(request: 2).contains(.send(.barrierBegin(Rig.attempt), to: ConnectionID(1))))
    }

    static func writer(kernel: UInt64 = 1) -> SessionWriter {
        SessionWriter(
            node: NodeID(3), machineID: Bits128(high: 5, low: 3), kernelBootID: Bits128(high: 6, low: kernel))
    }

    @Test("the answer comes when the store has cleared it")
    func durable() {
        var rig = Self.killed()
        Self.agent(&rig)
        rig.served.isStoreSlow = true
        #expect(Self.prove(&rig) == [])
        #expect(Self.prove(&rig) == [Self.busy], "a second proof waits for the first")
        #expect(rig.served.answer(.failed(.storeFull)) == [Self.answer(.refused(.storeFailed, culprit: ""))])
        #expect(Self.prove(&rig) == [], "it can be tried again")
        #expect(rig.served.answer() == [Self.answer(.done)])
        #expect(Self.prove(&rig) == [Self.answer(.done)], "and again")
    }

    @Test("not while a session of its writer is open, or was opened after the proof")
    func late() {
        var rig = Rig()
        Self.agent(&rig)
        #expect(Self.prove(&rig) == [Self.busy], "its connection stands")
        // Another client came and lost its connection: the proof is of the one before.
        _ = rig.served.closed(ConnectionID(3))
        _ = rig.served.opened(ConnectionID(4))
        _ = rig.served.received(SessionTableTests.hello(Rig.nodes[2], client: 33), on: ConnectionID(4))
        _ = rig.served.closed(ConnectionID(4))
        #expect(Self.prove(&rig) == [Self.busy])
        #expect(Self.prove(&rig, client: 33) == [Self.answer(.done)])
    }

    /// The client was killed, its successor too, before the server heard of it: the agent knows of that one alone.
    @Test("it speaks for the clients that ended before the one that it names")
    func successor() {
        var rig = Self.killed()
        Self.agent(&rig)
        #expect(Self.prove(&rig, client: 4) == [Self.answer(.done)])
    }

    @Test("a new boot of the agent speaks for the clients of earlier boots")
    func boots() {
        var rig = Self.killed()
        Self.agent(&rig, boot: 6)
        #expect(Self.prove(&rig, client: 0) == [Self.answer(.done)])
    }

    /// Node 3's machine has crashed with its client and runs another kernel, whose agent has said so.
    static func booted() -> (SnapshotRig, SessionLimits) {
        var limits = SessionLimits()
        limits.settle = .seconds(60)
        var rig = killed(limits: limits)
        agent(&rig, boot: 6, kernel: 2)
        #expect(prove(&rig, client: 0) == [busy], "of its own kernel there is none, of the old one there is")
        return (rig, limits)
    }

    @Test("of another kernel it says that it is gone: its writer is settled by time, though no client ever comes")
    func otherKernel() {
        let (booted, limits) = Self.booted()
        var rig = booted
        #expect(!rig.served.orders.contains(.clearWriter(Self.writer())))
        #expect(rig.create() == [Rig.outcome(.refused(.writerLost, culprit: "node 3 (boot 5, 0 s)"))])
        #expect(rig.served.table.nextWake == rig.served.now + limits.settle)
        #expect(rig.served.pass(limits.settle) == [])
        #expect(rig.served.orders.last == .clearWriter(Self.writer()))
        #expect(Self.prove(&rig, client: 0) == [Self.answer(.done)])
        #expect(rig.create(request: 2).contains(.send(.barrierBegin(Rig.attempt), to: ConnectionID(1))))
    }

    @Test("what time has settled and a full store could not clear is tried again after as much of it")
    func fullStore() {
        let (booted, limits) = Self.booted()
        var rig = booted
        rig.served.isStoreSlow = true
        for _ in 0..<2 {
            #expect(rig.served.pass(limits.settle) == [])
            #expect(rig.served.orders.last == .clearWriter(Self.writer()))
            #expect(rig.served.answer(.failed(.storeFull)) == [])
            #expect(rig.served.table.nextWake == rig.served.now + limits.settle)
        }
        let before = rig.served.orders.count
        #expect(rig.served.pass(limits.settle) == [])
        #expect(rig.served.orders.count == before + 1)
        #expect(rig.served.answer() == [])
        rig.served.isStoreSlow = false
        #expect(rig.create(request: 2).contains(.send(.barrierBegin(Rig.attempt), to: ConnectionID(1))))
    }

    /// What the store keeps away because of node 3's dead servers: one of the kernel that it runs now, one of another.
    @Test("dead servers of another kernel are settled by time, as writers are, and a full store is asked again")
    func deadServers() {
        var limits = SessionLimits()
        limits.settle = .seconds(60)
        let other = Self.writer(kernel: 8)
        // By a repair without a configuration.
        let repair = SessionWriter(node: NodeID(0), machineID: other.machineID, kernelBootID: other.kernelBootID)
        var rig = Rig(limits: limits, deadServers: [Self.writer(), repair, other])
        _ = rig.served.closed(ConnectionID(3))
        Self.agent(&rig)
        #expect(Self.prove(&rig) == [Self.busy], "or else a server that takes over would not hear of the kernel")
        #expect(rig.served.table.nextWake == rig.served.now + limits.settle)
        rig.served.isStoreSlow = true
        for _ in 0..<2 {
            #expect(rig.served.pass(limits.settle) == [])
            #expect(rig.served.orders.suffix(2) == [.settleKernel(repair), .settleKernel(other)])
            for _ in 0..<2 { #expect(rig.served.answer(.failed(.storeFull)) == []) }
        }
        rig.served.isStoreSlow = false
        #expect(rig.served.pass(limits.settle) == [])
        #expect(rig.served.table.nextWake == nil)
        #expect(Self.prove(&rig) == [Self.answer(.done)])
        #expect(!rig.served.orders.contains(.settleKernel(Self.writer())))
    }

    @Test("its holds end, and the writes that wait for them go on")
    func holds() {
        var rig = Rig()
        #expect(rig.read(1, on: 3) == [Rig.map(1, to: 3)])
        #expect(rig.write(2, on: 1) == [])
        _ = rig.served.closed(ConnectionID(3))
        Self.agent(&rig)
        #expect(Self.prove(&rig) == [Rig.grant(2, to: 1), Self.answer(.done)])
    }

    @Test("a proof of an earlier epoch, or in a client's session, is none")
    func misplaced() {
        var rig = Self.killed()
        Self.agent(&rig)
        let goAway = SessionAction.send(.goAway(tenure: Rig.tenure), to: Self.agent)
        #expect(Self.prove(&rig, epoch: Epoch(1)).first == goAway)
        let frame = ClientFrame.clientGone(request: 1, epoch: Rig.tenure.epoch, volume: "data", client: .zero)
        #expect(rig.served.received(frame, on: ConnectionID(1)).first == .close(ConnectionID(1), .wrongImage))
    }
}

/// Reads of clients that do not see the store.
@Suite("Reads by the server")
struct ReadDataTests {
    typealias Rig = SnapshotRig

    static func read(_ rig: inout Rig, offset: UInt64, length: UInt32) -> [SessionAction] {
        rig.served.received(
            .readData(request: 8, epoch: Rig.tenure.epoch, snapshot: 3, offset: offset, length: length),
            on: ConnectionID(1))
    }

    static func failure(_ error: SessionQueryError) -> [SessionAction] {
        [.send(.error(request: 8, epoch: Rig.tenure.epoch, code: error.rawValue), to: ConnectionID(1))]
    }

    @Test("the store's bytes or its error are the answer, and nothing is held")
    func answers() {
        var rig = Rig()
        let data = ServerFrame.data(request: 8, epoch: Rig.tenure.epoch, bytes: [UInt8](repeating: 7, count: 512))
        #expect(Self.read(&rig, offset: 65536 + 512, length: 512) == [.send(data, to: ConnectionID(1))])
        #expect(rig.served.orders.last == .readData(snapshot: 3, offset: 65536 + 512, length: 512))
        #expect(rig.write(9, chunk: 1, on: 2) == [Rig.grant(9, to: 2)])
        rig.served.isStoreSlow = true
        #expect(Self.read(&rig, offset: 0, length: 512) == [])
        #expect(rig.served.answer(.failed(.unknownSnapshot)) == Self.failure(.unknownSnapshot))
    }

    @Test("only bytes of one chunk, and not more than one answer may carry")
    func bounds() {
        var rig = Rig()
        #expect(Self.read(&rig, offset: 65536 - 512, length: 1024) == Self.failure(.outOfRange))
        #expect(Self.read(&rig, offset: 0, length: 0) == Self.failure(.empty))
        #expect(Self.read(&rig, offset: 0, length: UInt32(SessionWire.maximumData) + 1) == Self.failure(.tooLong))
    }
}
