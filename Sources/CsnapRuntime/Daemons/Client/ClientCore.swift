package import CsnapCore
package import CsnapSession

/// What the client does about agent, server and gate: events in, actions out, no socket, clock or lock.
///
/// Only the agent moves it. It never looks for a server by itself, and never turns a fail-over into an error
/// (docs/data-plane.md, fail-over rules).
package struct ClientCore: Equatable, Sendable {
    package enum Action: Equatable, Sendable {
        case tell(ClientToAgent)
        /// Close any session and open one to this address.
        case connect(Address)
        case disconnect
        case send(ClientFrame)
        /// Held requests are to look again.
        case wake
        /// No write is at the disk: flush the origin, then `flushed`.
        case flushOrigin(BarrierAttempt)
        /// Read a snapshot's chunks from these places, then `finishRead`.
        case readMapped(UInt64, [MapPiece])
        case readFailed(UInt64, code: UInt16)
        /// The answer to `askChanges`.
        case changes(UInt64, ChangedChunks)
        /// What the server read for us.
        case readData(UInt64, [UInt8])
        /// These snapshots are to be offered.
        case exports([SnapshotEntry], chunkSize: UInt32)
        /// The origin has so many bytes now: offered to those who connect from now on.
        case grown(UInt64)
        case note(ClientNote)
    }

    /// What a write learns at the gate.
    package enum Admission: Equatable, Sendable {
        /// It is in the count: do it, then `leave`.
        case go
        /// It is held: look again when woken.
        case hold
        /// The server could not copy out a chunk of this write.
        case failed(code: UInt16)
    }

    enum Session: Equatable {
        case none
        case connecting
        case greeting
        case open
    }

    /// The pause before a lost or refused session is tried again, while its tenure is current.
    static let reconnectPause = Interval.milliseconds(20)
    /// After a refusal that will hardly change within the tenure.
    private static let refusedPause = Interval.milliseconds(200)
    /// What a server serves changes with its tenure only.
    private static let notServedPause = Interval.seconds(10)
    /// Period of PING, and how long an opening or open session may say nothing: three unanswered ones.
    private static let pingPeriod = Interval.seconds(3)
    private static let silence = Interval.seconds(10)

    package let client: Bits128
    package let volume: String
    package let processID: UInt32
    package let machine: MachineIdentity
    /// Bytes, of the local device.
    package internal(set) var originSize: UInt64

    private var agent: NodeBoot?
    var gate = ClientGate()
    private var server: Address?
    var session = Session.none
    private var retryAt = Instant.distantPast
    var bitmap: UnsharedBitmap?
    var queries = WriteQueries()
    var barrier: ClientBarrier?
    var reads = SnapshotReads()
    var changes = ChangeQuestions()
    var remoteReads = RemoteReads()
    var snapshots = SnapshotList()
    var hanging = DiskWatch.Hanging()
    private var lastRefusal: SessionRefusal?
    private var heardAt = Instant.distantPast
    private var pingAt = Instant.distantPast
    var actions: [Action] = []
    /// Some write waits unasked; it is asked for with the next actions, together with those that came meanwhile.
    private var wantsToAsk = false

    package init(
        client: Bits128, volume: String, processID: UInt32, machine: MachineIdentity, originSize: UInt64
    ) {
        self.client = client
        self.volume = volume
        self.processID = processID
        self.machine = machine
        self.originSize = originSize
    }

    package var adopted: Tenure { gate.adopted }
    package var identity: NodeBoot? { agent }
    package var writesInFlight: UInt32 { gate.writesInFlight }
    package var hasActions: Bool { !actions.isEmpty || wantsToAsk }

    package mutating func takeActions() -> [Action] {
        if wantsToAsk { ask() }
        defer { actions.removeAll(keepingCapacity: true) }
        return actions
    }

    // MARK: - Requests

    /// A read, or anything else that changes nothing, may touch the disk now. It must look again if this is false.
    package func mayRead(_ now: Instant) -> Bool { gate.isOpen(now) }

    /// A write, trim or write-zeroes of connection `ticket`; `length` 0 is a flush, which needs no chunk.
    package mutating func enter(_ ticket: UInt32, offset: UInt64, length: UInt64, now: Instant) -> Admission {
        gate.enter()
        let admission = examine(ticket, offset: offset, length: length, now: now)
        if admission != .go { leave() }
        return admission
    }

    private mutating func examine(_ ticket: UInt32, offset: UInt64, length: UInt64, now: Instant) -> Admission {
        guard gate.admitsWrites(now) else { return .hold }
        if length == 0 { return .go }
        guard let bitmap else { return .hold }
        let range = bitmap.range(offset: offset, length: length)
        guard let shared = bitmap.shared(in: range) else {
            queries.remove(ticket)
            return .go
        }
        if let code = queries.wait(ticket, for: shared) { return .failed(code: code) }
        if session == .open && queries.hasUnasked { wantsToAsk = true }
        return .hold
    }

    /// The write has returned from the disk.
    package mutating func leave() { tellZero(gate.leave()) }

    private mutating func tellZero(_ tenure: Tenure?) {
        if let tenure { actions.append(.tell(.suspended(tenure, writesInFlight: 0))) }
        if gate.takeDrained() { drained() }
    }

    // MARK: - Fast gate

    /// What requests may do without asking here.
    struct Verdict {
        var readsUntil: Instant
        var writesUntil: Instant
        /// Writes to other chunks than these ask here.
        var bitmap: UnsharedBitmap?
        /// Whether `countElsewhere(0)` is awaited.
        var owesNews: Bool
    }

    var verdict: Verdict {
        let until = gate.resumed ? gate.leaseUntil : .distantPast
        return Verdict(
            readsUntil: until, writesUntil: gate.holdsWrites ? .distantPast : until, bitmap: bitmap,
            owesNews: gate.owesNews)
    }

    /// So many writes went to the disk without asking here; more do not before the next `verdict` is published.
    mutating func countElsewhere(_ writes: UInt32) {
        gate.countElsewhere(writes)
        tellZero(gate.takeZero())
    }

    /// The process ends: nothing more goes to the disk.
    package mutating func close() { gate.forgetLease() }

    mutating func ask() {
        wantsToAsk = false
        guard session == .open, gate.resumed, barrier == nil else { return }
        for (request, ranges) in queries.takeUnsent() {
            actions.append(.send(.queryWrite(request: request, epoch: gate.adopted.epoch, ranges: ranges)))
        }
    }

    // MARK: - Agent

    package mutating func agentConnected() {
        actions.append(.tell(.hello(client: client, volume: volume, processID: processID)))
        if hanging.requests > 0 { tellHanging() }
    }

    package mutating func receive(_ message: AgentToClient, now: Instant) {
        switch message {
        case .identity(let process): become(process)
        case .suspend(let tenure): suspend(tenure)
        case .server(let tenure, let address): serverIs(address, tenure, now)
        case .resume(let tenure):
            guard gate.resume(tenure) else { return refuse("RESUME", tenure) }
            actions.append(.wake)
            ask()
            askReads(now)
        case .lease(let tenure, let until):
            guard gate.extend(tenure, until: until) else { return }
            actions.append(.wake)
            askReads(now)
        }
    }

    private mutating func become(_ process: NodeBoot) {
        defer { agent = process }
        guard let agent, agent != process else { return }
        gate.forgetLease()
        endSession()
        server = nil  // where to greet is for the new one to say
        note(.agentChanged, "the agent is now boot \(process.boot.value); requests wait for its RESUME")
    }

    /// A lower tenure closes the gate as well, since closing is always safe, but is not adopted: so a new boot of the
    /// agent, which knows no tenure yet, learns that it may talk. Only a RESUME of the adopted one opens.
    private mutating func suspend(_ tenure: Tenure) {
        adopt(tenure)
        gate.close()
        actions.append(.tell(.suspended(tenure, writesInFlight: gate.reportSuspended(tenure))))
    }

    private mutating func serverIs(_ address: Address, _ tenure: Tenure, _ now: Instant) {
        guard tenure >= gate.adopted else { return refuse("SERVER", tenure) }
        adopt(tenure)
        if server == address && session == .open { return actions.append(.tell(.connected(tenure))) }
        if server == address && session != .none { return }
        endSession()
        server = address
        connect(now)
    }

    private mutating func adopt(_ tenure: Tenure) {
        guard gate.adopt(tenure) else { return }
        endSession()
        server = nil
        lastRefusal = nil
    }

    private mutating func refuse(_ what: String, _ tenure: Tenure) {
        note(.other, "\(what) of \(tenure.text) ignored; adopted is \(gate.adopted.text)", tenure)
    }

    // MARK: - Session

    /// When `wake` has something to do; nil: nothing.
    package var nextWake: Instant? {
        switch session {
        case .none: server != nil && agent != nil ? retryAt : nil
        case .connecting, .greeting: heardAt + Self.silence
        case .open: min(pingAt, heardAt + Self.silence)
        }
    }

    package mutating func wake(_ now: Instant) {
        guard let due = nextWake, due <= now else { return }
        switch session {
        case .none: connect(now)
        case .connecting, .greeting: abandon(now, pause: Self.reconnectPause)
        case .open:
            if heardAt + Self.silence <= now { return abandon(now, pause: Self.reconnectPause) }
            pingAt = now + Self.pingPeriod
            actions.append(.send(.ping(epoch: gate.adopted.epoch)))
        }
    }

    private mutating func connect(_ now: Instant) {
        guard let server, agent != nil else { return }
        session = .connecting
        heardAt = now
        actions.append(.connect(server))
    }

    private mutating func endSession() {
        guard session != .none else { return }
        session = .none
        retryAt = .distantPast
        queries.unsend()
        endReads()
        actions.append(.disconnect)
    }

    /// The TCP connection stands, and is sealed.
    package mutating func sessionConnected() {
        guard session == .connecting, let agent else { return }
        session = .greeting
        actions.append(
            .send(
                .hello(
                    SessionHello(
                        versions: SessionWire.versions, process: agent, client: client, machineID: machine.machineID,
                        kernelBootID: machine.kernelBootID, volume: volume, image: SessionHello.origin,
                        tenure: gate.adopted))))
    }

    /// The connection broke or could not be made; it is tried again while this tenure is current.
    package mutating func sessionLost(_ now: Instant, pause: Interval = reconnectPause) {
        guard session != .none else { return }
        if session == .open { actions.append(.tell(.lostServer(gate.adopted))) }
        session = .none
        retryAt = now + pause
        queries.unsend()
        endReads()
        if SessionMutants.active(.goOnAfterAck) { leaveBarrier() }
    }

    package mutating func receive(_ frame: ServerFrame, now: Instant) {
        guard session == .greeting || session == .open else { return }
        heardAt = now
        switch frame {
        case .welcome(let welcome): self.welcome(welcome, now)
        case .refused(let reason, let tenure):
            if lastRefusal != reason {
                lastRefusal = reason
                note(.sessionRefused, "the server of \(tenure.text) refuses the session: \(reason.sentence)", tenure)
            }
            if reason == .unknownVolume || reason == .leftOut {
                actions.append(.tell(.notServed(gate.adopted)))
                return abandon(now, pause: Self.notServedPause)
            }
            let passes = reason == .notAdmitted || reason == .notServing
            abandon(now, pause: passes ? Self.reconnectPause : Self.refusedPause)
        case .grant(let request, let epoch, let generation):
            granted(request, epoch: epoch, generation: generation, now)
        case .error(let request, let epoch, let code):
            guard session == .open, epoch == gate.adopted.epoch else { return }
            if reads.failed(request) || answered(request) || remoteReads.answered(request) != nil {
                return actions.append(.readFailed(request, code: code))
            }
            queries.failed(request, code: code)
            actions.append(.wake)
            ask()
        case .map(let request, let epoch, let pieces):
            if epoch == gate.adopted.epoch { mapped(request, pieces, now) }
        case .data(let request, let epoch, let bytes):
            if epoch == gate.adopted.epoch { received(request, bytes, now) }
        case .barrierBegin(let attempt): begin(attempt)
        case .barrierEnd(let attempt, let generation, let originSize):
            end(attempt, generation: generation, originSize: originSize, now)
        case .snapshotsChanged(_, let number):
            snapshots.changed(from: number)
            askList()
        case .snapshots(_, _, let entries, let hasMore): listed(entries, hasMore: hasMore)
        case .changes(let request, let epoch, let changes):
            if epoch == gate.adopted.epoch, answered(request) { actions.append(.changes(request, changes)) }
        case .outcome, .pong: break
        case .goAway(let tenure):
            note(.other, "the server closes the session: \(tenure.text) has begun", tenure)
            abandon(now, pause: Self.refusedPause)
        }
    }

    private mutating func welcome(_ welcome: SessionWelcome, _ now: Instant) {
        guard session == .greeting, welcome.tenure == gate.adopted else {
            return abandon(now, pause: Self.refusedPause)
        }
        grow(to: welcome.originSize)
        let known = bitmap.map { map in
            map.storeUUID == welcome.storeUUID && map.generation == welcome.generation
                && map.chunkSize == welcome.chunkSize
        }
        if known != true {
            guard
                let fresh = UnsharedBitmap(
                    storeUUID: welcome.storeUUID, generation: welcome.generation, chunkSize: welcome.chunkSize,
                    originSize: originSize)
            else {
                note(.sessionLost, "the server's chunk size \(welcome.chunkSize) is none; session refused")
                return abandon(now, pause: Self.refusedPause)
            }
            let old = bitmap
            bitmap = fresh
            if SessionMutants.active(.bitmapKeptAtWelcome), let old { bitmap?.insert(allOf: old) }
            queries.askAgain()
        }
        if welcome.originSize < originSize {
            note(.other, "the store knows \(welcome.originSize) bytes of an origin of \(originSize)")
        }
        session = .open
        pingAt = now + Self.pingPeriod
        lastRefusal = nil
        actions += [.tell(.connected(gate.adopted)), .wake]
        // It waited for the end of any barrier, and its generation told the outcome.
        leaveBarrier()
        ask()
        askReads(now)
        snapshots.sessionOpened()
        askList()
        askNextChanges()
    }

    private mutating func granted(_ request: UInt64, epoch: Epoch, generation: UInt64, _ now: Instant) {
        guard session == .open, epoch == gate.adopted.epoch else { return }
        guard bitmap?.generation == generation else {
            note(.other, "a grant of generation \(generation) is not of this session; it is opened again")
            return abandon(now, pause: Self.reconnectPause)
        }
        guard let ranges = queries.granted(request) else { return }
        for range in ranges { bitmap?.insert(range) }
        actions.append(.wake)
        if queries.hasUnasked { wantsToAsk = true }
    }
}
