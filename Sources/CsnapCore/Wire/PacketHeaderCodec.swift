/// The header's fixed layout, little-endian; all of it is associated data of the seal:
///
///      0  magic "CSNP"          8  cluster tag     32  node     56  counter
///      4  wire version         16  cluster         36  boot     64  end
///      5  key id                                   40  start bits
///      6  flags
extension PacketHeader {
    package static let encodedSize = 64
    package static let wireVersion: UInt8 = 2
    /// A receiver that does not know one of these flags must refuse the packet; the others it may ignore.
    package static let mandatoryFlags: UInt16 = 0xff00
    private static let magic: [UInt8] = [0x43, 0x53, 0x4e, 0x50]

    package func encode(flags: UInt16 = 0) -> [UInt8] {
        var writer = ByteWriter(capacity: Limits.datagram)
        writer.raw(Self.magic)
        writer.byte(Self.wireVersion)
        writer.byte(keyID)
        writer.fixed(flags)
        writer.fixed(clusterTag)
        writer.value(cluster)
        writer.fixed(sender.node.value)
        writer.fixed(UInt32(truncatingIfNeeded: sender.boot.value))
        writer.value(startBits)
        writer.fixed(counter)
        return writer.bytes
    }

    /// Takes the header off the front of a datagram.
    package static func decode(_ reader: inout ByteReader) throws(WireError) -> PacketHeader {
        guard reader.remaining >= encodedSize else { throw .truncated }
        guard try reader.raw(magic.count) == magic else { throw .foreign }
        let version = try reader.byte()
        guard version == wireVersion else { throw .version(version) }
        let keyID = try reader.byte()
        let flags = try reader.fixed(UInt16.self)
        guard flags & mandatoryFlags == 0 else { throw .mandatoryFlag(flags & mandatoryFlags) }
        let clusterTag = try reader.fixed(UInt64.self)
        let cluster = try reader.value(Bits128.self)
        let node = NodeID(try reader.fixed(UInt32.self))
        let boot = UInt64(try reader.fixed(UInt32.self))
        guard boot <= Limits.boot else { throw .malformed }
        let startBits = try reader.value(Bits128.self)
        return PacketHeader(
            clusterTag: clusterTag, cluster: cluster, keyID: keyID, sender: NodeBoot(node: node, boot: Boot(boot)),
            startBits: startBits, counter: try reader.fixed(UInt64.self))
    }

    package static func decode(_ bytes: [UInt8]) throws(WireError) -> PacketHeader {
        var reader = ByteReader(bytes)
        return try decode(&reader)
    }
}

/// What each sealed body starts with, before the items.
package struct PacketPreamble: Equatable, Sendable {
    /// `PacketPreamble.echo(of:)` the receiver's start bits, as the sender last learned them; zero if it never did. A
    /// packet that carries ours was made for this very process, so it is neither a recording of earlier days nor meant
    /// for another node.
    package var echo: UInt64
    /// Where the sender wants to be reached.
    package var advertised: Address
    /// `Timing.digest` of the sender.
    package var timing: UInt64

    package init(echo: UInt64, advertised: Address, timing: UInt64) {
        self.echo = echo
        self.advertised = advertised
        self.timing = timing
    }

    /// Half of the start bits stands for all: each half is 64 random bits, which no recording has by chance.
    package static func echo(of startBits: Bits128) -> UInt64 { startBits.low }

    /// Bytes with an IPv4 address, and with one of IPv6.
    package static let leastSize = 8 + 1 + 4 + 2 + 8
    package static let mostSize = 8 + 1 + 16 + 2 + 8

    package func encode(to writer: inout ByteWriter) {
        writer.fixed(echo)
        writer.flag(advertised.isIPv4)
        if advertised.isIPv4 {
            writer.fixed(UInt32(truncatingIfNeeded: advertised.bits.low))
        } else {
            writer.value(advertised.bits)
        }
        writer.fixed(advertised.port)
        writer.fixed(timing)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        echo = try reader.fixed(UInt64.self)
        let isIPv4 = try reader.flag()
        let bits =
            isIPv4
            ? Bits128(high: 0, low: UInt64(try reader.fixed(UInt32.self))) : try reader.value(Bits128.self)
        advertised = Address(bits: bits, port: try reader.fixed(UInt16.self), isIPv4: isIPv4)
        timing = try reader.fixed(UInt64.self)
    }
}
