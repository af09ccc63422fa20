package import CsnapCore

/// What a stream of `csnapctl snapshot send` begins with (docs/snapshots.md, "Streams").
///
/// Little-endian: "CSNAPSTR", version u32, length of the body u32, body, CRC-32C u32 of all before it.
package struct StreamHeader: Equatable, Sendable {
    /// Names of a group or a volume, in the body.
    private static let nameLimit = 255
    static let magic = Array("CSNAPSTR".utf8)
    /// What follows the header changes with it too.
    package static let version: UInt32 = 1
    /// Bytes before the body.
    static let prefixSize = 16
    static let maximumBody = 4096

    package var cluster: Bits128
    package var volume: String
    package var snapshot: Bits128
    package var name: String
    /// Seconds since 1970, by the clock of the node that made it.
    package var created: UInt64
    /// The earlier snapshot that the stream adds to; zero: none, all is in the stream.
    package var base: Bits128
    /// Bytes of the image.
    package var size: UInt64
    package var chunkSize: UInt32
    /// What lies before this byte was received earlier: it is compared, not sent.
    package var start: UInt64

    package init(
        cluster: Bits128, volume: String, snapshot: Bits128, name: String, created: UInt64, base: Bits128,
        size: UInt64, chunkSize: UInt32, start: UInt64
    ) {
        self.cluster = cluster
        self.volume = volume
        self.snapshot = snapshot
        self.name = name
        self.created = created
        self.base = base
        self.size = size
        self.chunkSize = chunkSize
        self.start = start
    }

    package var isFull: Bool { base == .zero }

    package var bytes: [UInt8] {
        var body = ByteWriter()
        body.value(cluster)
        body.string(volume)
        body.value(snapshot)
        body.string(name)
        body.varint(created)
        body.value(base)
        body.varint(size)
        body.fixed(chunkSize)
        body.varint(start)
        var writer = ByteWriter()
        writer.raw(Self.magic)
        writer.fixed(Self.version)
        writer.fixed(UInt32(body.count))
        writer.raw(body.bytes)
        writer.fixed(Castagnoli.checksum(writer.bytes))
        return writer.bytes
    }

    /// How many bytes follow these first `prefixSize`.
    static func rest(after prefix: [UInt8]) throws(StreamError) -> Int {
        guard prefix.starts(with: magic) else { throw .foreign }
        let words = prefix.dropFirst(8).withUnsafeBytes { raw in
            (raw.loadUnaligned(as: UInt32.self), raw.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        }
        let (version, length) = (UInt32(littleEndian: words.0), UInt32(littleEndian: words.1))
        guard version == Self.version else { throw .version(version) }
        guard length <= maximumBody else { throw .corrupt(at: 0, "its header is longer than any") }
        return Int(length) + 4
    }

    /// Takes the whole header.
    init(_ bytes: [UInt8]) throws(StreamError) {
        let end = bytes.count - 4
        var sum = ByteReader(Array(bytes[end...]))
        var reader = ByteReader(Array(bytes[Self.prefixSize..<end]))
        do throws(WireError) {
            guard try sum.fixed(UInt32.self) == Castagnoli.checksum(bytes, 0..<end) else { throw .malformed }
            self.init(
                cluster: try reader.value(), volume: try reader.string(limit: Self.nameLimit),
                snapshot: try reader.value(), name: try reader.string(limit: Self.nameLimit),
                created: try reader.varint(), base: try reader.value(), size: try reader.varint(),
                chunkSize: try reader.fixed(UInt32.self), start: try reader.varint())
            try reader.finish()
        } catch {
            throw .corrupt(at: 0, "its header is damaged")
        }
        guard chunkSize.nonzeroBitCount == 1, (4 << 10...1 << 20).contains(chunkSize), start <= size,
            size <= UInt64(Int64.max), snapshot != .zero
        else { throw .corrupt(at: 0, "its header is impossible") }
    }
}

/// A part of an image. Parts come in the order of their offsets, which are multiples of 512 bytes.
package enum StreamFrame: Equatable, Sendable {
    case data(offset: UInt64, [UInt8])
    case zeros(offset: UInt64, count: UInt64)
    /// Received earlier: these bytes must be there already, by their SHA-256.
    case same(offset: UInt64, count: UInt64, digest: [UInt8])
    /// The last one.
    case end

    /// Bytes of the data of one frame.
    package static let maximumData = 1 << 20
    static let digestSize = 32
}

/// Why a stream is not believed. Positions are bytes of the stream.
package enum StreamError: Error, Equatable, Sendable, CustomStringConvertible {
    case foreign
    case version(UInt32)
    case truncated(at: UInt64)
    case corrupt(at: UInt64, String)

    package var description: String {
        switch self {
        case .foreign: "this is no stream of `csnapctl snapshot send`"
        case .version(let version):
            "the stream is of version \(version), and only \(StreamHeader.version) is understood here: upgrade csnap"
        case .truncated(let position): "the stream ends after \(position) bytes, before its end"
        case .corrupt(let position, let what): "the stream is damaged after byte \(position): \(what)"
        }
    }
}
