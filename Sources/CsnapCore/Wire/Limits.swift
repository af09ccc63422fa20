/// Bounds of what travels or is stored; each with its reason.
package enum Limits {
    /// Bytes of one datagram, seal included: IPv6's minimum MTU of 1280 less 40 of IPv6 and 8 of UDP (docs/protocol.md §3).
    package static let datagram = 1232
    /// Bytes of a frame between processes of one machine: a StartServer that names every member fits many times over.
    package static let localFrame = 1 << 20
    /// Members of a group; the protocol is made for 64 and simulated to 1,000.
    package static let members = 4096
    /// Voters of one configuration (docs/protocol.md §5a).
    package static let voters = 7
    /// Bytes of a volume's name.
    package static let volumeName = 255
    /// Highest epoch taken from outside; nobody reaches it by counting, and `next` cannot overflow.
    package static let epoch: UInt64 = 1 << 62
    /// Highest round taken from outside.
    package static let round: UInt32 = 1 << 30
    /// Highest boot taken from outside: it must fit the high half of an incarnation.
    package static let boot: UInt64 = 0xffff_fffe
    /// Longest interval in a message in nanoseconds, some 52 days; leaves room for multiplication.
    package static let interval: Int64 = 1 << 52
}
