/// The server process of this node, as its messages tell.
struct ServerProcess: Equatable, Sendable {
    var state = State.absent
    /// Since when none is loaded, while none is.
    var absentSince: Instant
    /// Failures in a row, none of which came after a while of service; the second makes this node ineligible for a
    /// while (§5.8).
    var failures = 0
    /// This process has said why it ends: its end counts no more.
    var saidWhy = false
    /// It is loaded anew on our wish: the end of the old one is no failure.
    var isReloading = false
    /// Not eligible before this instant.
    var backOffUntil = Instant.distantPast
    /// Why the last one failed, for `why`.
    var lastFailure: ServerFailure?
    /// The volume whose store it was; empty: none, or unknown.
    var failedVolume = ""
    /// What was reported last, and when.
    var toldVolume = ""
    var toldAt = Instant.distantPast
    /// The first and the last of the failures in a row.
    var failingSince = Instant.distantPast
    var failedAt = Instant.distantPast
    /// The next one may leave out a volume whose store fails.
    var leavesOut = false
    /// Volumes at which it failed while this node served, since then: the next server does without them.
    var withheld: [String] = []
    /// The store shows a tenure that surpasses ours: how often in a row. This node claims above it.
    var surpassed = 0
    /// Stores of this server that are about to be full.
    var filling: [FillingStore] = []
    /// Who should serve next, when an operator transferred the service.
    var successor: NodeID?

    enum State: Equatable, Sendable {
        /// None yet, or its group is being emptied.
        case absent
        /// Loaded; obeys START at once.
        case inert
        case starting(Tenure)
        case started(Tenure)
        /// Killed or told to stop; its group is not proven empty yet.
        case stopping
    }

    /// A store that surpasses each new epoch is broken, or written by somebody else: then it is a failure like others.
    static let surpassedLimit = 4

    /// So many silent ends in one epoch are no matter of chance; fewer are repaired in place, which is quickest.
    static let silentEndsLimit = 24

    mutating func countFailure(at now: Instant) {
        forgetOldFailures(at: now)
        if failures == 0 { failingSince = now }
        failedAt = now
        failures += 1
    }

    /// A node that does not serve has no service to end the row: what happened long ago is none of it.
    mutating func forgetOldFailures(at now: Instant) {
        if now - failedAt >= Self.memory { failures = 0 }
    }

    /// Beyond the longest back-off many times over.
    static let memory = Interval.seconds(600)

    init(at now: Instant) { absentSince = now }

    /// A server that fails at each load, again and again, is reported no more often.
    static let reportPeriod = Interval.seconds(30)
    static let firstBackOff = Interval.seconds(1)
    static let longestBackOff = Interval.seconds(60)
}

extension Agent {
    mutating func receive(_ message: ServerToAgent) {
        switch message {
        case .inert:
            if server.state == .absent { server.state = .inert }
            server.isReloading = false
            startServerIfHolder()
        case .started(let tenure, let port, let volumes):
            guard server.state == .starting(tenure) else { return }
            server.state = .started(tenure)
            server.surpassed = 0
            serverHasStarted(tenure, port: port, volumes: volumes)
        case .sessions, .struck: break
        case .store(let notice): heard(notice)
        case .failed(let failure, let volume, let epochSeen):
            serverFailed(failure, volume: volume, epochSeen: epochSeen)
        }
    }

    /// The process group is proven empty; the shell loads a fresh, inert one and says so.
    mutating func serverIsGone() {
        let was = server.state
        let saidWhy = server.saidWhy || server.isReloading
        server.state = .absent
        server.absentSince = now
        server.saidWhy = false
        server.isReloading = false
        server.filling = []
        switch was {
        case .inert: break
        case .absent:
            if !saidWhy, now >= server.backOffUntil { serverEndedUnsaid() }
        case .starting:
            if !saidWhy { serverEndedUnsaid() }
            holderLostServer()
        case .started:
            if !saidWhy { startedServerEndedUnsaid() }
            holderLostServer()
        case .stopping: holderLostServer()
        }
        if let holder, holder.stop != nil { holderIsStopped() }
    }

    private mutating func serverEndedUnsaid() {
        server.forgetOldFailures(at: now)
        if server.failures == 0 {
            server.lastFailure = nil
            server.failedVolume = ""
        }
        server.countFailure(at: now)
        if server.failures >= 2 { giveServiceUp() }
    }

    /// One that had started and ends without a word was killed, which says nothing of its stores; not so if it happens
    /// again and again.
    private mutating func startedServerEndedUnsaid() {
        guard isHolder, holder?.stop == nil else { return }
        holder?.silentEnds += 1
        guard holder?.silentEnds ?? 0 >= ServerProcess.silentEndsLimit else { return }
        server.lastFailure = nil
        server.failedVolume = ""
        server.countFailure(at: now)
        server.failures = max(server.failures, 2)
        giveServiceUp()
    }

    /// A server that has served for a while has no failures behind it. STARTED does not tell: the next write, or a read
    /// of what the store kept, may fail again.
    mutating func tickServerProven() {
        guard server.failures > 0 || holder?.silentEnds ?? 0 > 0, !server.saidWhy, case .started = server.state,
            let holder, holder.phase == .active, let activeAt = holder.activeAt, now - activeAt >= timing.reconnect
        else { return }
        server.failures = 0
        self.holder?.silentEnds = 0
    }

    private mutating func heard(_ notice: StoreNotice) {
        switch notice.kind {
        case .space(let percent, let isHolding):
            let place = server.filling.firstIndex { $0.volume.utf8.elementsEqual(notice.volume.utf8) }
            if percent < FillingStore.warning, !isHolding {
                if let place { server.filling.remove(at: place) }
            } else if let place {
                let isNew = server.filling[place].isHolding != isHolding
                server.filling[place].percent = percent
                server.filling[place].isHolding = isHolding
                if isNew { server.filling[place].since = now }
            } else if server.filling.count < FillingStore.limit {
                server.filling.append(
                    FillingStore(volume: notice.volume, percent: percent, isHolding: isHolding, since: now))
            }
            report(.storeSpace(volume: notice.volume, percent: percent, isHolding: isHolding))
        case .dropped(let snapshot): report(.snapshotDropped(volume: notice.volume, name: snapshot))
        }
    }

    private mutating func serverFailed(_ failure: ServerFailure, volume: String, epochSeen: Epoch) {
        sawEpoch(epochSeen)
        server.saidWhy = true
        noteFailure(failure, volume: volume)
        if failure == .storeTenure, server.surpassed < ServerProcess.surpassedLimit {
            // A slot shows a higher tenure: this node claims above it at once.
            server.surpassed += 1
            stopServing(.release)
            return
        }
        // A server that fails at its load is loaded again and again: that makes the back-off no longer.
        if !isHolder, now < server.backOffUntil { return }
        if isHolder, withhold(volume) { return }
        server.countFailure(at: now)
        if server.failures >= 2 || failure.isLasting { giveServiceUp() }
    }

    /// Whether the next server, in place, is another try: it leaves out one volume more (decision 101).
    private mutating func withhold(_ volume: String) -> Bool {
        guard server.leavesOut, !volume.isEmpty, server.withheld.count < Limits.claimedVolumes,
            !server.withheld.contains(where: { $0.utf8.elementsEqual(volume.utf8) })
        else { return false }
        server.withheld.append(volume)
        return true
    }

    /// This node cannot serve: another may, and this one is not eligible for a while, longer each time.
    mutating func giveServiceUp() {
        let doublings = min(server.failures, 6)
        let backOff = min(ServerProcess.firstBackOff * (1 << Int64(doublings)), ServerProcess.longestBackOff)
        server.backOffUntil = now + backOff
        updateEligible()
        stopServing(.release)
    }

    /// A server that does not come up, or does not take its store, in the time a client gets to reconnect.
    mutating func tickServerStart() {
        guard let startedAt = holder?.recovery?.startedAt, holder?.stop == nil, holder?.serverAddress == nil else {
            return
        }
        startServerIfHolder()
        guard now >= startedAt + timing.reconnect else { return }
        noteFailure(.storeUnreachable, volume: "")
        server.countFailure(at: now)
        giveServiceUp()
    }

    private mutating func noteFailure(_ failure: ServerFailure, volume: String) {
        server.forgetOldFailures(at: now)
        let isNews =
            isHolder || now >= server.backOffUntil || failure != server.lastFailure
            || !volume.utf8.elementsEqual(server.toldVolume.utf8) || now - server.toldAt >= ServerProcess.reportPeriod
        server.lastFailure = failure
        // One that names no volume, of several in a row, takes back none.
        if !volume.isEmpty || server.failures == 0 { server.failedVolume = volume }
        guard isNews else { return }
        server.toldAt = now
        server.toldVolume = volume
        report(.serverFailed(failure, volume: volume))
    }

    /// May this node run the server, as its member record says?
    var isEligible: Bool {
        settings.serves && stored.enabled && departure == nil && now >= server.backOffUntil && !serverStaysAway
    }

    var serverStaysAway: Bool { serverKeepsFailing || serverDoesNotLoad }

    /// A server that failed again and again and is not loaded now.
    var serverKeepsFailing: Bool { server.failures >= 2 && server.state == .absent }

    /// A server whose loading does not end: a store's path hangs, an earlier server holds the lock, no process can be
    /// made. Nothing else tells of that.
    var serverDoesNotLoad: Bool { server.state == .absent && now >= serverLoadEnd }

    /// By then a server that is being loaded should be there.
    private var serverLoadEnd: Instant { server.absentSince + timing.reconnect }

    /// When this node ceases to be eligible, or is again.
    var serverWake: Instant {
        if server.backOffUntil > now { return server.backOffUntil }
        return server.state == .absent && settings.serves && serverLoadEnd > now ? serverLoadEnd : .distantFuture
    }

    /// A volume may be left out where a server failed twice at one and nobody served for a promise (§5.8); no longer
    /// when somebody serves, so that this node's next server sees whether its store is back.
    mutating func updateLeavesOut() {
        guard !isHolder else { return }
        server.forgetOldFailures(at: now)
        let before = server.leavesOut
        defer {
            if server.leavesOut != before, server.state == .absent { server.isReloading = true }
            if !server.leavesOut { server.withheld = [] }
        }
        guard server.failures >= 2, !server.failedVolume.isEmpty, claim?.phase != .active || !claimIsRunning else {
            server.leavesOut = false
            return
        }
        let ended = max(voter.promiseEnds, node.leaseUntil)
        if promiseIsOpen, !claimIsRunning, now - ended >= timing.promise { server.leavesOut = true }
    }

    mutating func updateEligible() {
        if membership.own.eligible != isEligible {
            membership.update(eligible: isEligible, hasVolumes: settings.hasVolumes)
        }
    }
}
