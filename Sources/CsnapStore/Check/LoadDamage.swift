import CsnapCore

/// What a loading went past that only looks and repairs. Whoever serves refuses such a store.
struct LoadDamage: Sendable {
    /// Slots of which no copy is whole, and who stood there last by its anchors.
    var slots: [(slot: Int, stood: StoreAnchor?)] = []
    /// Places of anchors of which no copy is whole.
    var anchors: [(slot: Int, offset: UInt64)] = []
    /// Journals of which something is gone, and from which group on.
    var journals: [(tenure: Tenure, group: UInt64)] = []
    /// Pages of the space map.
    var pages: [UInt64] = []

    /// What a check says of it. An anchor below the base is no problem: nobody will read it again.
    var problems: [CheckProblem] {
        slots.map { .damagedSlot($0.slot) }
            + journals.map { .damagedJournal(epoch: $0.tenure.epoch.value, group: $0.group) }
            + pages.map { .damagedNode(offset: $0) }
    }
}

extension SnapshotStore {
    /// False: it is an error, and nothing was noted.
    mutating func noteDamage(_ error: StoreError) -> Bool {
        guard damage != nil, case .damaged(let offset) = error else { return false }
        damage?.pages.append(offset)
        return true
    }

    mutating func noteLost(_ tenure: Tenure, from group: UInt64, _ error: StoreError) -> Bool {
        guard damage != nil, case .damaged = error else { return false }
        damage?.journals.append((tenure, group))
        return true
    }

    /// Behind a destroyed group a record may not fit any more; each other one is still true.
    mutating func replayLeniently(_ group: JournalGroup) throws(StoreError) {
        for record in group.records {
            if try !replay(JournalGroup(tenure: group.tenure, number: 0, predecessor: 0, records: [record])),
                damage?.journals.isEmpty == true
            {
                damage?.journals.append((group.tenure, group.number))
            }
        }
    }
}
