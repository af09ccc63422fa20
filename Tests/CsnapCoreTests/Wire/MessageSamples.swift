import CsnapCore

extension Samples {
    mutating func record() -> MemberRecord {
        MemberRecord(
            process: process(), incarnation: incarnation(), state: pick([.alive, .suspect, .unreachable, .left]),
            address: address(), eligible: flag(), hasVolumes: flag(), localHealth: UInt8(below(9)))
    }
    mutating func claim() -> Claim {
        Claim(
            tenure: tenure(), phase: pick([.recovering, .active, .releasing, .released]), server: process(),
            serviceAddress: address(), configurationVersion: word(), volumes: volumes())
    }
    mutating func voters() -> VoterSet {
        VoterSet(version: word(upTo: Limits.version), voters: list(upTo: Limits.voters) { $0.node() })
    }
    mutating func pending() -> PendingVoterSet { PendingVoterSet(epoch: epoch(), set: voters()) }
    mutating func promise() -> Promise { Promise(epoch: epoch(), holder: process(), released: flag()) }
    mutating func entry() -> AdmissionEntry {
        AdmissionEntry(
            process: process(), epoch: epoch(), status: flag() ? .admitted : .evicted(cause()))
    }
    mutating func entries() -> [AdmissionEntry] { list(upTo: 20) { $0.entry() } }
    mutating func gossipItem() -> GossipItem {
        switch below(4) {
        case 0: .member(record())
        case 1: .accusation(accuser: node(), process: process(), incarnation: incarnation())
        case 2: .claim(claim())
        default: .configuration(voters())
        }
    }
    mutating func gossip() -> [GossipItem] { list(upTo: 6) { $0.gossipItem() } }

    /// One of each kind.
    mutating func messages() -> [Message] {
        membershipMessages() + claimMessages() + recoveryMessages()
    }

    mutating func join() -> Join {
        Join(
            nonce: word(), record: record(), machineID: bits(), kernelBootID: bits(), configurationVersion: word(),
            highestEpoch: epoch())
    }

    mutating func joinAck(records count: Int) -> JoinAck {
        JoinAck(
            nonce: word(), cluster: bits(), records: (0..<count).map { _ in record() }, claim: optional { $0.claim() },
            configuration: optional { $0.voters() }, pending: optional { $0.pending() }, highestEpoch: epoch())
    }

    private mutating func membershipMessages() -> [Message] {
        [
            .ping(
                Ping(
                    sequence: word(), target: process(), incarnation: incarnation(), localHealth: UInt8(below(9)),
                    sentAt: instant(), gossip: gossip())),
            .ack(
                Ack(
                    sequence: word(), target: process(), incarnation: incarnation(), localHealth: UInt8(below(9)),
                    echo: instant(), gossip: gossip())),
            .pingRequest(PingRequest(sequence: word(), target: process(), address: address(), budget: interval())),
            .news(gossip()),
            .syncDigest(
                SyncDigest(
                    ranges: list(upTo: 8) { samples in
                        SyncDigest.RangeHash(
                            firstNode: samples.node(), lastNode: samples.node(), hash: samples.word())
                    }, configurationHash: word(), claimHash: word())),
            .syncPage(
                SyncPage(
                    records: list(upTo: 8) { $0.record() }, claim: optional { $0.claim() },
                    configuration: optional { $0.voters() }, wantsAnswer: flag())),
            .join(join()), .joinAck(joinAck(records: below(8))),
            .bootTooOld(BootTooOld(nonce: word(), highest: boot())),
            .foreignGroup(ForeignGroup(nonce: word(), cluster: bits())),
            .idConflict(IdConflict(nonce: word(), node: node(), address: address())),
        ]
    }

    private mutating func claimMessages() -> [Message] {
        let reasons: [DenyReason] = [
            .promised, .mute, .lowEpoch, .configuration, .noVote, .preGranted, .idConflict,
        ]
        return [
            .preClaim(
                PreClaim(
                    epoch: epoch(), nonce: word(), configurationHash: word(),
                    reason: pick([.noHolder, .promiseEnded, .successor, .storeTenure]))),
            .preGrant(PreGrant(epoch: epoch(), nonce: word())),
            .preDeny(
                PreDeny(
                    nonce: word(), reason: pick(reasons), claim: optional { $0.claim() }, remaining: interval(),
                    highestEpoch: epoch(), configuration: optional { $0.voters() })),
            .voteRequest(VoteRequest(epoch: epoch(), nonce: word(), configurationHash: word())),
            .grant(
                Grant(
                    epoch: epoch(), nonce: word(), promiseWas: pick([.none, .expired, .released, .same]),
                    sinceRelease: interval(), admissions: entries(), committed: voters(),
                    pending: optional { $0.pending() })),
            .deny(
                Deny(
                    nonce: word(), reason: pick(reasons), promised: optional { $0.promise() }, remaining: interval(),
                    highestEpoch: epoch(), configuration: optional { $0.voters() })),
            .renew(
                Renew(
                    epoch: epoch(), nonce: word(), phase: pick([.recovering, .active, .releasing, .released]),
                    configurationHash: word())),
            .renewAck(RenewAck(epoch: epoch(), nonce: word())),
            .renewNak(RenewNak(epoch: epoch(), promised: promise())),
            .release(Release(epoch: epoch(), holder: process())),
            .transfer(Transfer(epoch: epoch(), holder: process(), successor: node())),
            .configPropose(
                ConfigPropose(epoch: epoch(), committed: voters(), proposed: voters(), admissions: entries())),
            .configAck(ConfigAck(epoch: epoch(), version: word())),
            .configCommit(ConfigCommit(epoch: epoch(), committed: voters())),
            .configCommitAck(ConfigCommitAck(epoch: epoch(), version: word())),
            .voteRecover(VoteRecover(nonce: word())),
            .voteRecoverAck(
                VoteRecoverAck(
                    nonce: word(), highestEpoch: epoch(), promise: optional { $0.promise() },
                    floor: epoch(), admissions: entries(), committed: voters(),
                    pending: optional { $0.pending() })),
        ]
    }

    private mutating func recoveryMessages() -> [Message] {
        let verbs: [OperatorVerb] = [
            .transfer(node()), .strike(node(), fenced: flag()), .voters(list(upTo: 7) { $0.node() }),
            .addVoters(list(upTo: 7) { $0.node() }), .replaceVoter(node(), by: node()), .leaving(node()),
        ]
        let refusals = (0...17).compactMap { RefusalCode(rawValue: $0) }
        return [
            .clientLease(
                ClientLease(
                    nonce: word(), tenure: tenure(), clients: word32(), suspended: flag(), mayWait: flag())),
            .clientLeaseAck(ClientLeaseAck(nonce: word(), tenure: tenure(), remaining: interval())),
            .evicted(Evicted(tenure: tenure(), process: process(), cause: cause())),
            .table(Table(epoch: epoch(), sequence: word(), entries: entries())),
            .tableAck(TableAck(epoch: epoch(), sequence: word())),
            .recover(Recover(tenure: tenure(), setHash: word())),
            .ready(Ready(tenure: tenure(), setHash: word(), clients: word32(), writesInFlight: word32())),
            .started(Started(tenure: tenure(), setHash: word(), address: address())),
            .reconnected(Reconnected(tenure: tenure(), setHash: word(), clients: word32())),
            .resume(Resume(tenure: tenure(), setHash: word(), address: address(), process: process())),
            .resumeAck(ResumeAck(tenure: tenure(), setHash: word())),
            .operatorRequest(OperatorRequest(command: bits(), verb: pick(verbs))),
            .operatorReply(OperatorReply(command: bits(), outcome: flag() ? .done : .refused(pick(refusals)))),
        ]
    }

    mutating func header() -> PacketHeader {
        PacketHeader(
            clusterTag: word(), cluster: bits(), keyID: byte(), sender: process(), startBits: bits(), counter: word())
    }

    mutating func storedState() -> StoredState {
        var state = StoredState(process: process(), machineID: bits(), kernelBootID: bits(), startBits: bits())
        state.cluster = bits()
        state.promise = optional { $0.promise() }
        state.highestEpoch = epoch()
        state.committed = optional { $0.voters() }
        state.floor = epoch()
        state.pending = optional { $0.pending() }
        state.admissions = AdmissionTable(merging: entries())
        state.mayVote = flag()
        state.enabled = flag()
        state.peers = list(upTo: 9) { $0.address() }
        state.volumeEpochs = list(upTo: 4) { VolumeEpoch(volume: $0.volume(), epoch: $0.epoch()) }
        return state
    }
}
