/// Finding the group, and finding it again for ever (§1, §2, §5.1).
struct Discovery: Equatable, Sendable {
    /// The group answered since this start.
    var joined = false
    /// Of the Joins under way, the newest nonces.
    var nonces: [UInt64] = []
    var nextJoin: Instant
    /// The processes that answered our Join; whoever joins and is not among them is asked back.
    var acquainted: [NodeBoot] = []
    /// No Join goes to a stranger before, so that strangers cannot make us send more than that.
    var nextIntroduction = Instant.distantPast
    /// No Join goes to a member for its machine's sake before.
    var nextIdentityQuestion = Instant.distantPast
    /// Where the last announcement went, for taking turns.
    var turn = 0
    /// Who speaks for each node: the machine and process that were heard first.
    var identities = SortedTable<NodeID, ProcessIdentity>()
    /// The boot that each node was last told to leave behind, until it has.
    var refusedBoots = SortedTable<NodeID, Boot>()
    /// Our own node id is used by another live machine.
    var conflict: Address?
    var conflictAt = Instant.distantPast
    var conflictSince = Instant.distantPast
    /// Who of another group spoke to us last, under our name and with our key.
    var foreign: Stranger?
    /// Smoothed time of a state write, and the failed votes in a row: both lengthen the vote's time-out.
    private(set) var writeTime = Interval.zero
    private(set) var failedVotes = 0

    struct ProcessIdentity: Equatable, Sendable {
        var boot: Boot
        var machineID: Bits128
        var kernelBootID: Bits128
        var startBits: Bits128
        var heardAt: Instant
    }

    struct Stranger: Equatable, Sendable {
        var node: NodeID
        var since: Instant
        var heardAt: Instant
    }

    static let keptNonces = 64
    static let keptAcquaintances = 128
    /// When each stranger was last reported.
    var told = SortedTable<NodeID, Instant>()
    static let repeatNews = Interval.seconds(30)

    init(at now: Instant) { nextJoin = now }

    func nextWake(_ mayTalk: Bool) -> Instant { mayTalk ? nextJoin : .distantFuture }

    /// 4 RTT + 2 writes, not less than the profile says, doubled after each failure up to the promise (§7).
    func voteTimeout(_ timing: Timing) -> Interval {
        let measured = max(timing.voteTimeout, timing.voteTimeout / 2 + writeTime * 3)
        return min(measured * (1 << Int64(min(failedVotes, 4))), timing.promise / 2)
    }

    mutating func measureWrite(_ took: Interval) { writeTime = max(took, (writeTime * 7 + took) / 8) }
    mutating func voteFailed() { failedVotes += 1 }
    mutating func voteSucceeded() { failedVotes = 0 }

    /// The process known under that node and boot has spoken.
    mutating func heard(from sender: Sender, at now: Instant) {
        guard identities[sender.process.node]?.startBits == sender.startBits else { return }
        identities[sender.process.node]?.heardAt = now
    }

    /// Whether a datagram comes from a process other than the one known under that node and boot.
    func isConflicting(_ sender: Sender) -> Bool {
        guard let known = identities[sender.process.node], known.boot == sender.process.boot else { return false }
        return known.startBits != sender.startBits
    }
}

extension Agent {
    mutating func tickDiscovery() {
        guard node.mayTalk, now >= discovery.nextJoin, departure?.hasLeft != true else { return }
        if discovery.conflict != nil, now - discovery.conflictAt >= timing.promise { discovery.conflict = nil }
        let often = max(timing.retry * 2, .milliseconds(50))
        discovery.nextJoin = now + (!isJoined ? often : voter.answers || !stored.mayVote ? timing.rejoin : timing.renew)
        if Mutants.active(.rejoinGivesUp), discovery.turn > 8 { return discovery.nextJoin = .distantFuture }
        let addresses = addressesToJoin
        guard !addresses.isEmpty else { return }
        if isJoined { discovery.turn += 1 }
        sendJoin(to: isJoined ? [addresses[discovery.turn % addresses.count]] : addresses)
    }

    private mutating func sendJoin(to addresses: [Address]) {
        let nonce = generator.next()
        if discovery.nonces.count >= Discovery.keptNonces { discovery.nonces.removeFirst() }
        discovery.nonces.append(nonce)
        let join = Message.join(
            Join(
                nonce: nonce, record: membership.own, machineID: settings.machineID,
                kernelBootID: settings.kernelBootID, configurationVersion: stored.committed?.version ?? 0,
                highestEpoch: stored.highestEpoch))
        for address in addresses { send(join, at: address) }
    }

    /// A process of our group speaks that we do not know yet: our Join makes it answer with its record. Without this,
    /// two members that each believe to know the other would wait for anti-entropy.
    mutating func introduce(to sender: Sender) {
        guard node.mayTalk, discovery.joined, now >= discovery.nextIntroduction else { return }
        discovery.nextIntroduction = now + timing.retry
        sendJoin(to: [membership.record(of: sender.process.node)?.address ?? sender.source])
    }

    /// A member of which gossip told us speaks, but never its Join, which alone says on what machine it runs. Our Join
    /// makes it send its own: without that we would take a namesake for its successor.
    mutating func askForIdentity(of sender: Sender) {
        guard discovery.identities[sender.process.node]?.boot != sender.process.boot, node.mayTalk, isJoined,
            now >= discovery.nextIdentityQuestion, let record = membership.record(of: sender.process.node)
        else { return }
        discovery.nextIdentityQuestion = now + timing.renew
        sendJoin(to: [record.address])
    }

    /// Joined, and nobody disputes our id: whoever does is asked again until it no longer does.
    private var isJoined: Bool { discovery.joined && discovery.conflict == nil }

    /// Configured and remembered addresses, and those of unreachable members; once joined, only the silent ones.
    private var addressesToJoin: [Address] {
        var addresses: [Address] = []
        func add(_ address: Address) {
            if address != settings.address, !addresses.contains(address) { addresses.append(address) }
        }
        for peer in settings.peers + stored.peers { add(peer) }
        for record in membership.others { add(record.address) }
        guard isJoined else { return addresses }
        let heard = membership.others
            .filter { isReachable($0.process.node) && !isAwaited($0.process) }
            .map { $0.address }
        return addresses.filter { !heard.contains($0) }
    }

    /// A voter that has not answered our Join, while we need a majority of them.
    private func isAwaited(_ process: NodeBoot) -> Bool {
        !voter.answers && voters.contains(process.node) && !discovery.acquainted.contains { $0.node == process.node }
    }

    mutating func dispatchDiscovery(_ message: Message, from sender: Sender) {
        switch message {
        case .join(let join): receiveJoin(join, from: sender)
        case .joinAck(let ack): receiveJoinAck(ack, from: sender)
        case .bootTooOld(let answer): receiveBootTooOld(answer)
        case .foreignGroup(let answer): receiveForeignGroup(answer, from: sender)
        case .idConflict(let answer): receiveIdConflict(answer)
        default: break
        }
    }

    /// Who is refused asks many times a second; it is news once in a while.
    mutating func tellOnce(of node: NodeID, _ news: Report) {
        guard now - (discovery.told[node] ?? .distantPast) >= Discovery.repeatNews else { return }
        if discovery.told.count >= Bounds.rememberedPeers { discovery.told.removeAll() }
        discovery.told[node] = now
        report(news)
    }

    /// Two groups of one name and key, by mistake; both go on, and `why` names the other until it has been silent.
    private mutating func meetForeigner(_ sender: Sender, of cluster: Bits128) {
        let node = sender.process.node
        let known = foreignGroupMember
        discovery.foreign = Discovery.Stranger(node: node, since: known?.since ?? now, heardAt: now)
        tellOnce(of: node, .foreignGroup(cluster: cluster, from: node))
    }

    /// Nil once it has been silent for several of its announcements.
    var foreignGroupMember: Discovery.Stranger? {
        discovery.foreign.flatMap { now - $0.heardAt < timing.rejoin * 10 ? $0 : nil }
    }

    // MARK: Join at a member

    private mutating func receiveJoin(_ join: Join, from sender: Sender) {
        guard stored.cluster != .zero, stored.committed != nil, node.mayTalk, join.record.process == sender.process
        else { return }
        let address = join.record.address
        guard sender.cluster == .zero || sender.cluster == stored.cluster else {
            meetForeigner(sender, of: sender.cluster)
            send(.foreignGroup(ForeignGroup(nonce: join.nonce, cluster: stored.cluster)), at: address)
            return
        }
        if let entry = stored.admissions[sender.process.node], entry.process.boot > sender.process.boot {
            return refuse(join, boot: entry.process.boot)
        }
        if let known = membership.record(of: sender.process.node) {
            if known.process.boot > sender.process.boot || reusesBoot(join, from: sender, of: known) {
                return refuse(join, boot: known.process.boot)
            }
            let isSamePlace = comesFromThere(join, from: sender, as: known)
            // It may be back so soon that it would be taken for its own namesake.
            if isSamePlace, runsOnOldFile(join, after: known) { return refuse(join, boot: sender.process.boot) }
            if conflicts(join, from: sender, with: known, isSamePlace: isSamePlace) {
                if !isSamePlace {
                    tellOnce(of: sender.process.node, .idConflict(sender.process.node, other: address))
                }
                send(
                    .idConflict(
                        IdConflict(nonce: join.nonce, node: sender.process.node, address: known.address)), at: address)
                return
            }
            if runsOnOldFile(join, after: known) { return refuse(join, boot: sender.process.boot) }
        }
        let isFirst = discovery.identities[sender.process.node]?.boot != sender.process.boot
        discovery.refusedBoots[sender.process.node] = nil
        sawEpoch(join.highestEpoch)
        runMembership { membership, now, effects in
            membership.merge(join.record, direct: true, at: now, into: &effects)
        }
        // Of members only, whose number is bounded.
        if membership.record(of: sender.process.node)?.process == sender.process {
            discovery.identities[sender.process.node] = Discovery.ProcessIdentity(
                boot: sender.process.boot, machineID: join.machineID, kernelBootID: join.kernelBootID,
                startBits: sender.startBits, heardAt: now)
        }
        let records = [membership.own] + membership.records.filter { $0.process.node != sender.process.node }
        send(
            .joinAck(
                JoinAck(
                    nonce: join.nonce, cluster: stored.cluster, records: Array(records.prefix(Self.joinRecords)),
                    claim: claim, configuration: stored.committed, pending: stored.pending,
                    highestEpoch: stored.highestEpoch)), at: address)
        if isFirst { renewTable(of: sender.process.node) }
        if !discovery.acquainted.contains(sender.process) { introduce(to: sender) }
    }

    private mutating func refuse(_ join: Join, boot: Boot) {
        discovery.refusedBoots[join.record.process.node] = boot
        send(.bootTooOld(BootTooOld(nonce: join.nonce, highest: boot)), at: join.record.address)
    }

    /// Whether an earlier boot of that node surely stored a higher epoch than its file tells of: it runs on an old
    /// copy, and what its vote once counted for may be on its disk no more.
    private func runsOnOldFile(_ join: Join, after known: MemberRecord) -> Bool {
        let process = join.record.process
        // Who was told so has no vote any more, and may know of no epoch yet.
        if let refused = discovery.refusedBoots[process.node], process.boot > refused { return false }
        guard known.process.boot < process.boot else { return false }
        // It asked for votes only when that epoch was on its disk.
        if let promise = stored.promise, promise.holder.node == process.node, promise.holder.boot < process.boot,
            promise.epoch > join.highestEpoch
        {
            return true
        }
        guard let holder, voters.contains(process.node) else { return false }
        return holder.lease.acknowledged[process.node] != nil && holder.epoch > join.highestEpoch
    }

    /// A voter has started again, perhaps on an old copy of its file, which tells of fewer admissions than it
    /// acknowledged: it gets the table anew.
    private mutating func renewTable(of node: NodeID) {
        if Mutants.active(.tableNotRenewed) { return }
        // What its earlier life acknowledged may be on no disk any more.
        holder?.change.forget(node)
        guard holder?.table.acknowledged[node] != nil else { return }
        holder?.table.forget(node)
        writeTable([], then: nil)
    }

    /// As many records as a JoinAck of one datagram holds beside the rest.
    private static let joinRecords = 12

    // MARK: Answers

    private mutating func receiveJoinAck(_ ack: JoinAck, from sender: Sender) {
        guard discovery.nonces.contains(ack.nonce), ack.cluster != .zero else { return }
        guard stored.cluster == .zero || stored.cluster == ack.cluster else {
            meetForeigner(sender, of: ack.cluster)
            return
        }
        // Who knows no configuration cannot say whether this node was a voter once; another will.
        guard let configuration = ack.configuration ?? stored.committed else { return }
        if stored.cluster == .zero {
            stored.cluster = ack.cluster
            actions.append(.pin(cluster: ack.cluster))
            report(.joinedGroup(cluster: ack.cluster))
        }
        discovery.joined = true
        if !discovery.acquainted.contains(sender.process) {
            if discovery.acquainted.count >= Discovery.keptAcquaintances { discovery.acquainted.removeFirst() }
            discovery.acquainted.append(sender.process)
        }
        sawEpoch(ack.highestEpoch)
        learn(committed: configuration)
        if !voter.answers { considerVoting(ack.pending) }
        for record in ack.records where record.process.node != own.node {
            let direct = record.process == sender.process
            runMembership { membership, now, effects in
                membership.merge(record, direct: direct, at: now, into: &effects)
            }
        }
        if let claim = ack.claim { learn(claim: claim) }
    }

    /// A node without promises of its own answers nobody before a majority of the voters has answered it: one of them
    /// knows any set in which this node may once have counted.
    private mutating func considerVoting(_ pending: PendingVoterSet?) {
        if let pending, !Mutants.active(.pendingVoterForgets) { noticeLostVote(in: pending.set) }
        guard let committed = stored.committed else { return }
        let answered = committed.voters.filter { voter in discovery.acquainted.contains { $0.node == voter } }
        if answered.count >= committed.quorum || Mutants.active(.pendingVoterForgets) { voter.answers = true }
    }

    private mutating func receiveBootTooOld(_ answer: BootTooOld) {
        guard discovery.nonces.contains(answer.nonce) else { return }
        ownBootWasTaken(upTo: answer.highest)
    }

    /// Boots up to that one were used before: this process goes on as the next one. Whoever was surpassed has lost its
    /// file, or runs on an old copy: it must not vote under that name (§1).
    ///
    /// Who only hears of such a boot does the same: it may be of a process that is long gone. If it lives, on another
    /// machine, the next boot is refused as its namesake (`IdConflict`), and does not end.
    mutating func ownBootWasTaken(upTo boot: Boot) {
        guard boot >= own.boot, boot > stored.process.boot || stored.process == own, boot.isReachable else { return }
        stored.process.boot = boot
        loseVote()
        persist(then: [.exit(.newBoot)])
    }

    private mutating func receiveForeignGroup(_ answer: ForeignGroup, from sender: Sender) {
        guard discovery.nonces.contains(answer.nonce), answer.cluster != stored.cluster else { return }
        meetForeigner(sender, of: answer.cluster)
    }

    /// Neither of the two grants a new epoch while both are there; this one does not even answer (§1).
    private mutating func receiveIdConflict(_ answer: IdConflict) {
        guard discovery.nonces.contains(answer.nonce), answer.node == own.node else { return }
        // At our own address nobody else can be: it is we, before this machine was started again.
        if answer.address == settings.address { return }
        if discovery.conflict == nil { report(.idConflict(own.node, other: answer.address)) }
        meetNamesake(at: answer.address)
    }

    private mutating func meetNamesake(at address: Address) {
        if discovery.conflict == nil { discovery.conflictSince = now }
        discovery.conflict = address
        discovery.conflictAt = now
    }

    // MARK: Our own node, heard from elsewhere

    /// Another process speaks as this node.
    mutating func receiveFromOwnNode(_ messages: [Message], from sender: Sender) {
        guard sender.startBits != settings.startBits else { return }
        for case .join(let join) in messages {
            let sameMachine =
                join.machineID == settings.machineID && join.kernelBootID == settings.kernelBootID
            if sameMachine, sender.process.boot > own.boot {
                endForNewerProcess()
            } else {
                tellOnce(of: own.node, .idConflict(own.node, other: join.record.address))
                // The first heard goes on acknowledging its promise, but grants no new epoch while the other is there.
                meetNamesake(at: join.record.address)
                send(
                    .idConflict(IdConflict(nonce: join.nonce, node: own.node, address: settings.address)),
                    at: join.record.address)
            }
        }
    }

    /// A newer process of this node lives on this very machine: this one ends at once, and its server with it.
    private mutating func endForNewerProcess() {
        suspendOwnClients()
        actions.append(.exit(.olderProcess))
    }
}
