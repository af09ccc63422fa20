/// The barrier at the holder: every admitted node is Ready or evicted, then reconnected, before anything resumes (§6).
struct Recovery: Equatable, Sendable {
    let tenure: Tenure
    let setHash: UInt64
    let startedAt: Instant
    var participants: SortedTable<NodeID, Participant>
    var stage = Stage.gathering
    var nextTick: Instant
    /// It was said whom this recovery waits for.
    var isWaitTold = false

    /// After so many requests without an answer it is news whom the recovery waits for.
    static let attemptsBeforeNews = 3

    enum Stage: Equatable, Sendable {
        /// Recover is sent until each node is Ready or evicted.
        case gathering
        /// The table of this epoch goes to the voters; the server takes the store.
        case storing(sequence: UInt64)
        /// Started is sent until each Ready node has its clients back, or is evicted.
        case reconnecting(since: Instant)
        /// Evictions of that time go to the voters.
        case sealing(sequence: UInt64)
    }

    struct Participant: Equatable, Sendable {
        /// The boot the table admits.
        var boot: Boot
        var attempts = 0
        var ready: Boot?
        var reconnected = false
        var evicted: EvictionCause?
        /// The operator's `strike --fenced`: the machine is off, nothing is waited for.
        var fenced = false

        var isSettled: Bool { ready != nil || evicted != nil }
        var isBack: Bool { reconnected || evicted != nil }
        /// Who is struck if it is evicted: the boot that answered, or the one the table knows.
        var last: Boot { ready ?? boot }
    }
}

extension Agent {
    /// Starts the barrier of the holder's running (epoch, round).
    mutating func beginRecovery() {
        guard let current = holder else { return }
        var participants = SortedTable<NodeID, Recovery.Participant>()
        for process in current.table.table.admitted {
            participants[process.node] = Recovery.Participant(boot: process.boot)
        }
        holder?.phase = .recovering
        holder?.activeAt = nil
        holder?.table.dropEffects()
        holder?.evictions.removeAll()
        holder?.resuming.removeAll()
        holder?.admitted.removeAll()
        let recovery = Recovery(
            tenure: current.tenure, setHash: setHash(current.table.table.admitted), startedAt: now,
            participants: participants, nextTick: now)
        holder?.recovery = recovery
        announceOwnClaim()
        startServerIfHolder()
        tickRecovery()
    }

    private func setHash(_ set: [NodeBoot]) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for process in set {
            hash = (hash ^ UInt64(process.node.value)) &* 0x0000_0100_0000_01b3
            hash = (hash ^ process.boot.value) &* 0x0000_0100_0000_01b3
        }
        return hash
    }

    /// START for an inert server, if we hold a lease and this recovery has none yet.
    mutating func startServerIfHolder() {
        guard let current = holder, current.stop == nil, current.recovery != nil, server.state == .inert else {
            return
        }
        let base = leaseBase
        guard now < base + timing.soft else { return }
        server.state = .starting(current.tenure)
        holder?.lease.toldBase = base
        actions.append(
            .toServer(
                .start(
                    StartServer(
                        tenure: current.tenure, cluster: stored.cluster, process: own,
                        machineID: settings.machineID, kernelBootID: settings.kernelBootID,
                        startBits: settings.startBits, lastActiveEpoch: told.activeEpochs.ofAll,
                        volumeEpochs: told.activeEpochs.volumes, soft: base + timing.soft, hard: base + holdTime,
                        admitted: []))))
    }

    mutating func serverHasStarted(_ tenure: Tenure, port: UInt16, volumes: [VolumeDigest]?) {
        guard let current = holder, current.tenure == tenure, current.stop == nil else { return }
        var address = settings.address
        address.port = port
        holder?.serverAddress = address
        holder?.serverVolumes = volumes
        report(.serverStarted(tenure, address))
        announceOwnClaim()
        tickRecovery()
    }

    mutating func tickRecovery() {
        guard let stage = holder?.recovery?.stage, holder?.stop == nil else { return }
        switch stage {
        case .gathering: gather()
        case .storing(let sequence):
            guard holder?.table.durable ?? 0 >= sequence, holder?.serverAddress != nil else {
                holder?.recovery?.nextTick = .distantFuture
                return
            }
            openSessions()
        case .reconnecting(let since): reconnect(since: since)
        case .sealing(let sequence):
            guard holder?.table.durable ?? 0 >= sequence else {
                holder?.recovery?.nextTick = .distantFuture
                return
            }
            activate()
        }
    }

    // MARK: Recover and Ready

    private mutating func gather() {
        guard var recovery = holder?.recovery else { return }
        if now >= recovery.nextTick {
            recovery.nextTick = now + timing.retry
            let message = Message.recover(Recover(tenure: recovery.tenure, setHash: recovery.setHash))
            for (node, participant) in recovery.participants where !participant.isSettled {
                recovery.participants[node]?.attempts += 1
                send(message, to: node)
            }
            tellWait(&recovery)
        }
        for (node, participant) in recovery.participants where !participant.isSettled {
            if let cause = evictionCause(of: node, participant, in: recovery) {
                recovery.participants[node]?.evicted = cause
                report(.evicted(recovery.tenure, NodeBoot(node: node, boot: participant.boot), cause))
            }
        }
        holder?.recovery = recovery
        let settled = recovery.participants.values.filter { $0.isSettled }.count
        let enough = Mutants.active(.activeOnMajorityOfReady) ? recovery.participants.count / 2 + 1 : .max
        if settled == recovery.participants.count || settled >= enough { storeTable() }
    }

    private mutating func tellWait(_ recovery: inout Recovery) {
        let silent = recovery.participants.filter { !$0.1.isSettled && $0.1.attempts >= Recovery.attemptsBeforeNews }
        guard !silent.isEmpty, !recovery.isWaitTold else { return }
        recovery.isWaitTold = true
        report(.waitingFor(recovery.tenure, silent.map { NodeBoot(node: $0.0, boot: $0.1.boot) }))
    }

    /// Why a node that has not answered Recover is given up; nil: it is still waited for.
    private func evictionCause(
        of node: NodeID, _ participant: Recovery.Participant, in recovery: Recovery
    ) -> EvictionCause? {
        if participant.fenced { return .fenced }
        let state = membership.state(of: node)
        let boot = membership.record(of: node)?.process.boot
        guard now >= leaseEnd(of: node) || Mutants.active(.evictWithoutLeaseWait) else { return nil }
        // That another boot left says nothing of this one.
        if node != own.node, state == .left, boot == participant.boot { return .left }
        let isLost = node != own.node && (state == nil || state == .suspect || state == .unreachable)
        if isLost && participant.attempts > 3 { return .leasePassed }
        return now >= recovery.startedAt + timing.patience ? .leasePassed : nil
    }

    /// After this instant no client of the node can hold a lease given in, or before, this epoch (§6).
    private func leaseEnd(of node: NodeID) -> Instant {
        guard let current = holder else { return .distantFuture }
        guard let acknowledged = current.clientLeases[node], !Mutants.active(.noWaitAtRestartInPlace) else {
            return current.evictNotBefore
        }
        return max(current.evictNotBefore, acknowledged + timing.hardWithDrift)
    }

    mutating func receiveReady(_ ready: Ready, from process: NodeBoot) {
        guard let recovery = holder?.recovery, recovery.tenure == ready.tenure, recovery.setHash == ready.setHash,
            recovery.stage == .gathering, let participant = recovery.participants[process.node],
            !participant.isSettled, process.boot >= participant.boot
        else { return }
        holder?.recovery?.participants[process.node]?.ready = process.boot
        report(.nodeReady(ready.tenure, process, writesInFlight: ready.writesInFlight))
        gather()
    }

    // MARK: The table, the sessions

    private mutating func storeTable() {
        guard let recovery = holder?.recovery, let epoch = holder?.epoch else { return }
        let entries = recovery.participants.map { node, participant in
            AdmissionEntry(
                process: NodeBoot(node: node, boot: participant.last), epoch: epoch,
                status: participant.evicted.map { .evicted($0) } ?? .admitted)
        }
        if Mutants.active(.noWriteBackBeforeActive) {
            holder?.recovery?.stage = .storing(sequence: 0)
            return tickRecovery()
        }
        let sequence = (holder?.table.sequence ?? 0) + 1
        holder?.recovery?.stage = .storing(sequence: sequence)
        holder?.recovery?.nextTick = .distantFuture
        writeTable(entries, then: nil)
        tickRecovery()
    }

    private mutating func openSessions() {
        guard let recovery = holder?.recovery else { return }
        for (node, participant) in recovery.participants {
            let process = NodeBoot(node: node, boot: participant.last)
            if let cause = participant.evicted {
                actions.append(.toServer(.strike(process, cause)))
            } else {
                actions.append(.toServer(.admit(process)))
            }
        }
        holder?.recovery?.stage = .reconnecting(since: now)
        holder?.recovery?.nextTick = now
        tickRecovery()
    }

    private mutating func reconnect(since: Instant) {
        guard var recovery = holder?.recovery, let address = holder?.serverAddress else { return }
        if now >= recovery.nextTick {
            recovery.nextTick = now + timing.retry
            let message = Message.started(
                Started(tenure: recovery.tenure, setHash: recovery.setHash, address: address))
            for (node, participant) in recovery.participants where !participant.isBack { send(message, to: node) }
        }
        for (node, participant) in recovery.participants where !participant.isBack {
            guard let cause = lossCause(of: node, participant, since: since) else { continue }
            recovery.participants[node]?.evicted = cause
            report(.evicted(recovery.tenure, NodeBoot(node: node, boot: participant.last), cause))
        }
        holder?.recovery = recovery
        let back = recovery.participants.values.filter { $0.isBack }.count
        let enough = Mutants.active(.activeOnMajorityOfReady) ? recovery.participants.count / 2 + 1 : .max
        if back == recovery.participants.count || back >= enough { sealEvictions(since: since) }
    }

    /// A Ready node is not resumed, so its loss needs no lease wait.
    private func lossCause(of node: NodeID, _ participant: Recovery.Participant, since: Instant) -> EvictionCause? {
        if participant.fenced { return .fenced }
        if node == own.node { return now >= since + timing.reconnect ? .leasePassed : nil }
        let record = membership.record(of: node)
        if let record, record.process.boot > participant.last { return .left }
        switch membership.state(of: node) {
        case .left: return .left
        case .suspect, .unreachable, nil: return now >= since + timing.patience ? .leasePassed : nil
        case .alive: return now >= since + timing.reconnect ? .leasePassed : nil
        }
    }

    mutating func receiveReconnected(_ message: Reconnected, from process: NodeBoot) {
        guard let recovery = holder?.recovery, recovery.tenure == message.tenure,
            recovery.setHash == message.setHash, case .reconnecting(let since) = recovery.stage,
            let participant = recovery.participants[process.node], participant.ready == process.boot,
            !participant.isBack
        else { return }
        holder?.recovery?.participants[process.node]?.reconnected = true
        report(.nodeReconnected(message.tenure, process))
        reconnect(since: since)
    }

    private mutating func sealEvictions(since: Instant) {
        guard let recovery = holder?.recovery, let epoch = holder?.epoch else { return }
        let table = holder?.table.table ?? AdmissionTable()
        var entries: [AdmissionEntry] = []
        for (node, participant) in recovery.participants {
            guard let cause = participant.evicted, table[node]?.status.isAdmitted ?? false else { continue }
            let process = NodeBoot(node: node, boot: participant.last)
            entries.append(AdmissionEntry(process: process, epoch: epoch, status: .evicted(cause)))
            if Mutants.active(.strikeBeforeEvictMajority) { actions.append(.toServer(.strike(process, cause))) }
        }
        guard !entries.isEmpty else { return activate() }
        let sequence = (holder?.table.sequence ?? 0) + 1
        holder?.recovery?.stage = .sealing(sequence: sequence)
        holder?.recovery?.nextTick = .distantFuture
        writeTable(entries, then: nil)
        tickRecovery()
    }

    // MARK: Active

    private mutating func activate() {
        guard let recovery = holder?.recovery, leaseIsValid else { return }
        invariant(
            .barrierComplete,
            recovery.participants.values.allSatisfy { $0.isSettled && $0.isBack }
                || Mutants.active(.activeOnMajorityOfReady), "active only after the barrier")
        holder?.recovery = nil
        holder?.phase = .active
        holder?.activeAt = now
        for (node, participant) in recovery.participants where participant.reconnected {
            holder?.admitted[node] = participant.last
            holder?.resuming[node] = now
        }
        // Only now are the evictions since the table was stored on a voter majority, too.
        for (node, participant) in recovery.participants {
            guard let cause = participant.evicted, participant.ready != nil else { continue }
            actions.append(.toServer(.strike(NodeBoot(node: node, boot: participant.last), cause)))
        }
        actions.append(.toServer(.activate(recovery.tenure)))
        noteActive(recovery.tenure.epoch, volumes: holder?.serverVolumes)
        announceOwnClaim()
        tickResumes()
    }

    mutating func tickResumes() {
        guard holder?.resuming.isEmpty == false else { return }
        guard let current = holder, current.phase == .active, let address = current.serverAddress else { return }
        for (node, due) in current.resuming where now >= due {
            guard let boot = current.admitted[node] else {
                holder?.resuming[node] = nil
                continue
            }
            let again = Mutants.active(.resumeSentOnce) ? Instant.distantFuture : now + timing.retry
            holder?.resuming[node] = again
            send(
                .resume(
                    Resume(
                        tenure: current.tenure, setHash: resumeHash(current), address: address,
                        process: NodeBoot(node: node, boot: boot))), to: node)
        }
    }

    private func resumeHash(_ holder: Holder) -> UInt64 { setHash(holder.table.table.admitted) }

    mutating func receiveResumeAck(_ ack: ResumeAck, from process: NodeBoot) {
        guard let current = holder, current.tenure == ack.tenure, current.admitted[process.node] == process.boot
        else { return }
        holder?.resuming[process.node] = nil
    }
}
