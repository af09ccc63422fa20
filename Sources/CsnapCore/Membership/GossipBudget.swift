/// How much gossip one message carries, so that it fits a datagram with another small message beside it (invariant 24).
struct GossipBudget {
    /// Bytes of gossip in one message: 12 member records and more; the rest of the payload is the message's own fields.
    static let bytes = 816
    /// The largest number of records in one `SyncPage`, one range of a digest; claim and configuration fit beside them.
    static let recordsPerPage = 16

    private var left = bytes

    /// Takes the item's room if there is enough.
    mutating func take(_ item: GossipItem) -> Bool {
        let size = item.encodedSize
        guard size <= left else { return false }
        left -= size
        return true
    }
}
