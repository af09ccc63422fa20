package import CsnapCore

/// The layout of a frame between client and server (docs/data-plane.md, "Messages between client and server").
///
/// Little-endian: magic u32, version u16, type u16, flags u16, zero u16, length u32 (of the body), epoch u64,
/// CRC-32C u32 (of the header before it and the body); then the body.
package enum SessionWire {
    /// "CSNS" in the order of its bytes.
    package static let magic: UInt32 = 0x534E_5343
    /// Version of the layout of frames; what a session may say is agreed upon by HELLO's versions.
    package static let version: UInt16 = 1
    /// Versions of the session protocol that this csnap speaks.
    package static let versions: ClosedRange<UInt16> = 1...1
    package static let headerSize = 28
    /// A flag among these must be understood by the receiver; the others may be ignored.
    package static let mandatoryFlags: UInt16 = 0xff00
    /// Ranges of one query: more than a client's queue ever holds, and 4096 of the longest fit one frame.
    package static let maximumRanges = 4096
    /// Chunks of one write query: a request of 32 MiB in chunks of 4 KiB, twice.
    package static let maximumWriteChunks = 16384
    /// Chunks of one read query; their map, a piece per chunk, fits one frame.
    package static let maximumReadChunks = 4096
    /// Bytes of one answer with data: a quarter of what a client may leave unread.
    package static let maximumData = 64 << 10
    /// Entries of one answer about snapshots: some 32 KiB.
    package static let snapshotsPerPage = 256
    /// Ranges of one answer about changed chunks: some 60 KiB at most.
    package static let maximumChanges = 4096
    /// Volumes of one snapshot.
    package static let volumesOfOneCommand = 64
    /// Snapshots and branches that programs have open through one client: one for each of its NBD connections.
    package static let maximumOpenImages = 64
    package static let maximumImageName = 64
}

/// Why the bytes of a session were refused. The connection is closed; nothing else was changed.
package enum SessionFrameError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Not a frame of csnap.
    case foreign
    case version(UInt16)
    case mandatoryFlag(UInt16)
    case unknownType(UInt16)
    /// The header announces a body above the bound of its direction.
    case tooLong(UInt32)
    /// The bytes were changed on their way.
    case checksum
    case body(WireError)

    package var description: String {
        switch self {
        case .foreign: "the bytes are no session frame of csnap"
        case .version(let version): "frame version \(version) is not spoken here; run one csnap version on all nodes"
        case .mandatoryFlag(let flags): "mandatory flags \(flags) are unknown; upgrade csnap on this node"
        case .unknownType(let type): "frame type \(type) is unknown; upgrade csnap on this node"
        case .tooLong(let length): "a frame of \(length) bytes exceeds the bound"
        case .checksum: "the checksum of a frame is wrong"
        case .body(let error): "the body of a frame: \(error)"
        }
    }
}

/// A frame of one direction.
package protocol SessionFrame: Equatable, Sendable {
    /// Largest body of this direction, in bytes.
    static var maximumBody: Int { get }
    static func isKnown(type: UInt16) -> Bool
    var type: UInt16 { get }
    /// What the header carries; 0 for BYE.
    var epoch: Epoch { get }
    func encodeBody(to writer: inout ByteWriter)
    init(type: UInt16, epoch: Epoch, body reader: inout ByteReader) throws(SessionFrameError)
}

extension SessionFrame {
    /// Header and body.
    package var bytes: [UInt8] {
        var body = ByteWriter()
        encodeBody(to: &body)
        var header = ByteWriter(capacity: SessionWire.headerSize + body.count)
        header.fixed(SessionWire.magic)
        header.fixed(SessionWire.version)
        header.fixed(type)
        header.fixed(UInt16(0))
        header.fixed(UInt16(0))
        header.fixed(UInt32(truncatingIfNeeded: body.count))
        header.fixed(epoch.value)
        let checksum = Castagnoli.checksum(header.bytes + body.bytes)
        header.fixed(checksum)
        header.raw(body.bytes)
        return header.bytes
    }
}
