import CsnapCore

extension StoreRefusal {
    /// For a person; `path` names the device.
    package func sentence(_ path: String) -> String {
        switch self {
        case .blank:
            "the store \(path) is blank; correct the path, or, for a volume that never had a store, make one there "
                + "with 'csnapctl volume create'"
        case .notAStore:
            "\(path) is no snapshot store; correct the path, or, for a volume that never had a store, make one there "
                + "with 'csnapctl volume create --force'"
        case .version(let version):
            "the store \(path) has format version \(version), this csnap knows \(StoreLayout.version); upgrade csnap"
        case .truncated(let device, let store):
            "\(path) has \(device) bytes, its store \(store); give the device its former size back"
        case .damagedSlot(let slot):
            "both copies of slot \(slot) of the store \(path) are damaged; examine the disk, "
                + "then `csnapctl volume check --repair`"
        case .foreign:
            "the store \(path) belongs to another cluster; correct the path, or format it anew to give up its snapshots"
        case .originTruncated(let origin, let recorded):
            "the origin of the store \(path) has \(origin) bytes, the store knows \(recorded): give it its former size "
                + "back, or correct its path"
        case .originUnreadable(let code):
            "nothing of the origin of the store \(path) can be read: error \(code); examine the disk and the path to it"
        case .stale(let highest, let lastActive):
            "the store \(path) saw epoch \(highest.value) last, the group epoch \(lastActive.value): "
                + "it is an old copy or another disk; give this node the present one"
        case .tenure(let tenure, let owner):
            "the store \(path) shows epoch \(tenure.epoch.value) round \(tenure.round.value) of node "
                + "\(owner.node.value); the agent will claim a higher epoch"
        case .slotOfBase(let tenure):
            "this epoch's slot of the store \(path) holds its newest superblock, of epoch \(tenure.epoch.value); "
                + "the agent will claim the next epoch"
        case .claimWasLost:
            "the store \(path) did not keep what was written and flushed, or another server claims the same epoch; "
                + "examine the disk if this is said again"
        case .damaged(let offset):
            "the store \(path) is damaged at byte \(offset); run `csnapctl volume check`"
        case .unsettled:
            "the store \(path) has no room for a takeover: dead servers may still write to what is free. Start csnap "
                + "on the nodes where they ran: one of them can take it. If those machines are off for good, stop "
                + "csnap on all nodes, then `csnapctl volume check --repair --fenced`"
        case .noRoomToRepair:
            "the store \(path) has no room for what a repair writes beside the old; nothing was changed. "
                + "Delete snapshots while it can still be served, or format it anew"
        case .ownedElsewhere(let owner):
            "the store \(path) was served by node \(owner.node.value) last, and nothing here shows that it is not "
                + "served now: stop csnap on all nodes, then say --force"
        case .device(let code): "the store \(path) failed with error \(code); examine the disk"
        }
    }
}
