/// How much gossip fits one datagram, in bytes of the worst encoding (invariant 24).
///
/// 1232 bytes less header and seal (about 110), the message's own fields and a second small message beside it.
struct GossipBudget {
    /// Room for gossip in one message: 12 member records.
    static let bytes = 12 * memberBytes
    /// The largest number of records in one `SyncPage`; a claim and a configuration fit beside them.
    static let recordsPerPage = 10

    private static let memberBytes = 68
    private static let accusationBytes = 32
    private static let claimBytes = 68

    private var left = bytes

    /// Takes the item's room if there is enough.
    mutating func take(_ item: GossipItem) -> Bool {
        let size = Self.size(of: item)
        guard size <= left else { return false }
        left -= size
        return true
    }

    private static func size(of item: GossipItem) -> Int {
        switch item {
        case .member: memberBytes
        case .accusation: accusationBytes
        case .claim: claimBytes
        case .configuration(let set): 16 + 5 * set.voters.count
        }
    }
}
