extension Agent {
    /// Sends to a member, or delivers to ourselves within this step. An unknown node's message is dropped: it is news
    /// that discovery will bring.
    mutating func send(_ message: Message, to node: NodeID) {
        if node == own.node {
            loopback.append(message)
        } else if let record = membership.record(of: node) {
            send(message, at: record.address)
        }
    }

    mutating func send(_ message: Message, at address: Address) {
        actions.append(.send(to: address, [message]))
    }

    mutating func report(_ report: Report) { actions.append(.report(report)) }

    /// Runs one call into the membership and carries out what it asks for.
    mutating func runMembership(_ body: (inout Membership, Instant, inout MembershipEffects) -> Void) {
        var effects = MembershipEffects()
        body(&membership, now, &effects)
        for send in effects.sends { self.send(send.message, at: send.to) }
        for change in effects.changes { apply(change) }
        for configuration in effects.configurations { learn(committed: configuration) }
        for claim in effects.claims { learn(claim: claim) }
    }

    private mutating func apply(_ change: MembershipChange) {
        switch change {
        case .joined(let record):
            report(.memberJoined(record.process, record.address))
            rememberPeer(record.address)
        case .restarted(let record): report(.memberJoined(record.process, record.address))
        case .suspected(let process, let accuser): report(.memberSuspected(process, by: accuser))
        case .alive(let process): report(.memberAlive(process))
        case .unreachable(let process): report(.memberUnreachable(process))
        case .left(let process): report(.memberLeft(process))
        case .ownBootSurpassed(let boot): ownBootWasTaken(upTo: boot)
        }
    }

    /// The addresses worth asking after a restart; they reach the disk with whatever is written next.
    private mutating func rememberPeer(_ address: Address) {
        guard !stored.peers.contains(address), !settings.peers.contains(address) else { return }
        stored.peers.append(address)
        if stored.peers.count > Bounds.rememberedPeers { stored.peers.removeFirst() }
    }
}

/// Limits on what an agent keeps; each named, none reached in a healthy group.
enum Bounds {
    /// Addresses of earlier members kept for rejoining.
    static let rememberedPeers = 64
    /// Renewals whose acknowledgement still counts: more than fit between send and hard in any profile.
    static let outstandingNonces = 256
    /// Effects held back until the state is durable; more would mean that the disk stands still.
    static let heldBack = 256
}
