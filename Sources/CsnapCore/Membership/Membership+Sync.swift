/// Anti-entropy: what gossip lost is found by comparing hashes (docs/protocol.md §2).
extension Membership {
    /// Ids in one range; more in groups so large that `mostRanges` would not do.
    private static let rangeWidth = GossipBudget.recordsPerPage
    /// A digest of so many ranges fits one datagram.
    private static let mostRanges = 48
    /// Pages sent for one digest; the next digest finds what is still missing.
    private static let mostPages = 32

    /// Sends our hashes to one member; every answer brings what we lack.
    mutating func sendDigest(_ now: Instant, _ effects: inout MembershipEffects) {
        nextSync = now + timing.antiEntropy
        let wanted = syncWith
        syncWith = nil
        let target =
            wanted.flatMap { peers[$0] }.flatMap { $0.isProbed ? $0 : nil } ?? pick(1, where: { $0.isProbed }).first
        guard let target else { return }
        let digest = SyncDigest(
            ranges: ranges, configurationHash: configuration?.hash ?? 0, claimHash: claim?.syncHash ?? 0)
        effects.sends.append(.init(to: target.record.address, message: .syncDigest(digest)))
    }

    /// Hashes of all records; the ranges lie end to end and cover every id there can be.
    private var ranges: [SyncDigest.RangeHash] {
        let all = allRecords
        let width = max(Self.rangeWidth, (all.count + Self.mostRanges - 1) / Self.mostRanges)
        return stride(from: 0, to: all.count, by: width).map { start in
            let end = min(start + width, all.count)
            let first = start == 0 ? NodeID(0) : all[start].process.node
            let last = end == all.count ? NodeID(.max) : NodeID(all[end].process.node.value - 1)
            return SyncDigest.RangeHash(firstNode: first, lastNode: last, hash: Self.hash(of: all[start..<end]))
        }
    }

    /// All records, our own included, in order of id.
    private var allRecords: [MemberRecord] {
        var all = peers.values.map { $0.record }
        let place = all.firstIndex { $0.process.node > own.process.node } ?? all.count
        all.insert(own, at: place)
        return all
    }

    private static func hash(of records: ArraySlice<MemberRecord>) -> UInt64 {
        var hash = SyncHash()
        for record in records { hash.mix(record) }
        return hash.value
    }

    /// Answers a digest with our records of the ranges that differ.
    mutating func receiveDigest(
        _ digest: SyncDigest, from sender: NodeBoot, _ now: Instant, _ effects: inout MembershipEffects
    ) {
        heard(from: sender, at: now, into: &effects)
        guard let peer = peers[sender.node] else { return }
        let all = allRecords
        var differing: [MemberRecord] = []
        for range in digest.ranges.prefix(Self.mostRanges) {
            let inside = all.filter { range.firstNode <= $0.process.node && $0.process.node <= range.lastNode }
            if Self.hash(of: inside[...]) != range.hash { differing += inside }
        }
        let claim = digest.claimHash == self.claim?.syncHash ?? 0 ? nil : self.claim
        let configuration = digest.configurationHash == self.configuration?.hash ?? 0 ? nil : self.configuration
        let page = SyncPage(records: differing, claim: claim, configuration: configuration, wantsAnswer: true)
        sendPages(page, to: peer.record.address, &effects)
    }

    /// Cuts one long page into as many as needed.
    private func sendPages(_ page: SyncPage, to address: Address, _ effects: inout MembershipEffects) {
        var page = page
        var rest = page.records[...]
        for _ in 0..<Self.mostPages {
            page.records = Array(rest.prefix(GossipBudget.recordsPerPage))
            rest = rest.dropFirst(GossipBudget.recordsPerPage)
            guard !page.records.isEmpty || page.claim != nil || page.configuration != nil else { return }
            effects.sends.append(.init(to: address, message: .syncPage(page)))
            page.claim = nil
            page.configuration = nil
        }
    }

    /// Merges a page, and answers with what the sender lacks of the same range.
    mutating func receivePage(
        _ page: SyncPage, from sender: NodeBoot, _ now: Instant, _ effects: inout MembershipEffects
    ) {
        for record in page.records {
            accept(record, record.process == sender ? .itself : .memory(sender.node), now, &effects)
        }
        heard(from: sender, at: now, into: &effects)
        if let claim = page.claim, adopt(claim) { effects.claims.append(claim) }
        if let set = page.configuration, adopt(set) { effects.configurations.append(set) }
        guard page.wantsAnswer, let peer = peers[sender.node] else { return }
        var answer = SyncPage(records: newer(than: page.records), claim: nil, configuration: nil, wantsAnswer: false)
        if let theirs = page.claim, let claim, claim > theirs { answer.claim = claim }
        if let theirs = page.configuration, let configuration, configuration.version > theirs.version {
            answer.configuration = configuration
        }
        sendPages(answer, to: peer.record.address, &effects)
    }

    private func newer(than records: [MemberRecord]) -> [MemberRecord] {
        guard let first = records.map({ $0.process.node }).min(), let last = records.map({ $0.process.node }).max()
        else {
            return []
        }
        return allRecords.filter { ours in
            guard first <= ours.process.node, ours.process.node <= last else { return false }
            guard let theirs = records.first(where: { $0.process.node == ours.process.node }) else { return true }
            return ours.supersedes(theirs)
        }
    }
}
