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
        /// No write is at the disk: flush the origin, read its sample, then `flushed`.
        case flushOrigin(BarrierAttempt)
        /// Read a snapshot's chunks from these places, then `finishRead`.
        case readMapped(UInt64, [MapPiece])
        /// Of a read, a question, or a write to a branch.
        case failed(UInt64, code: UInt16)
        /// The answer to `askChanges`.
        case changes(UInt64, ChangedChunks)
        /// What the server read for us.
        case readData(UInt64, [UInt8])
        /// What was given to `writeBranch` is durable.
        case written(UInt64)
        /// These snapshots are to be offered.
        case exports([SnapshotEntry], chunkSize: UInt32, store: Bits128)
        /// The origin has so many bytes now: offered to those who connect from now on.
        case grown(UInt64)
        /// So much of the origin is offered to those who connect from now on.
        case offer(UInt64)
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

    package let client: Bits128
    package let volume: String
    package let processID: UInt32
    /// Of the origin and the store, as the configuration named them when this process began.
    package let disks: UInt64
    package let machine: MachineIdentity
    /// Bytes, of the local device; of these, from WELCOME on, those that the store knows.
    package internal(set) var originSize: UInt64

    var agent: NodeBoot?
    /// The agent has other disks for this volume: nothing goes to ours while it is the agent.
    var hasOtherDisks = false
    /// Some server has welcomed it, so its lock is on the disk that counts. The goodbye of one that never was served
    /// would stand for its predecessor's, of whose disk it knows nothing.
    var wasServed = false
    var gate = ClientGate()
    var server: Address?
    var session = Session.none
    var retryAt = Instant.distantPast
    var bitmap: UnsharedBitmap?
    /// The volume's, as the last WELCOME said.
    var store: Bits128?
    var queries = WriteQueries()
    var barrier: ClientBarrier?
    var reads = SnapshotReads()
    var changes = ChangeQuestions()
    var remoteReads = RemoteReads()
    var branchWrites = BranchWrites()
    var snapshots = SnapshotList()
    /// Snapshots and branches that programs have open, and by how many connections.
    var openImages = SortedTable<UInt64, Int>()
    var hanging = DiskWatch.Hanging()
    var lastRefusal: SessionRefusal?
    /// Why a write failed last in this session.
    var saidFailure: UInt16?
    /// That the server does not answer; once in a tenure.
    var hasSaidSilence = false
    var heardAt = Instant.distantPast
    var pingAt = Instant.distantPast
    var actions: [Action] = []
    /// Some write waits unasked; it is asked for with the next actions, together with those that came meanwhile.
    var wantsToAsk = false

    package init(
        client: Bits128, volume: String, processID: UInt32, disks: UInt64 = 0, machine: MachineIdentity,
        originSize: UInt64
    ) {
        self.client = client
        self.volume = volume
        self.processID = processID
        self.disks = disks
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
        guard var shared = bitmap.shared(in: range) else {
            withdraw(ticket)
            return .go
        }
        shared.count = min(shared.count, WriteQueries.maximumAtOnce(bitmap.chunkSize))
        if let code = queries.wait(ticket, for: shared) { return .failed(code: code) }
        if session == .open && queries.hasUnasked { wantsToAsk = true }
        return .hold
    }

    /// The write has returned from the disk.
    package mutating func leave() { tellZero(gate.leave()) }

    private mutating func tellZero(_ tenure: Tenure?) {
        if let tenure { actions.append(.tell(.suspended(tenure, writesInFlight: 0))) }
        if gate.takeDrained() { drained() }
        if hasOtherDisks { sayBye() }
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
        guard session == .open, gate.resumed, barrier == nil, let bitmap else { return }
        for (request, ranges) in queries.takeUnsent(chunkSize: bitmap.chunkSize) {
            actions.append(.send(.queryWrite(request: request, epoch: gate.adopted.epoch, ranges: ranges)))
        }
    }

    // MARK: - Agent

    package mutating func agentConnected() {
        hasOtherDisks = false
        actions.append(.tell(.hello(client: client, volume: volume, processID: processID, disks: disks)))
        if hanging.requests > 0 { tellHanging() }
    }

    package mutating func receive(_ message: AgentToClient, now: Instant) {
        switch message {
        case .otherDisks: stayAway()
        case .identity(let process): become(process)
        case .suspend(let tenure): suspend(tenure)
        case .server(let tenure, let address): serverIs(address, tenure, now)
        case .resume(let tenure):
            guard !hasOtherDisks else { return }
            guard gate.resume(tenure) else { return refuse("RESUME", tenure) }
            actions.append(.wake)
            ask()
            askReads(now)
        case .part(let tenure): part(tenure)
        case .lease(let tenure, let until):
            guard gate.extend(tenure, until: until) else { return }
            actions.append(.wake)
            askReads(now)
        }
    }

    /// Until another agent says where the server is.
    private mutating func part(_ tenure: Tenure) {
        if tenure == gate.adopted, !gate.resumed { sayBye() }
    }

    /// Its gate is closed: if nothing is at the disk, no snapshot needs to wait for this client.
    mutating func sayBye() {
        guard gate.writesInFlight == 0, session == .open else { return }
        actions.append(.send(.bye))
        endSession()
        server = nil
        // Snapshots are made without us from now on: what we knew to be unshared the next WELCOME tells anew.
        bitmap = nil
        queries.askAgain()
    }

    /// The group may serve another disk under this name by now: what is written to ours would be in no snapshot.
    private mutating func stayAway() {
        hasOtherDisks = true
        gate.forgetLease()
        sayBye()
        endSession()
        server = nil
        note(
            .otherDisks,
            "the agent has another origin or store for this volume than this client was started with: requests wait; "
                + "`csnapctl why` says what to do")
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
        if hasOtherDisks {
            actions.append(.tell(.notServed(tenure)))
            // To say goodbye: it may know this client as a writer, for whom snapshots would wait.
            guard wasServed else { return }
        }
        if server == address && session == .open && !hasOtherDisks { return actions.append(.tell(.connected(tenure))) }
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
        hasSaidSilence = false
    }

    private mutating func refuse(_ what: String, _ tenure: Tenure) {
        note(.other, "\(what) of \(tenure.text) ignored; adopted is \(gate.adopted.text)", tenure)
    }
}
