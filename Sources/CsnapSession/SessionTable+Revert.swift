import CsnapCore

/// A snapshot is written back to the origin, or one that a stream brings is written there, by one client that alone has
/// it (docs/decisions/0058-a-revert-is-a-client.md, 0085-receive-has-the-origin-alone.md).
extension SessionTable {
    /// Refused unless no other node's client is here, and none is lost: what it gave to the disk would land in what is
    /// being written back.
    mutating func beginRevert(
        _ volume: Int, _ begin: StoreOrder, by node: NodeID, _ answer: CommandAnswer
    ) -> [SessionAction] {
        let about = volumes[volume].about.name
        guard volumes[volume].barrier == nil, volumes[volume].reserved == nil else {
            return refusal(.busy, about, answer)
        }
        var others: [NodeID] = []
        var own: [SessionWriter] = []
        for connection in connections.values {
            switch connection {
            case .session(let session) where session.volume == volume:
                let other = session.owner.process.node
                if other == node { own.append(session.writer) } else { others.append(other) }
            case .greeting(let hello, volume) where hello.process.node == node: own.append(hello.writer)
            case .stranger, .greeting, .session, .commander: continue
            }
        }
        guard others.isEmpty else { return refusal(.otherClients, Self.words(others), answer) }
        guard !own.isEmpty else { return refusal(.noClient, "node \(node.value)", answer) }
        let lost = lostWriters(volume, besides: own)
        guard lost.isEmpty else { return refusal(.writerLost, Self.list(lost.map { $0.words }), answer) }
        volumes[volume].reserved = node
        return [order(begin, volume, for: .revert(answer, volume: volume, isBegin: true))]
    }

    /// By its own node; or by another, when nothing of its client can reach the origin any more.
    mutating func endRevert(_ volume: Int, _ uuid: Bits128, _ answer: CommandAnswer) -> [SessionAction] {
        guard case .commander(let process, _) = connections[answer.connection] else { return [] }
        // Nobody else is let in while the snapshot of what was received is made.
        guard volumes[volume].barrier == nil else { return refusal(.busy, volumes[volume].about.name, answer) }
        if let node = volumes[volume].about.revert?.node, node != process.node {
            let isConnected = volumes[volume].writers.uncleared.contains { $0.node == node && isHere($0, volume) }
            if isConnected { return refusal(.otherClients, Self.words([node]), answer) }
            let lost = lostWriters(volume).filter { $0.node == node }
            guard lost.isEmpty else { return refusal(.writerLost, Self.list(lost.map { $0.words }), answer) }
        }
        return [order(.endRevert(uuid: uuid), volume, for: .revert(answer, volume: volume, isBegin: false))]
    }

    /// The store has answered what a revert asked.
    mutating func reverted(
        _ result: StoreResult, _ volume: Int, isBegin: Bool, _ answer: CommandAnswer
    ) -> [SessionAction] {
        if isBegin { volumes[volume].reserved = nil }
        switch result {
        case .reverting(let revert):
            if volumes[volume].about.revert == nil { volumes[volume].revertSince = now }
            volumes[volume].about.revert = revert
            let outcome = revert.map { CommandOutcome.reverting($0) } ?? .done
            return admitWaiting(volume) + self.answer(answer, outcome)
        case .outcome(let outcome): return admitWaiting(volume) + self.answer(answer, outcome)
        default: return unexpected()
        }
    }

    /// The only node whose client may have the origin; nil: all may.
    func exclusiveNode(_ volume: Int) -> NodeID? { volumes[volume].reserved ?? volumes[volume].about.revert?.node }

    func isExcluded(_ node: NodeID, _ volume: Int) -> Bool {
        exclusiveNode(volume).map { $0 != node } ?? false
    }

    /// Who waited because of a revert may be welcome now.
    private mutating func admitWaiting(_ volume: Int) -> [SessionAction] {
        var actions: [SessionAction] = []
        for connection in connections.values {
            if case .greeting(let hello, volume) = connection { actions += recordWriter(hello, volume) }
        }
        return actions + welcomeWaiting(volume)
    }

    /// The writer's record comes before the first WELCOME; whoever is excluded has none, and so is never lost.
    mutating func recordWriter(_ hello: SessionHello, _ volume: Int) -> [SessionAction] {
        runs(hello.writer, volume)
        guard !isExcluded(hello.process.node, volume), volumes[volume].writers.needsRecord(hello.writer) else {
            return []
        }
        return [order(.recordWriter(hello.writer), volume, for: .writer(hello.writer, volume: volume))]
    }
}
