/// The header's fixed layout, little-endian; all of it is associated data of the seal:
///
///      0  magic "CSNP"          8  cluster tag     32  node     60  counter
///      4  wire version         16  cluster         36  boot     68  end
///      5  key id                                   44  start bits
///      6  flags
extension PacketHeader {
    package static let encodedSize = 68
    package static let wireVersion: UInt8 = 1
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
        writer.fixed(sender.boot.value)
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
        let boot = try reader.fixed(UInt64.self)
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

/// What each sealed body starts with, before the items: of fixed size, so that answers can be compared with requests.
package struct PacketPreamble: Equatable, Sendable {
    /// The receiver's start bits, as the sender last learned them; zero if it never did. A packet that carries ours
    /// was made for this very process, so it is neither a recording of earlier days nor meant for another node.
    package var echo: Bits128
    /// Where the sender wants to be reached.
    package var advertised: Address
    /// `Timing.digest` of the sender.
    package var timing: UInt64

    package init(echo: Bits128, advertised: Address, timing: UInt64) {
        self.echo = echo
        self.advertised = advertised
        self.timing = timing
    }

    package static let encodedSize = 43

    package func encode(to writer: inout ByteWriter) {
        writer.value(echo)
        writer.flag(advertised.isIPv4)
        writer.value(advertised.bits)
        writer.fixed(advertised.port)
        writer.fixed(timing)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        echo = try reader.value()
        let isIPv4 = try reader.flag()
        let bits = try reader.value(Bits128.self)
        if isIPv4, bits.high != 0 || bits.low > UInt64(UInt32.max) { throw .malformed }
        advertised = Address(bits: bits, port: try reader.fixed(UInt16.self), isIPv4: isIPv4)
        timing = try reader.fixed(UInt64.self)
    }
}
