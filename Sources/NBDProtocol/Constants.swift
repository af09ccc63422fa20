/// Numbers of the NBD protocol (github.com/NetworkBlockDevice/nbd, doc/proto.md) and the limits we put on it.
package enum NBD {
    static let initialMagic: UInt64 = 0x4E42_444D_4147_4943
    static let optionMagic: UInt64 = 0x4948_4156_454F_5054
    static let optionReplyMagic: UInt64 = 0x0003_E889_0455_65A9
    static let requestMagic: UInt32 = 0x2560_9513
    static let simpleReplyMagic: UInt32 = 0x6744_6698
    static let structuredReplyMagic: UInt32 = 0x668E_33EF

    /// Bytes of a request's header.
    package static let requestLength = 28
    /// The longest payload of a READ or WRITE; what all clients assume when nothing is advertised.
    package static let maximumPayload: UInt32 = 32 << 20
    /// The longest option we read; a longer one closes the connection, so that no client makes us skip for ever.
    package static let maximumOptionLength: UInt32 = 16 << 10
    /// The most options in one handshake, so that it ends.
    package static let maximumOptions = 256
    /// The most extents in one BLOCK_STATUS reply.
    package static let maximumExtents = 1024
    /// Bytes of the longest BLOCK_STATUS reply: a chunk for each context.
    package static let maximumStatusLength = 2 * (24 + 8 * maximumExtents)
    /// Holes and zeroes.
    static let allocationContext = "base:allocation"
    static let allocationContextID: UInt32 = 1
    /// What changed since the earlier image whose name follows.
    static let changesContext = "csnap:changed-since:"
    static let changesContextID: UInt32 = 2
    /// The most contexts of one answer to LIST_META_CONTEXT; each can be set, listed or not.
    static let maximumListedContexts = 256
}

/// Flags of the handshake.
enum HandshakeFlag {
    static let fixedNewstyle: UInt16 = 1
    static let noZeroes: UInt16 = 2
}

/// What a client may ask for before it chooses an export.
enum NBDOption: UInt32 {
    case exportName = 1
    case abort = 2
    case list = 3
    case info = 6
    case go = 7
    case structuredReply = 8
    case listMetaContext = 9
    case setMetaContext = 10
}

/// What we answer to an option.
enum OptionReply: UInt32 {
    case acknowledge = 1
    case server = 2
    case info = 3
    case metaContext = 4
    case unsupported = 0x8000_0001
    case invalid = 0x8000_0003
    case unknown = 0x8000_0006
    case tooBig = 0x8000_0009
}

/// The kinds of information that INFO and GO carry.
enum NBDInformation: UInt16 {
    case export = 0
    case name = 1
    case description = 2
    case blockSize = 3
}

/// What the export can do, as its transmission flags say.
enum TransmissionFlag {
    static let hasFlags: UInt16 = 1 << 0
    static let readOnly: UInt16 = 1 << 1
    static let sendFlush: UInt16 = 1 << 2
    static let sendFUA: UInt16 = 1 << 3
    static let sendTrim: UInt16 = 1 << 5
    static let sendWriteZeroes: UInt16 = 1 << 6
    static let sendDF: UInt16 = 1 << 7
    static let canMultiConnection: UInt16 = 1 << 8
    static let sendCache: UInt16 = 1 << 10
}

enum CommandFlag {
    static let fua: UInt16 = 1 << 0
    static let noHole: UInt16 = 1 << 1
    static let doNotFragment: UInt16 = 1 << 2
    static let requestOne: UInt16 = 1 << 3
}

enum CommandCode: UInt16 {
    case read = 0
    case write = 1
    case disconnect = 2
    case flush = 3
    case trim = 4
    case cache = 5
    case writeZeroes = 6
    case blockStatus = 7
}

/// The errors of the protocol; their numbers are those of Linux.
package enum NBDError: UInt32, Equatable, Sendable {
    case notPermitted = 1
    case inputOutput = 5
    case noMemory = 12
    case invalid = 22
    case noSpace = 28
    case overflow = 75
    case unsupported = 95
    case shutdown = 108
}
