/// Everything one agent says to another (docs/protocol.md §4). The header (node, boot, start bits, cluster) is the
/// packet's; see `PacketHeader`.
package enum Message: Equatable, Sendable {
    // Membership
    case ping(Ping)
    case ack(Ack)
    case pingRequest(PingRequest)
    case news([GossipItem])
    case syncDigest(SyncDigest)
    case syncPage(SyncPage)
    // Discovery
    case join(Join)
    case joinAck(JoinAck)
    case bootTooOld(BootTooOld)
    case foreignGroup(ForeignGroup)
    case idConflict(IdConflict)
    // Claim
    case preClaim(PreClaim)
    case preGrant(PreGrant)
    case preDeny(PreDeny)
    case voteRequest(VoteRequest)
    case grant(Grant)
    case deny(Deny)
    case renew(Renew)
    case renewAck(RenewAck)
    case renewNak(RenewNak)
    case release(Release)
    case transfer(Transfer)
    // Configuration
    case configPropose(ConfigPropose)
    case configAck(ConfigAck)
    case configCommit(ConfigCommit)
    case configCommitAck(ConfigCommitAck)
    case voteRecover(VoteRecover)
    case voteRecoverAck(VoteRecoverAck)
    // Admission and recovery
    case clientLease(ClientLease)
    case clientLeaseAck(ClientLeaseAck)
    case evicted(Evicted)
    case table(Table)
    case tableAck(TableAck)
    case recover(Recover)
    case ready(Ready)
    case started(Started)
    case reconnected(Reconnected)
    case resume(Resume)
    case resumeAck(ResumeAck)
    // Operators
    case operatorRequest(OperatorRequest)
    case operatorReply(OperatorReply)
}
