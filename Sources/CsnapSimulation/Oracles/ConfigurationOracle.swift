import CsnapCore

/// Facts about configurations of voters.
struct ConfigurationFacts {
    var committed = SortedTable<UInt64, VoterSet>()
    /// Per version: the nodes (one bit each) on whose disk it once was, pending or committed, with its content.
    var known = SortedTable<UInt64, [(set: VoterSet, nodes: UInt64)]>()
}

/// Invariant 17: any two majorities that can act at one time share a voter that knows both.
extension Oracles {
    /// Whether those nodes (one bit each) are a majority for what that node counts: by its disk, or by a commit on its
    /// way there. The change is decided as soon as majorities of both sets hold it, which invariant 17 checks.
    func isMajority(_ world: World, node: Int, _ mask: UInt64) -> Bool {
        guard let disk = world.nodes[node].disk else { return false }
        if disk.isMajority(mask) { return true }
        guard let submitted = world.nodes[node].agent?.submitted,
            submitted.committed?.version ?? 0 > disk.committed?.version ?? 0
        else { return false }
        return submitted.isMajority(mask)
    }

    /// The configuration a world begins with.
    func assume(_ set: VoterSet) { configurations.committed[set.version] = set }

    func checkConfiguration(_ world: World, node: Int, old: StoredState?, new: StoredState) {
        if let pending = new.pending, pending != old?.pending {
            note(pending.set, node)
            if pending.set.voters.contains(world.nodes[node].id) { world.nodes[node].lostProposal = false }
        }
        guard let committed = new.committed, committed != old?.committed else { return }
        if let before = old?.committed, before.version > committed.version {
            world.fail(17, "node \(node + 1): the committed configuration falls on disk")
        }
        note(committed, node)
        if let known = configurations.committed[committed.version] {
            if known != committed { world.fail(17, "two configurations of version \(committed.version) are committed") }
            return
        }
        if let before = configurations.committed[committed.version &- 1] {
            let mask = configurations.known[committed.version]?.first { $0.set == committed }?.nodes ?? 0
            if !before.isMajority(mask) {
                world.fail(17, "version \(committed.version) is committed without a majority of the old voters")
            }
            if !committed.isMajority(mask) {
                world.fail(17, "version \(committed.version) is committed without a majority of the new voters")
            }
        } else if !configurations.committed.isEmpty {
            world.fail(17, "version \(committed.version) is committed without its predecessor")
        }
        if committed.voters.count % 2 == 0 {
            world.fail(17, "version \(committed.version) has an even number of voters")
        }
        configurations.committed[committed.version] = committed
        // Under this configuration and those after it the lost votes of others no longer count.
        for other in world.nodes where !committed.voters.contains(other.id) { other.lostVote = false }
        for other in world.nodes where other.lostProposal {
            other.lostProposal = false
            other.lostVote = committed.voters.contains(other.id)
        }
    }

    private func note(_ set: VoterSet, _ node: Int) {
        var entries = configurations.known[set.version] ?? []
        if let index = entries.firstIndex(where: { $0.set == set }) {
            entries[index].nodes |= 1 << UInt64(node)
        } else {
            entries.append((set, 1 << UInt64(node)))
        }
        configurations.known[set.version] = entries
    }
}
