import CsnapCore

/// Who may have a session, and how one begins and ends.
extension SessionTable {
    mutating func greet(_ hello: SessionHello, _ id: ConnectionID, _ now: Instant) -> [SessionAction] {
        if let refusal = refusal(of: hello) { return refuse(id, refusal) }
        guard sessionCount < limits.sessions else { return refuse(id, .tooManySessions) }
        switch hello.image {
        case SessionHello.origin: break
        case SessionHello.commands:
            connections[id] = .commander(hello.process, hello.writer)
            lastSession += 1
            return [.send(.welcome(welcome(lastSession, nil)), to: id)]
        default: return refuse(id, .unknownImage)
        }
        guard let volume = volumes.firstIndex(where: { $0.about.name == hello.volume }) else {
            return refuse(id, leftOut.contains(hello.volume) ? .leftOut : .unknownVolume)
        }
        let node = hello.process.node
        if volumes[volume].newest[node]?.succeeds(hello) == true, !SessionMutants.active(.lateClientHeard) {
            return refuse(id, .succeeded)
        }
        // Another client may have another disk; the same one, on a new connection, has what it had.
        if volumes[volume].newest[node]?.client != hello.client { volumes[volume].strangers.removeAll { $0 == node } }
        volumes[volume].newest[node] = NewestClient(hello)
        var actions = endEarlier(of: node, volume)
        if !SessionMutants.active(.holdsKeptAtHello) {
            volumes[volume].holds.drop(clientOf: node)
        }
        actions += holdsChanged(volume)
        connections[id] = .greeting(hello, volume: volume)
        actions += recordWriter(hello, volume)
        if isExcluded(node, volume) {
            actions.append(.sessions(hello.process, count: sessions(of: hello.process)))
        }
        return actions + welcomeWaiting(volume)
    }

    private func refusal(of hello: SessionHello) -> SessionRefusal? {
        guard hello.versions.overlaps(SessionWire.versions) else { return .version }
        guard hello.tenure >= tenure else { return .lowerTenure }
        guard hello.tenure == tenure else { return .higherTenure }
        guard let admission = admissions[hello.process.node] else { return .notAdmitted }
        if hello.process.boot > admission.boot { return .notAdmitted }
        return hello.process.boot < admission.boot || admission.isStruck ? .struck : nil
    }

    /// Welcomes whoever need not wait any more: its writer is on record, and no barrier is open.
    mutating func welcomeWaiting(_ volume: Int) -> [SessionAction] {
        guard !volumes[volume].isStill || SessionMutants.active(.welcomeInBarrier) else { return [] }
        var actions: [SessionAction] = []
        for (id, connection) in connections {
            guard case .greeting(let hello, volume) = connection,
                volumes[volume].writers.isRecorded(hello.writer) || SessionMutants.active(.welcomeBeforeRecord),
                // Of a boot that is being struck, it ends after us.
                !isExcluded(hello.process.node, volume), isAdmitted(hello.process)
            else { continue }
            invariant(.admissionRecorded, isAdmitted(hello.process), "a session of a boot that is not admitted")
            lastSession += 1
            let owner = ReadOwner(process: hello.process, client: hello.client)
            volumes[volume].writers.welcomed(owner, of: hello.writer)
            connections[id] = .session(Session(owner: owner, writer: hello.writer, volume: volume))
            actions.append(.send(.welcome(welcome(lastSession, volumes[volume].about)), to: id))
            actions.append(.sessions(hello.process, count: sessions(of: hello.process)))
        }
        return actions
    }

    /// Of a session for commands there is no volume.
    private func welcome(_ session: UInt64, _ about: SessionVolume?) -> SessionWelcome {
        SessionWelcome(
            session: session, tenure: tenure, storeUUID: about?.storeUUID ?? .zero,
            originSize: about?.originSize ?? 0, chunkSize: about?.chunkSize ?? 4096,
            generation: about?.generation ?? 0)
    }

    /// The store has no place for the writer's record: nobody of it can be welcome.
    mutating func refuseWaiting(_ writer: SessionWriter, _ volume: Int) -> [SessionAction] {
        volumes[volume].writers.notChanged(writer, at: now)
        var actions: [SessionAction] = []
        for (id, connection) in connections {
            if case .greeting(let hello, volume) = connection, hello.writer == writer {
                actions += refuse(id, .storeFull)
            }
        }
        return actions
    }

    // MARK: Ends

    mutating func refuse(_ id: ConnectionID, _ reason: SessionRefusal) -> [SessionAction] {
        [.send(.refused(reason, tenure: tenure), to: id)] + end(id, .refused(reason))
    }

    mutating func refuseEpoch(_ epoch: Epoch, _ id: ConnectionID) -> [SessionAction] {
        [.send(.goAway(tenure: tenure), to: id)] + end(id, .wrongEpoch(epoch))
    }

    mutating func end(_ id: ConnectionID, _ reason: SessionEnd) -> [SessionAction] {
        [.close(id, reason)] + forget(id)
    }

    /// Its waiting queries go with it; its holds stay, since it may be reading still.
    mutating func forget(_ id: ConnectionID) -> [SessionAction] {
        let connection = connections[id]
        connections[id] = nil
        if case .greeting(let hello, let volume) = connection, isExcluded(hello.process.node, volume) {
            return [.sessions(hello.process, count: sessions(of: hello.process))]
        }
        guard case .session(let session) = connection else { return [] }
        let cancelled = cancel(session.volume) { $0.connection == id }
        for (ticket, held) in volumes[session.volume].heldUp where held.connection == id {
            volumes[session.volume].heldUp[ticket] = nil
        }
        for (ticket, full) in volumes[session.volume].full where full.connection == id {
            volumes[session.volume].full[ticket] = nil
        }
        volumes[session.volume].fullBranches[id] = nil
        if SessionMutants.active(.holdsEndWithConnection) {
            volumes[session.volume].holds.drop(clientOf: session.owner.process.node)
        }
        let process = session.owner.process
        if !isHere(session.writer, session.volume) {
            volumes[session.volume].lost[session.writer] = LostSession(boot: process.boot, since: now)
        }
        return cancelled + [.sessions(process, count: sessions(of: process))] + lost(id, session)
            + reuse(session.volume)
            + (SessionMutants.active(.writerClearedAtDisconnect) ? byeOf(session) : [])
    }

    /// Forgets these orders, whose answers nobody awaits. A write to a branch that the store was given is done.
    mutating func cancel(_ volume: Int, where isOver: (Order) -> Bool) -> [SessionAction] {
        var tickets: [UInt64] = []
        for (ticket, order) in orders where isOver(order) {
            orders[ticket] = nil
            if case .branch = order { continue }
            tickets.append(ticket)
        }
        return tickets.isEmpty ? [] : [.cancel(volume: volume, tickets)]
    }

    mutating func endSessions(of process: NodeBoot, _ reason: SessionEnd) -> [SessionAction] {
        var actions: [SessionAction] = []
        for (id, connection) in connections {
            guard let owner = connection.process, owner.node == process.node, owner.boot <= process.boot else {
                continue
            }
            actions.append(.send(.goAway(tenure: tenure), to: id))
            actions += end(id, reason)
        }
        return actions
    }

    /// One client speaks for a node: its earlier connection may be half-open still, and on one of an earlier client
    /// what that sent before its end may still arrive.
    private mutating func endEarlier(of node: NodeID, _ volume: Int) -> [SessionAction] {
        if SessionMutants.active(.earlierSessionKept) { return [] }
        var actions: [SessionAction] = []
        for (id, connection) in connections {
            switch connection {
            case .greeting(let hello, volume) where hello.process.node == node: actions += end(id, .replaced)
            case .session(let session) where session.owner.process.node == node && session.volume == volume:
                actions += end(id, .replaced)
            case .stranger, .greeting, .session, .commander: continue
            }
        }
        return actions
    }
}

extension SessionTable.Connection {
    /// Nil for a stranger.
    var process: NodeBoot? {
        switch self {
        case .stranger: nil
        case .greeting(let hello, _): hello.process
        case .session(let session): session.owner.process
        case .commander(let process, _): process
        }
    }
}
