/// The number of each message on the wire. Numbers are never given twice; gaps leave room for a group's later ones.
package enum MessageKind: UInt8, CaseIterable, Sendable {
    case ping = 1
    case ack = 2
    case pingRequest = 3
    case news = 4
    case syncDigest = 5
    case syncPage = 6
    case join = 16
    case joinAck = 17
    case bootTooOld = 18
    case foreignGroup = 19
    case idConflict = 20
    case preClaim = 32
    case preGrant = 33
    case preDeny = 34
    case voteRequest = 35
    case grant = 36
    case deny = 37
    case renew = 38
    case renewAck = 39
    case renewNak = 40
    case release = 41
    case transfer = 42
    case configPropose = 64
    case configAck = 65
    case configCommit = 66
    case configCommitAck = 67
    case voteRecover = 68
    case voteRecoverAck = 69
    case clientLease = 80
    case clientLeaseAck = 81
    case evicted = 82
    case table = 83
    case tableAck = 84
    case recover = 85
    case ready = 86
    case started = 87
    case reconnected = 88
    case resume = 89
    case resumeAck = 90
    case operatorRequest = 112
    case operatorReply = 113
}

extension Message {
    package var kind: MessageKind {
        switch self {
        case .ping: .ping
        case .ack: .ack
        case .pingRequest: .pingRequest
        case .news: .news
        case .syncDigest: .syncDigest
        case .syncPage: .syncPage
        case .join: .join
        case .joinAck: .joinAck
        case .bootTooOld: .bootTooOld
        case .foreignGroup: .foreignGroup
        case .idConflict: .idConflict
        case .preClaim: .preClaim
        case .preGrant: .preGrant
        case .preDeny: .preDeny
        case .voteRequest: .voteRequest
        case .grant: .grant
        case .deny: .deny
        case .renew: .renew
        case .renewAck: .renewAck
        case .renewNak: .renewNak
        case .release: .release
        case .transfer: .transfer
        case .configPropose: .configPropose
        case .configAck: .configAck
        case .configCommit: .configCommit
        case .configCommitAck: .configCommitAck
        case .voteRecover: .voteRecover
        case .voteRecoverAck: .voteRecoverAck
        case .clientLease: .clientLease
        case .clientLeaseAck: .clientLeaseAck
        case .evicted: .evicted
        case .table: .table
        case .tableAck: .tableAck
        case .recover: .recover
        case .ready: .ready
        case .started: .started
        case .reconnected: .reconnected
        case .resume: .resume
        case .resumeAck: .resumeAck
        case .operatorRequest: .operatorRequest
        case .operatorReply: .operatorReply
        }
    }

    /// The fields without kind and length.
    func encodeBody(to writer: inout ByteWriter) {
        switch self {
        case .ping(let body): writer.value(body)
        case .ack(let body): writer.value(body)
        case .pingRequest(let body): writer.value(body)
        case .news(let items): writer.gossip(items)
        case .syncDigest(let body): writer.value(body)
        case .syncPage(let body): writer.value(body)
        case .join(let body): writer.value(body)
        case .joinAck(let body): writer.value(body)
        case .bootTooOld(let body): writer.value(body)
        case .foreignGroup(let body): writer.value(body)
        case .idConflict(let body): writer.value(body)
        case .preClaim(let body): writer.value(body)
        case .preGrant(let body): writer.value(body)
        case .preDeny(let body): writer.value(body)
        case .voteRequest(let body): writer.value(body)
        case .grant(let body): writer.value(body)
        case .deny(let body): writer.value(body)
        case .renew(let body): writer.value(body)
        case .renewAck(let body): writer.value(body)
        case .renewNak(let body): writer.value(body)
        case .release(let body): writer.value(body)
        case .transfer(let body): writer.value(body)
        case .configPropose(let body): writer.value(body)
        case .configAck(let body): writer.value(body)
        case .configCommit(let body): writer.value(body)
        case .configCommitAck(let body): writer.value(body)
        case .voteRecover(let body): writer.value(body)
        case .voteRecoverAck(let body): writer.value(body)
        case .clientLease(let body): writer.value(body)
        case .clientLeaseAck(let body): writer.value(body)
        case .evicted(let body): writer.value(body)
        case .table(let body): writer.value(body)
        case .tableAck(let body): writer.value(body)
        case .recover(let body): writer.value(body)
        case .ready(let body): writer.value(body)
        case .started(let body): writer.value(body)
        case .reconnected(let body): writer.value(body)
        case .resume(let body): writer.value(body)
        case .resumeAck(let body): writer.value(body)
        case .operatorRequest(let body): writer.value(body)
        case .operatorReply(let body): writer.value(body)
        }
    }

    init(kind: MessageKind, from reader: inout ByteReader) throws(WireError) {
        self =
            switch kind {
            case .ping: .ping(try reader.value())
            case .ack: .ack(try reader.value())
            case .pingRequest: .pingRequest(try reader.value())
            case .news: .news(try reader.gossip())
            case .syncDigest: .syncDigest(try reader.value())
            case .syncPage: .syncPage(try reader.value())
            case .join: .join(try reader.value())
            case .joinAck: .joinAck(try reader.value())
            case .bootTooOld: .bootTooOld(try reader.value())
            case .foreignGroup: .foreignGroup(try reader.value())
            case .idConflict: .idConflict(try reader.value())
            case .preClaim: .preClaim(try reader.value())
            case .preGrant: .preGrant(try reader.value())
            case .preDeny: .preDeny(try reader.value())
            case .voteRequest: .voteRequest(try reader.value())
            case .grant: .grant(try reader.value())
            case .deny: .deny(try reader.value())
            case .renew: .renew(try reader.value())
            case .renewAck: .renewAck(try reader.value())
            case .renewNak: .renewNak(try reader.value())
            case .release: .release(try reader.value())
            case .transfer: .transfer(try reader.value())
            case .configPropose: .configPropose(try reader.value())
            case .configAck: .configAck(try reader.value())
            case .configCommit: .configCommit(try reader.value())
            case .configCommitAck: .configCommitAck(try reader.value())
            case .voteRecover: .voteRecover(try reader.value())
            case .voteRecoverAck: .voteRecoverAck(try reader.value())
            case .clientLease: .clientLease(try reader.value())
            case .clientLeaseAck: .clientLeaseAck(try reader.value())
            case .evicted: .evicted(try reader.value())
            case .table: .table(try reader.value())
            case .tableAck: .tableAck(try reader.value())
            case .recover: .recover(try reader.value())
            case .ready: .ready(try reader.value())
            case .started: .started(try reader.value())
            case .reconnected: .reconnected(try reader.value())
            case .resume: .resume(try reader.value())
            case .resumeAck: .resumeAck(try reader.value())
            case .operatorRequest: .operatorRequest(try reader.value())
            case .operatorReply: .operatorReply(try reader.value())
            }
    }
}
