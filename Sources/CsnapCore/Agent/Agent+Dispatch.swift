extension Agent {
    /// Takes one datagram: who may say what is decided here, once.
    mutating func receive(_ messages: [Message], from sender: Sender) {
        guard sender.process.node != own.node else {
            receiveFromOwnNode(messages, from: sender)
            return
        }
        for message in messages where isDiscovery(message) { dispatchDiscovery(message, from: sender) }
        guard isOfOurGroup(sender) else { return }
        // Another start under a boot that we know: our Join makes it ask us, and learn that the boot is taken.
        guard !discovery.isConflicting(sender) else { return introduce(to: sender) }
        discovery.heard(from: sender, at: now)
        let known = membership.record(of: sender.process.node)?.process
        guard known == sender.process else {
            if known.map({ $0.boot < sender.process.boot }) ?? true { introduce(to: sender) }
            return
        }
        askForIdentity(of: sender)
        runMembership { membership, now, effects in membership.heard(from: sender.process, at: now, into: &effects) }
        for message in messages where !isDiscovery(message) { dispatch(message, from: sender.process) }
    }

    func isOfOurGroup(_ sender: Sender) -> Bool {
        stored.cluster != .zero && sender.cluster == stored.cluster
    }

    private func isDiscovery(_ message: Message) -> Bool {
        switch message {
        case .join, .joinAck, .bootTooOld, .foreignGroup, .idConflict: true
        default: false
        }
    }

    /// Hands one message of a member, or of this node itself, to the part that it is for.
    mutating func dispatch(_ message: Message, from sender: NodeBoot) {
        switch message {
        case .ping, .ack, .pingRequest, .news, .syncDigest, .syncPage:
            runMembership { membership, now, effects in
                membership.receive(message, from: sender, at: now, into: &effects)
            }
        case .join, .joinAck, .bootTooOld, .foreignGroup, .idConflict: break
        case .preClaim(let message): receivePreClaim(message, from: sender)
        case .preGrant(let message): receivePreGrant(message, from: sender)
        case .preDeny(let message): receivePreDeny(message, from: sender)
        case .voteRequest(let message): receiveVoteRequest(message, from: sender)
        case .grant(let message): receiveGrant(message, from: sender)
        case .deny(let message): receiveDeny(message, from: sender)
        case .renew(let message): receiveRenew(message, from: sender)
        case .renewAck(let message): receiveRenewAck(message, from: sender)
        case .renewNak(let message): receiveRenewNak(message, from: sender)
        case .release(let message): receiveRelease(message)
        case .transfer(let message): receiveTransfer(message)
        case .configPropose(let message): receiveConfigPropose(message, from: sender)
        case .configAck(let message): receiveConfigAck(message, from: sender)
        case .configCommit(let message): receiveConfigCommit(message, from: sender)
        case .configCommitAck(let message): receiveConfigCommitAck(message, from: sender)
        case .voteRecover(let message): receiveVoteRecover(message, from: sender)
        case .voteRecoverAck(let message): receiveVoteRecoverAck(message, from: sender)
        case .clientLease(let message): receiveClientLease(message, from: sender)
        case .clientLeaseAck(let message): receiveClientLeaseAck(message, from: sender)
        case .evicted(let message): receiveEvicted(message)
        case .table(let message): receiveTable(message, from: sender)
        case .tableAck(let message): receiveTableAck(message, from: sender)
        case .recover(let message): receiveRecover(message, from: sender)
        case .ready(let message): receiveReady(message, from: sender)
        case .started(let message): receiveStarted(message, from: sender)
        case .reconnected(let message): receiveReconnected(message, from: sender)
        case .resume(let message): receiveResume(message, from: sender)
        case .resumeAck(let message): receiveResumeAck(message, from: sender)
        case .operatorRequest(let message): receiveOperatorRequest(message, from: sender)
        case .operatorReply(let message): receiveOperatorReply(message)
        }
    }
}
