/// Who comes back under a name that is known, and who only says so (docs/decisions/0097, 0100).
extension Agent {
    /// The very boot that is known, under other start bits: its state file was lost, and it must take the next one.
    /// While another machine still answers under that id it is a conflict instead.
    func reusesBoot(_ join: Join, from sender: Sender, of known: MemberRecord) -> Bool {
        guard let identity = discovery.identities[sender.process.node], identity.boot == sender.process.boot,
            known.process.boot == identity.boot, identity.startBits != sender.startBits
        else { return false }
        let sameKernel = identity.machineID == join.machineID && identity.kernelBootID == join.kernelBootID
        // What the group believes is of that boot, and both have it: only who was heard can be told from the other.
        return sameKernel || !isHeard(identity)
    }

    /// The machine that is known, after a reboot: with its id, at its address. A clone may say that it is there, but
    /// sends from elsewhere.
    func comesFromThere(_ join: Join, from sender: Sender, as known: MemberRecord) -> Bool {
        discovery.identities[sender.process.node]?.machineID == join.machineID
            && known.address == join.record.address && sender.source == known.address
    }

    /// Heard by ourselves of late, or believed to be there: members that do not serve hear each other rarely.
    private func isLive(_ identity: Discovery.ProcessIdentity, of known: MemberRecord, isSamePlace: Bool) -> Bool {
        isHeard(identity)
            || !isSamePlace && known.process.boot == identity.boot && isReachable(known.process.node)
    }

    private func isHeard(_ identity: Discovery.ProcessIdentity) -> Bool {
        now - identity.heardAt < timing.suspicionMinimum * 3
    }

    /// Another machine, or another start of the same one, under an id whose known process still answers.
    func conflicts(_ join: Join, from sender: Sender, with known: MemberRecord, isSamePlace: Bool) -> Bool {
        guard let identity = discovery.identities[sender.process.node] else { return false }
        if identity.boot == sender.process.boot { return identity.startBits != sender.startBits }
        // The process that we know has a successor, and this is it: gossip was faster than its own Join.
        if known.process == sender.process { return false }
        let sameMachine = identity.machineID == join.machineID && identity.kernelBootID == join.kernelBootID
        return !sameMachine && isLive(identity, of: known, isSamePlace: isSamePlace)
    }
}
