package import CsnapCore

/// Bounds of the server's sessions, so that no client can make it grow (docs/data-plane.md, "Server").
package struct SessionLimits: Equatable, Sendable {
    /// Sessions in all: 64 nodes with 16 clients each.
    package var sessions = 1024
    /// Connections that have not said hello.
    package var strangers = 64
    /// A client has said hello by then, also from far away.
    package var hello = Interval.milliseconds(500)
    /// Queries of one session that wait for their grant: eight NBD connections of 128 requests.
    package var waitingQueries = 1024
    /// Snapshot reads of one session that have not ended: as many as requests.
    package var reads = 1024
    /// Writes to branches of one session that are not answered: each brings its data along.
    package var branchWrites = 8
    /// How long clients have to drain and flush when a snapshot is made; all writes wait for it, so it is short.
    package var barrierPatience = Interval.seconds(1)
    /// How long a machine must have run another kernel until its old writes count as landed or lost.
    package var settle = Interval.seconds(60)
    /// How soon writes that found the store full are tried again.
    package var fullRetry = Interval.milliseconds(100)

    package init() {}
}

/// What went wrong with one query; the session goes on.
package enum SessionQueryError: UInt16, Sendable {
    /// A range lies behind the end of the origin.
    case outOfRange = 1
    /// A query without ranges.
    case empty = 2
    /// A read of more chunks than one answer can map.
    case tooLong = 3
    case unknownSnapshot = 4
    /// The origin could not be read where it had to be copied.
    case originFailed = 5
    /// What the store says of this place is damaged.
    case storeDamaged = 6
    /// The store has no room for the copy.
    case storeFull = 7
    /// A snapshot never changes; only a branch is written.
    case notWritable = 8
}

/// Why the server ended a connection; logged by name.
package enum SessionEnd: Equatable, Sendable, CustomStringConvertible {
    case refused(SessionRefusal)
    /// Its boot lost its admission.
    case struck
    /// Its node came with a higher boot.
    case surpassed
    case bye
    /// The same client has opened a new session for the same image.
    case replaced
    /// Bytes that no frame begins with, or that were changed.
    case garbage(SessionFrameError)
    /// A request before HELLO.
    case helloMissing
    case helloTwice
    case wrongEpoch(Epoch)
    /// More queries waiting than a client may have.
    case tooManyQueries
    /// A command on a session of a client, or the other way round.
    case wrongImage
    case tooManyStrangers

    package var description: String {
        switch self {
        case .refused(let reason): "refused: \(reason.sentence)"
        case .struck: "its boot was struck"
        case .surpassed: "a higher boot of its node was admitted"
        case .bye: "it said goodbye"
        case .replaced: "its node's client opened a new session"
        case .garbage(let error): "it sent garbage: \(error)"
        case .helloMissing: "it sent a request before its hello"
        case .helloTwice: "it sent a second hello"
        case .wrongEpoch(let epoch): "it sent a request of epoch \(epoch.value)"
        case .tooManyQueries: "it had too many queries waiting"
        case .wrongImage: "it sent a request that this kind of session does not take"
        case .tooManyStrangers: "too many connections had not said hello"
        }
    }
}

extension SessionRefusal {
    /// For a person.
    package var sentence: String {
        switch self {
        case .notAdmitted: "this boot of its node is not admitted; its agent must join first"
        case .struck: "this boot of its node was evicted; its agent must start anew"
        case .lowerTenure: "it asked for an earlier tenure; its agent will name the present one"
        case .higherTenure: "it asked for a later tenure than this server's; this server is deposed"
        case .unknownVolume: "this server has no volume of that name; use one configuration on all nodes"
        case .leftOut:
            "the volume's store failed: repair the path to it, then `csnapctl transfer NODE` to a node that sees it"
        case .version: "it speaks no common version; run one csnap version on all nodes"
        case .tooManySessions: "the number of sessions is at its bound; close some clients"
        case .unknownImage: "the volume has no such image"
        case .notServing: "this server is not serving"
        case .storeFull: "the volume's store has no room for one more writer's record; delete snapshots"
        case .succeeded: "a client of its volume that started later on this machine has come; restart this one"
        }
    }
}
