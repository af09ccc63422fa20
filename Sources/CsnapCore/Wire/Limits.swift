/// Bounds of what travels or is stored; each with its reason.
package enum Limits {
    /// Bytes of one datagram, seal included (docs/protocol.md §3): IPv6's minimum MTU of 1280, less 40 of IPv6 and 8
    /// of UDP.
    package static let datagram = 1232
    /// Bytes of the seal's tag (ChaCha20-Poly1305, RFC 8439).
    package static let sealTag = 16
    /// Bytes of a packet's items: what header, preamble and tag leave of a datagram.
    package static let payload = datagram - PacketHeader.encodedSize - PacketPreamble.mostSize - sealTag
    /// A datagram full of items, such as each Join is, has at least so many bytes.
    package static let fullDatagram = datagram - PacketPreamble.mostSize + PacketPreamble.leastSize
    /// Bytes of a frame between processes of one machine: a StartServer that names every member fits many times over.
    package static let localFrame = 1 << 20
    /// Members of a group; the protocol is made for 64 and simulated to 1,000.
    package static let members = 4096
    /// Entries of one list in the state file; beyond any group, so that what was written can always be read.
    package static let storedEntries = 1 << 20
    /// Voters of one configuration (docs/protocol.md §5a).
    package static let voters = 7
    /// Voters that one operator's command may name.
    package static let namedVoters = 64
    /// Volumes that a claim names; a server of more names none, and its epochs count for all.
    package static let claimedVolumes = 16
    /// Volumes whose last active epoch a node remembers; beyond, epochs count for all.
    package static let rememberedVolumes = 64
    /// Highest local health (Lifeguard).
    package static let localHealth: UInt8 = 8
    /// Bytes of a snapshot's name.
    package static let snapshotName = 64
    /// Bytes of a volume's name.
    package static let volumeName = 255
    /// Highest epoch, and highest version of a voter set, that is read, from outside or from the state file.
    package static let epoch: UInt64 = 1 << 62
    package static let version: UInt64 = 1 << 62
    /// Highest epoch or version of others from which a node counts on: what it then writes can be read for ever.
    package static let countedFrom: UInt64 = 1 << 61
    /// Highest round taken from outside.
    package static let round: UInt32 = 1 << 30
    /// Highest boot taken from outside: it must fit the high half of an incarnation.
    package static let boot: UInt64 = 0xffff_fffe
    /// Longest interval in a message in nanoseconds, some 52 days; leaves room for multiplication.
    package static let interval: Int64 = 1 << 52
}
