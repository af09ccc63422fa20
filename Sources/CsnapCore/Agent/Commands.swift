/// A command typed here that only the holder can carry out.
struct ForwardedCommand: Equatable, Sendable {
    var id: Bits128
    var verb: OperatorVerb
    var nextSend: Instant
    var until: Instant
}

extension Agent {
    /// Commands from this node that may wait for the holder at one time.
    private static let forwardedLimit = 16

    mutating func run(_ command: Command, id: Bits128) {
        switch command {
        case .found(let cluster): found(cluster, id: id)
        case .leave, .stop: departure == nil ? depart(id, leaves: command == .leave) : answer(id, .refused(.busy))
        case .enable, .disable:
            let enabled = command == .enable
            if enabled != stored.enabled { enabledSince = now }
            stored.enabled = enabled
            updateEligible()
            persist(then: [.reply(id, .done)])
            if !enabled, isHolder, let successor = bestSuccessor {
                server.successor = successor
                stopServing(.release)
            }
        case .transfer(let node): operate(.transfer(node), id: id)
        case .strike(let node, let fenced): operate(.strike(node, fenced: fenced), id: id)
        case .voters(let voters): operate(.voters(voters), id: id)
        case .addVoters(let added): operate(.addVoters(added), id: id)
        case .replaceVoter(let old, let new): operate(.replaceVoter(old, by: new), id: id)
        }
    }

    mutating func answer(_ id: Bits128, _ outcome: OperatorOutcome) {
        actions.append(.reply(command: id, outcome))
    }

    // MARK: Founding

    private mutating func found(_ cluster: Bits128, id: Bits128) {
        if let committed = stored.committed, committed.voters.contains(own.node) { return answer(id, .done) }
        guard stored.cluster == .zero, stored.committed == nil else { return answer(id, .refused(.alreadyInGroup)) }
        guard membership.others.isEmpty else { return answer(id, .refused(.groupHeard)) }
        guard stored.mayVote else { return answer(id, .refused(.alreadyInGroup)) }
        stored.cluster = cluster
        stored.committed = VoterSet(version: 1, voters: [own.node])
        persist(then: [.founded(cluster), .reply(id, .done)])
    }

    mutating func groupIsFounded(_ cluster: Bits128) {
        voter.answers = true
        discovery.joined = true
        actions.append(.pin(cluster: cluster))
        report(.founded(cluster: cluster))
        if let committed = stored.committed { membership.announce(configuration: committed) }
    }

    // MARK: At the holder, or on the way to it

    private mutating func operate(_ verb: OperatorVerb, id: Bits128) {
        if isHolder {
            if let outcome = carryOut(verb, id, from: own.node) { answer(id, outcome) }
            return
        }
        guard stored.cluster != .zero else { return answer(id, .refused(.notFounded)) }
        guard let claim, claim.phase != .released, claim.server.node != own.node,
            forwarded.count < Self.forwardedLimit
        else { return answer(id, .refused(.noServer)) }
        send(.operatorRequest(OperatorRequest(command: id, verb: verb)), to: claim.server.node)
        forwarded.append(
            ForwardedCommand(id: id, verb: verb, nextSend: now + timing.renew, until: now + patience(verb)))
    }

    /// How long a command waits for the holder's answer: a change of voters is answered when it is done.
    private func patience(_ verb: OperatorVerb) -> Interval {
        switch verb {
        case .transfer, .strike: timing.promise * 2
        case .voters, .addVoters, .replaceVoter, .leaving: timing.promise * 10
        }
    }

    /// Nil: the answer follows when the change is done.
    mutating func carryOut(_ verb: OperatorVerb, _ id: Bits128, from asker: NodeID) -> OperatorOutcome? {
        guard let current = holder, current.stop == nil else { return .refused(.notHolder) }
        switch verb {
        case .transfer(let node):
            if node == own.node { return .refused(.alreadyServing) }
            guard let record = membership.record(of: node), isReachable(node) else { return .refused(.notMember) }
            guard record.eligible else { return .refused(.notEligible) }
            guard current.phase == .active else { return .refused(.busy) }
            server.successor = node
            stopServing(.release)
            return .done
        case .strike(let node, let fenced): return strike(node, fenced: fenced)
        case .voters, .addVoters, .replaceVoter, .leaving:
            return changeVoters(verb, asked: VoterChangeOrder(id: id, asker: asker))
        }
    }

    mutating func receiveOperatorRequest(_ request: OperatorRequest, from sender: NodeBoot) {
        if let done = answered.last(where: { $0.command == request.command }) {
            return send(.operatorReply(done), to: sender.node)
        }
        if let outcome = carryOut(request.verb, request.command, from: sender.node) {
            reply(to: sender.node, OperatorReply(command: request.command, outcome: outcome))
            // Who leaves asks again until it is replaced; nothing else is tried twice.
            if case .leaving = request.verb, outcome != .done { answered.removeAll { $0.command == request.command } }
        }
    }

    mutating func reply(to asker: NodeID, _ reply: OperatorReply) {
        if answered.count >= Self.forwardedLimit { answered.removeFirst() }
        answered.append(reply)
        send(.operatorReply(reply), to: asker)
    }

    mutating func receiveOperatorReply(_ reply: OperatorReply) {
        if departure?.command == reply.command { return receiveLeavingReply(reply.outcome) }
        guard forwarded.contains(where: { $0.id == reply.command }) else { return }
        forwarded.removeAll { $0.id == reply.command }
        answer(reply.command, reply.outcome)
    }

    mutating func tickForwarded() {
        for (index, command) in forwarded.enumerated().reversed() {
            if now >= command.until {
                forwarded.remove(at: index)
                answer(command.id, .refused(.noServer))
            } else if now >= command.nextSend {
                forwarded[index].nextSend = now + timing.renew
                guard let claim else { continue }
                send(
                    .operatorRequest(OperatorRequest(command: command.id, verb: command.verb)), to: claim.server.node)
            }
        }
    }

    var forwardedWake: Instant {
        forwarded.reduce(.distantFuture) { min($0, $1.nextSend, $1.until) }
    }
}
