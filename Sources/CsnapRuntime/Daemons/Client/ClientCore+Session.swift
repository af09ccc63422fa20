package import CsnapCore
package import CsnapSession

/// The session with the server that the agent named: opened, kept and tried again while its tenure is current.
extension ClientCore {
    /// The pause before a lost or refused session is tried again, while its tenure is current.
    static let reconnectPause = Interval.milliseconds(20)
    /// After a refusal that will hardly change within the tenure.
    private static let refusedPause = Interval.milliseconds(200)
    /// What a server serves changes with its tenure only.
    private static let notServedPause = Interval.seconds(10)
    /// Period of PING, and how long an opening or open session may say nothing: three unanswered ones.
    private static let pingPeriod = Interval.seconds(3)
    private static let silence = Interval.seconds(10)

    /// When `wake` has something to do; nil: nothing.
    package var nextWake: Instant? {
        switch session {
        case .none: server != nil && agent != nil ? retryAt : nil
        case .connecting, .greeting: heardAt + Self.silence
        case .open: min(pingAt, heardAt + Self.silence, branchWrites.nextResume ?? .distantFuture)
        }
    }

    package mutating func wake(_ now: Instant) {
        guard let due = nextWake, due <= now else { return }
        switch session {
        case .none: connect(now)
        case .connecting, .greeting:
            if !hasSaidSilence {
                let place = server.map { " at \($0.text)" } ?? ""
                note(.sessionLost, "the server of \(gate.adopted.text)\(place) does not answer: is its port reachable?")
                hasSaidSilence = true
            }
            abandon(now, pause: Self.reconnectPause)
        case .open:
            if heardAt + Self.silence <= now { return abandon(now, pause: Self.reconnectPause) }
            branchWrites.resume(now)
            askReads(now)
            guard pingAt <= now else { return }
            pingAt = now + Self.pingPeriod
            actions.append(.send(.ping(epoch: gate.adopted.epoch)))
        }
    }

    mutating func connect(_ now: Instant) {
        guard let server, agent != nil else { return }
        session = .connecting
        heardAt = now
        actions.append(.connect(server))
    }

    mutating func endSession() {
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
        if session == .open, !hasOtherDisks {
            actions.append(.tell(.lostServer(gate.adopted)))
            note(.sessionLost, "the session with the server of \(gate.adopted.text) is lost; it is opened again")
        }
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
            if failed(request, code: code, now) { return }
            queries.failed(request, code: code)
            noteFailedWrite(code)
            actions.append(.wake)
            ask()
        case .map(let request, let epoch, let pieces):
            if epoch == gate.adopted.epoch { mapped(request, pieces, now) }
        case .data(let request, let epoch, let bytes):
            if epoch == gate.adopted.epoch { received(request, bytes, now) }
        case .written(let request, let epoch):
            if epoch == gate.adopted.epoch { written(request, now) }
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
        if hasOtherDisks {
            session = .open
            pingAt = now + Self.pingPeriod
            return sayBye()
        }
        exchangeStore(for: welcome.storeUUID)
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
        if welcome.originSize < originSize { shrink(to: welcome.originSize) }
        session = .open
        wasServed = true
        saidFailure = nil
        pingAt = now + Self.pingPeriod
        lastRefusal = nil
        hasSaidSilence = false
        actions += [.tell(.connected(gate.adopted)), .wake]
        // It waited for the end of any barrier, and its generation told the outcome.
        leaveBarrier()
        ask()
        askReads(now)
        snapshots.sessionOpened()
        askList()
        askNextChanges()
        tellOpenImages()
    }

    /// Once in a session.
    private mutating func noteFailedWrite(_ code: UInt16) {
        guard saidFailure != code else { return }
        saidFailure = code
        let cause =
            switch SessionQueryError(rawValue: code) {
            case .originFailed: "the server cannot read its origin there"
            case .storeDamaged: "what the store says of the place is damaged"
            case .outOfRange: "it lies behind what the store knows of the origin (`csnapctl volume resize \(volume)`)"
            default: "the server refuses it, error \(code)"
            }
        note(.other, "a write fails: \(cause); the log of the server of \(gate.adopted.text) says more")
    }

    mutating func abandon(_ now: Instant, pause: Interval) {
        sessionLost(now, pause: pause)
        actions.append(.disconnect)
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
