/// This node's client processes, and the tenure they are in.
struct LocalNode: Equatable, Sendable {
    /// The highest tenure adopted by Recover or Resume; everything lower is void here (invariant 13).
    var adopted = Tenure.none
    var holder: NodeBoot?
    var setHash: UInt64 = 0
    /// The server of the adopted tenure, once it is known.
    var serverAddress: Address?
    var resumed = false
    /// The end of the client lease, as our clients know it.
    var leaseUntil = Instant.distantPast
    /// The latest end of any lease that a client of ours was ever told of, by this boot or the one before.
    var toldUntil: Instant
    /// The end of the lease that every resumed client knows of.
    var allToldUntil = Instant.distantPast
    var clients = SortedTable<ClientID, LocalClient>()
    /// Client processes that our connections do not show, but that may live on a lease until this instant.
    var unseenUntil = Instant.distantPast
    /// By then the lease of every client process of the boot before is over.
    let earlierUntil: Instant
    /// Client processes of the boot before, by the volumes of their locks, that have not said yet that they are
    /// suspended.
    var unheard: [String]
    /// Ready was owed and could not be given yet; since when.
    var readyOwed: Instant?
    var readySent = false
    var reconnectOwed = false
    /// The ClientLease under way.
    var requests: [Lease.Renewal] = []
    var refusal: AdmissionRefusal?
    var nextRequest: Instant
    /// When the newest request that was answered was sent.
    var answeredRequest = Instant.distantPast
    /// Suspended by us on the way out; nothing resumes any more.
    var isLeaving = false
    var suspensionTold = true
    /// Since when the gates are closed, while they are.
    var suspendedSince: Instant

    struct LocalClient: Equatable, Sendable {
        var volume: String
        var processID: UInt32
        var suspendedIn: Tenure?
        /// Or that it was told that its volume is not served.
        var connectedIn: Tenure?
        /// The last change to that, if it has no session.
        var lostAt = Instant.distantPast
        var isServed = true
        var resumedIn: Tenure?
        /// At the disk when it was suspended; 0 as soon as it says so.
        var writesInFlight: UInt32 = 0
        /// At the origin's disk for too long, as it said last; the oldest since that instant.
        var hangingRequests: UInt32 = 0
        var hangingSince = Instant.distantPast
    }

    init(livingClients: [String], timing: Timing, at now: Instant) {
        unheard = livingClients
        earlierUntil = !livingClients.isEmpty ? now + timing.hardWithDrift : now
        toldUntil = earlierUntil
        nextRequest = now
        suspendedSince = now
        mayTalk = livingClients.isEmpty
    }

    /// Join, Ready and ClientLease may leave: every client of the boot before is suspended, or its lease is over (§6).
    var mayTalk: Bool
}

extension Agent {
    var nodeWake: Instant {
        var next = Instant.distantFuture
        if node.unseenUntil > now { next = min(next, node.unseenUntil) }
        if !node.mayTalk { next = min(next, node.earlierUntil) }
        if wantsClientLease { next = min(next, node.nextRequest) }
        if node.resumed, !node.suspensionTold, node.leaseUntil > now { next = min(next, node.leaseUntil) }
        return next
    }

    mutating func tickNode() {
        if !node.mayTalk {
            let suspended = node.unheard.isEmpty && node.clients.values.allSatisfy { $0.suspendedIn != nil }
            if suspended || now >= node.earlierUntil { node.mayTalk = true }
        }
        if node.readyOwed != nil { sendReadyIfSuspended() }
        tickClientLease()
        // Resumed, but the first lease is still on its way: nothing was running, so nothing is suspended.
        let hadLease = node.leaseUntil != .distantPast
        if node.resumed, hadLease, !node.suspensionTold, now >= node.leaseUntil, !node.clients.isEmpty {
            node.suspensionTold = true
            report(.clientsSuspended(node.adopted))
        }
    }

    // MARK: The clients

    mutating func receive(_ message: ClientToAgent, from client: ClientID) {
        switch message {
        case .hello(_, let volume, let processID, _):
            node.clients[client] = LocalNode.LocalClient(volume: volume, processID: processID, lostAt: now)
            report(.clientAttached(client, volume: volume))
            actions.append(.toClient(client, .identity(own)))
            actions.append(.toClient(client, .suspend(node.adopted)))
            if let address = node.serverAddress {
                actions.append(.toClient(client, .server(node.adopted, address)))
            }
        case .suspended(let tenure, let writes):
            guard tenure == node.adopted else { return }
            node.clients[client]?.suspendedIn = tenure
            node.clients[client]?.writesInFlight = writes
            heard(from: client)
            resumeIfDue(client)
            sendReadyIfSuspended()
        case .connected(let tenure): isBack(client, in: tenure, isServed: true)
        case .notServed(let tenure): isBack(client, in: tenure, isServed: false)
        case .lostServer(let tenure):
            guard tenure == node.adopted else { return }
            node.clients[client]?.connectedIn = nil
            node.clients[client]?.lostAt = now
        case .disk(let requests, let since): diskHangs(client, requests, since: min(since, now))
        case .bye:
            // It holds its lock no longer than it lives, and says this with its gate closed for good.
            guard node.clients[client] != nil else { return }
            heard(from: client)
            node.clients[client] = nil
            report(.clientGone(client))
            clientsChanged()
        }
    }

    private mutating func isBack(_ client: ClientID, in tenure: Tenure, isServed: Bool) {
        guard tenure == node.adopted else { return }
        node.clients[client]?.connectedIn = tenure
        node.clients[client]?.isServed = isServed
        sendReconnectedIfDue()
    }

    private mutating func diskHangs(_ client: ClientID, _ requests: UInt32, since: Instant) {
        guard let local = node.clients[client] else { return }
        node.clients[client]?.hangingRequests = requests
        node.clients[client]?.hangingSince = since
        if local.hangingRequests == 0, requests > 0 {
            report(.diskHangs(volume: local.volume, requests: requests))
        } else if local.hangingRequests > 0, requests == 0 {
            report(.diskAnswers(volume: local.volume))
        }
    }

    /// This client's gate is closed: the one whose lock was found at our start no longer has to be waited for.
    private mutating func heard(from client: ClientID) {
        guard let volume = node.clients[client]?.volume else { return }
        node.unheard.removeAll { $0 == volume }
    }

    /// A broken connection proves nothing: the process may go on until the lease it was told of is over.
    mutating func clientIsGone(_ client: ClientID) {
        guard let gone = node.clients[client] else { return }
        // Suspended in the adopted tenure, it has nothing to go on with; else it may not have heard of it.
        if gone.suspendedIn != node.adopted || gone.resumedIn != nil {
            node.unseenUntil = max(node.unseenUntil, node.toldUntil)
        }
        node.clients[client] = nil
        report(.clientGone(client))
        clientsChanged()
    }

    private mutating func clientsChanged() {
        sendReadyIfSuspended()
        sendReconnectedIfDue()
    }

    private mutating func resumeIfDue(_ client: ClientID) {
        guard node.resumed, !node.isLeaving, let local = node.clients[client], local.suspendedIn == node.adopted,
            local.resumedIn != node.adopted
        else { return }
        node.clients[client]?.resumedIn = node.adopted
        actions.append(.toClient(client, .resume(node.adopted)))
        if node.leaseUntil > now { tellLease(to: client) }
    }

    private mutating func adopt(_ tenure: Tenure, from holder: NodeBoot) {
        invariant(.noStaleService, tenure > node.adopted, "an adopted tenure only rises")
        if node.resumed, !node.clients.isEmpty, !node.suspensionTold { report(.clientsSuspended(tenure)) }
        // What this node's clients may still do they do until the gate closes; a client that we do not see, until the
        // lease that it knows is over.
        if node.resumed { node.suspendedSince = min(now, node.leaseUntil) }
        node.adopted = tenure
        node.holder = holder
        node.serverAddress = nil
        node.resumed = false
        node.suspensionTold = true
        node.readySent = false
        node.readyOwed = nil
        node.reconnectOwed = false
        node.requests = []
        node.refusal = nil
        node.nextRequest = now
        node.leaseUntil = .distantPast
        node.allToldUntil = .distantPast
        sawEpoch(tenure.epoch)
        for client in node.clients.keys {
            node.clients[client]?.suspendedIn = nil
            node.clients[client]?.connectedIn = nil
            node.clients[client]?.lostAt = now
            node.clients[client]?.resumedIn = nil
            actions.append(.toClient(client, .suspend(tenure)))
        }
    }

    // MARK: Recover, Started, Resume

    mutating func receiveRecover(_ recover: Recover, from holder: NodeBoot) {
        guard node.mayTalk, recover.tenure >= node.adopted, recover.tenure.epoch.isReachable else { return }
        if let own = self.holder, recover.tenure.epoch > own.epoch { loseLease() }
        if recover.tenure > node.adopted {
            adopt(recover.tenure, from: holder)
            tellRecovering(recover.tenure, server: holder)
        }
        guard node.holder == holder, !node.resumed, !node.isLeaving else { return }
        node.setHash = recover.setHash
        node.readySent = false
        node.readyOwed = node.readyOwed ?? now
        sendReadyIfSuspended()
    }

    private var writesInFlight: UInt32 { node.clients.values.reduce(0) { $0 &+ $1.writesInFlight } }

    private mutating func sendReadyIfSuspended() {
        guard node.readyOwed != nil, let holder = node.holder, now >= node.unseenUntil,
            node.clients.values.allSatisfy({ $0.suspendedIn == node.adopted })
        else { return }
        node.readyOwed = nil
        node.readySent = true
        send(
            .ready(
                Ready(
                    tenure: node.adopted, setHash: node.setHash, clients: UInt32(clamping: node.clients.count),
                    writesInFlight: writesInFlight)), to: holder.node)
        // A ClientLease travels with Ready.
        if settings.hasVolumes { sendClientLease() }
    }

    mutating func receiveStarted(_ started: Started, from holder: NodeBoot) {
        guard started.tenure == node.adopted, node.holder == holder, node.setHash == started.setHash, node.readySent,
            !node.isLeaving
        else { return }
        if node.serverAddress != started.address {
            node.serverAddress = started.address
            for client in node.clients.keys {
                actions.append(.toClient(client, .server(node.adopted, started.address)))
            }
        }
        node.reconnectOwed = true
        sendReconnectedIfDue()
    }

    private mutating func sendReconnectedIfDue() {
        guard node.reconnectOwed, let holder = node.holder,
            node.clients.values.allSatisfy({ $0.connectedIn == node.adopted })
        else { return }
        node.reconnectOwed = false
        send(
            .reconnected(
                Reconnected(
                    tenure: node.adopted, setHash: node.setHash, clients: UInt32(clamping: node.clients.count))),
            to: holder.node)
    }

    /// Only this opens the gates, never gossip.
    mutating func receiveResume(_ resume: Resume, from holder: NodeBoot) {
        guard node.mayTalk, !node.isLeaving, resume.tenure >= node.adopted, resume.process == own,
            resume.tenure.epoch.isReachable
        else { return }
        if resume.tenure > node.adopted {
            // Admitted into a running tenure: we asked with our clients suspended, and they have been since.
            guard !node.resumed else { return }
            adopt(resume.tenure, from: holder)
        }
        guard node.holder == holder else { return }
        send(.resumeAck(ResumeAck(tenure: resume.tenure, setHash: resume.setHash)), to: holder.node)
        guard !node.resumed else { return }
        if node.serverAddress != resume.address {
            node.serverAddress = resume.address
            for client in node.clients.keys {
                actions.append(.toClient(client, .server(node.adopted, resume.address)))
            }
        }
        node.resumed = true
        node.suspensionTold = false
        node.readyOwed = nil
        tellActive(resume.tenure, server: holder)
        report(.clientsResumed(resume.tenure))
        for client in node.clients.keys { resumeIfDue(client) }
    }

    /// Final for this boot: the process ends, and the next boot joins anew with its clients suspended.
    mutating func receiveEvicted(_ message: Evicted) {
        guard message.process == own, departure == nil else { return }
        suspendOwnClients()
        report(.evicted(message.tenure, own, message.cause))
        whenDurable(.exit(.newBoot))
    }

    mutating func suspendOwnClients() {
        node.isLeaving = true
        if node.resumed { node.suspendedSince = min(now, node.leaseUntil) }
        node.resumed = false
        for client in node.clients.keys {
            node.clients[client]?.suspendedIn = nil
            actions.append(.toClient(client, .suspend(node.adopted)))
        }
    }

    // MARK: The client lease

    /// The holder that can answer: of the adopted tenure, or, before any, the one gossip names.
    private var leaseHolder: NodeBoot? {
        if let claim, claim.tenure > node.adopted || node.holder == nil {
            return claim.phase == .active ? claim.server : nil
        }
        return node.holder
    }

    private var wantsClientLease: Bool {
        settings.hasVolumes && node.mayTalk && !node.isLeaving && leaseHolder != nil && stored.cluster != .zero
    }

    private mutating func tickClientLease() {
        guard wantsClientLease, now >= node.nextRequest else { return }
        sendClientLease()
    }

    /// Renewals are the beat of client leases too: the request goes with our answer to a Renew, and is answered with
    /// the next one if it may wait so long. So a node at rest costs one datagram each way a period.
    mutating func askForLease(withRenewalOf holder: NodeBoot) {
        // One that was asked just before by itself and is answered already asks again: or it would for ever ask by
        // itself just before each Renew, in datagrams of its own.
        let asked = node.requests.last?.sentAt ?? .distantPast
        let isOpen = now - asked < timing.retry && node.answeredRequest < asked
        guard wantsClientLease, leaseHolder == holder, !isOpen else { return }
        sendClientLease(mayWait: holder != own && node.leaseUntil - now > timing.hard / 2)
    }

    private mutating func sendClientLease(mayWait: Bool = false) {
        guard let holder = leaseHolder else { return }
        let nonce = generator.next()
        if node.requests.count >= Bounds.outstandingNonces { node.requests.removeFirst() }
        node.requests.append(Lease.Renewal(nonce: nonce, sentAt: now))
        // Asked again at the retry period until an answer comes, which moves this on; seldom when none comes for long.
        let patient = now - max(node.leaseUntil, voter.startedAt) < timing.promise
        node.nextRequest = now + (mayWait ? timing.renew + timing.renew / 2 : patient ? timing.retry : timing.renew)
        let suspended =
            !node.resumed && now >= node.unseenUntil && node.clients.values.allSatisfy { $0.suspendedIn != nil }
        send(
            .clientLease(
                ClientLease(
                    nonce: nonce, tenure: node.adopted, clients: UInt32(clamping: node.clients.count),
                    suspended: suspended, mayWait: mayWait)), to: holder.node)
    }

    mutating func receiveClientLeaseAck(_ ack: ClientLeaseAck, from holder: NodeBoot) {
        if ack.remaining == .zero, ack.tenure > node.adopted { return noteRefusal(ack, from: holder) }
        guard ack.tenure == node.adopted, node.holder == holder, !node.isLeaving,
            let sentAt = node.requests.last(where: { $0.nonce == ack.nonce })?.sentAt
        else { return }
        node.answeredRequest = max(node.answeredRequest, sentAt)
        node.nextRequest = max(node.nextRequest, sentAt + timing.renew)
        let until = sentAt + min(timing.hard, ack.remaining)
        guard until > node.leaseUntil else { return }
        if node.suspensionTold, node.resumed, !node.clients.isEmpty, until > now {
            node.suspensionTold = false
            report(.clientsResumed(node.adopted))
        }
        node.leaseUntil = until
        // With every other renewal, or when half of what they know of is gone.
        guard until - node.allToldUntil >= timing.renew * 3 / 2 || node.allToldUntil - now <= timing.hard / 2 else {
            return
        }
        node.allToldUntil = until
        for (client, local) in node.clients where local.resumedIn == node.adopted { tellLease(to: client) }
    }

    private mutating func tellLease(to client: ClientID) {
        node.toldUntil = max(node.toldUntil, node.leaseUntil)
        actions.append(.toClient(client, .lease(node.adopted, until: node.leaseUntil)))
    }
}
