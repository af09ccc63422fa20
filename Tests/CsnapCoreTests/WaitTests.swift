import CsnapCore
import Testing

/// `why` names each of these, with its age and its culprit (docs/troubleshooting.md, "Waits").
@Suite struct WaitTests {
    private static let cluster = Bits128(high: 42, low: 42)

    private func group(of nodes: [UInt32] = [1, 2, 3]) -> AgentGroup {
        var group = AgentGroup(nodes: nodes)
        for node in nodes { group.start(node) }
        group.command(.found(cluster: Self.cluster), at: nodes[0])
        for node in nodes { group.attachClient(node) }
        let ready = group.run(.seconds(30)) { group in
            nodes.allSatisfy {
                group.status($0)?.clientsResumed == true && group.status($0)?.committed?.voters.count == nodes.count
            }
        }
        #expect(ready, "a group that serves")
        #expect(nodes.allSatisfy { group.waits($0).allSatisfy(\.kind.isHarmless) }, "nothing waits")
        return group
    }

    @Test func noGroupIsNamed() {
        var group = AgentGroup(nodes: [1])
        group.start(1)
        let start = group.now
        _ = group.run(.seconds(3))
        #expect(group.wait(.notInGroup, at: 1) == Wait(kind: .notInGroup, since: start, nodes: []))
    }

    @Test func storesThatFillAreNamedUntilTheyHaveRoom() {
        var group = group()
        func tell(_ percent: UInt8, _ isHolding: Bool) {
            let kind = StoreNotice.Kind.space(percent: percent, isHolding: isHolding)
            group.deliver(.server(.store(StoreNotice(volume: "data", kind: kind))), to: 1)
            _ = group.run(.milliseconds(10))
        }
        tell(81, false)
        #expect(group.status(1)?.filling.map(\.percent) == [81])
        let low = group.wait(.storeLow, at: 1)
        #expect(low?.nodes == [NodeID(1)])
        tell(96, false)
        #expect(group.wait(.storeLow, at: 1) == low, "its age grows")
        tell(100, true)
        #expect(group.wait(.storeLow, at: 1) == nil)
        #expect(group.wait(.storeFull, at: 1) != nil)
        tell(60, false)
        #expect(group.status(1)?.filling == [])
        #expect(group.wait(.storeFull, at: 1) == nil)
        tell(100, true)
        group.deliver(.serverGone, to: 1)
        _ = group.run(.milliseconds(1))
        #expect(group.wait(.storeFull, at: 1) == nil, "a server that is gone fills nothing")
    }

    @Test func theMissingVotersAreNamed() {
        var group = group()
        group.crash(1)
        group.crash(3)
        #expect(group.run(.seconds(10)) { $0.wait(.noQuorum, at: 2) != nil })
        #expect(group.wait(.noQuorum, at: 2)?.nodes == [NodeID(1), NodeID(3)])
        let first = group.wait(.noQuorum, at: 2)?.since
        _ = group.run(.seconds(2))
        #expect(group.wait(.noQuorum, at: 2)?.since == first, "its age grows")
        #expect(group.wait(.suspended, at: 2).map { $0.since < group.now } == true, "this node's clients wait too")
    }

    @Test func aPromiseThatHasNotRunOutNamesItsHolder() {
        let own = NodeBoot(node: NodeID(1), boot: Boot(2))
        var state = StoredState(process: own, machineID: .zero, kernelBootID: .zero, startBits: .zero)
        state.cluster = Self.cluster
        state.committed = VoterSet(version: 1, voters: [own.node])
        state.promise = Promise(
            epoch: Epoch(5), holder: NodeBoot(node: NodeID(3), boot: Boot(1)), released: false)
        let start = Instant(nanoseconds: 1_000_000_000)
        let waits = Agent(settings: .lone, stored: state, at: start).status(at: start + .milliseconds(10)).waits
        #expect(waits.contains(Wait(kind: .promise, since: start, nodes: [NodeID(3)])), "\(waits)")
    }

    @Test func aRecoveryNamesWhomItWaitsForHereAndThere() {
        var group = group()
        group.crash(1)
        let waits: (AgentGroup) -> [Wait] = { group in
            group.waits(2).filter { $0.kind == .ready || $0.kind == .leaseEnd }
        }
        #expect(group.run(.seconds(10)) { waits($0).contains { $0.nodes == [NodeID(1)] } }, "node 2 waits for node 1")
        #expect(group.run(.seconds(10)) { $0.wait(.recovering, at: 3) != nil || $0.activeServers == [2] })
        if let wait = group.wait(.recovering, at: 3) { #expect(wait.nodes == [NodeID(2)]) }
    }

    @Test func aDeposedServerThatDoesNotEndHidesNobody() {
        var group = group()
        group.stuckServers = [1]
        let failed = Event.server(.failed(.storeUnreachable, volume: "data", epochSeen: .none))
        for _ in 1...2 { group.deliver(failed, to: 1) }
        #expect(group.run(.seconds(1)) { $0.wait(.serverStop, at: 1) != nil })
        #expect(group.status(1)?.claimIsRunning == false, "nobody serves yet")
        #expect(group.run(.seconds(30)) { $0.activeServers == [2] && $0.status(1)?.clientsResumed == true })
        #expect(group.status(1)?.claim?.server.node == NodeID(2))
        #expect(group.status(1)?.claimIsRunning == true)
        #expect(group.wait(.serverStop, at: 1)?.nodes == [NodeID(1)], "its own server is still ending")
    }

    @Test func nobodyWaitsForAClientWhoseVolumeIsNotServed() {
        var group = group()
        for node in group.nodes { group.attachLeftOutClient(node) }
        _ = group.run(.seconds(1))
        let start = group.now
        group.crash(1)
        #expect(group.run(.seconds(30)) { $0.activeServers == [2] && $0.status(3)?.clientsResumed == true })
        #expect(group.now - start < group.timing.reconnect, "a node is not given up for it")
        let clients = group.status(3)?.clients ?? []
        #expect(clients.map(\.connected) == [true, false] && clients.allSatisfy { !$0.suspended })
    }

    @Test func aVolumeIsLeftOutOnlyWhenNobodyServes() {
        var group = group()
        #expect(group.leavesOut(1) == nil, "it serves")
        let failed = Event.server(.failed(.storeIO, volume: "logs", epochSeen: .none))
        for _ in 1...2 { group.deliver(failed, to: 1) }
        #expect(group.run(.seconds(30)) { $0.activeServers == [2] })
        #expect(group.leavesOut(1) == false, "another node sees the store")
        group.crash(3)
        for _ in 1...2 { group.deliver(failed, to: 2) }
        #expect(group.run(.seconds(1)) { $0.wait(.store, at: 2) != nil && $0.activeServers.isEmpty })
        #expect(group.leavesOut(2) != true, "not at once")
        #expect(group.run(.seconds(30)) { $0.leavesOut(2) == true })
    }

    @Test func aDisabledNodeSaysSo() {
        var group = group(of: [1])
        group.command(.disable, at: 1)
        #expect(group.run(.seconds(5)) { $0.wait(.disabled, at: 1) != nil })
        let since = group.wait(.disabled, at: 1)?.since
        _ = group.run(.seconds(1))
        #expect(group.wait(.disabled, at: 1)?.since == since)
        group.command(.enable, at: 1)
        #expect(group.run(.seconds(5)) { $0.wait(.disabled, at: 1) == nil })
    }

    @Test func theOnlyVoterIsAWarning() {
        let group = group(of: [1])
        #expect(group.wait(.singleVoter, at: 1)?.nodes == [NodeID(1)])
    }

    private func join(_ node: UInt32, boot: UInt64 = 1, machine: UInt64, cluster: Bits128) -> Event {
        let process = NodeBoot(node: NodeID(node), boot: Boot(boot))
        let address = Address.ipv4(127, 0, 0, 99, port: 7411)
        let record = MemberRecord(
            process: process, incarnation: Incarnation(boot: process.boot), state: .alive, address: address,
            eligible: true, hasVolumes: true, localHealth: 0)
        let join = Join(
            nonce: 1, record: record, machineID: Bits128(high: 0, low: machine), kernelBootID: .zero,
            configurationVersion: 0, highestEpoch: .none)
        let sender = Sender(
            process: process, startBits: Bits128(high: 9, low: machine), cluster: cluster, source: address)
        return .packet(sender, [.join(join)])
    }

    @Test func aNamesakeIsNamedWithItsAddress() {
        var group = group(of: [1])
        group.deliver(join(1, machine: 99, cluster: Self.cluster), to: 1)
        #expect(group.run(.seconds(5)) { $0.wait(.idConflict, at: 1) != nil })
        #expect(group.status(1)?.namesake == .ipv4(127, 0, 0, 99, port: 7411))
        #expect(group.run(.seconds(30)) { $0.wait(.idConflict, at: 1) == nil }, "it is silent: it is forgotten")
    }

    /// Its first Join was answered with the boot in use; it started again above that.
    @Test func aNamesakeWithAHigherBootDisplacesNobodyInALargeGroup() {
        let nodes: [UInt32] = Array(1...10)
        var group = AgentGroup(nodes: nodes, timing: .lan)
        for node in nodes { group.start(node) }
        group.command(.found(cluster: Self.cluster), at: 1)
        _ = group.run(.seconds(60))
        #expect(group.status(3)?.committed?.voters.contains(NodeID(3)) == true)
        for _ in 1...30 {
            for node in nodes {
                group.deliver(join(3, boot: 2, machine: 99, cluster: Self.cluster), to: node)
                group.deliver(join(7, boot: 2, machine: 98, cluster: Self.cluster), to: node)
            }
            _ = group.run(.seconds(1))
        }
        for node: UInt32 in [3, 7] {
            #expect(group.wait(.idConflict, at: node) != nil, "it goes on, and says so")
            let known = group.status(1)?.members.first { $0.record.process.node == NodeID(node) }
            #expect(known?.record.process.boot == Boot(1) && known?.state == .alive)
        }
        group.crash(7)
        _ = group.run(.seconds(30))
        group.deliver(join(7, boot: 2, machine: 98, cluster: Self.cluster), to: 1)
        _ = group.run(.milliseconds(50))
        let known = group.status(1)?.members.first { $0.record.process.node == NodeID(7) }
        #expect(known?.record.process.boot == Boot(2), "a node set up anew on another machine, when the old one is off")
    }

    @Test func aSecondGroupOfTheSameNameIsNamed() {
        var group = group(of: [1])
        group.deliver(join(7, machine: 7, cluster: Bits128(high: 66, low: 66)), to: 1)
        #expect(group.run(.seconds(5)) { $0.wait(.foreignGroup, at: 1) != nil })
        #expect(group.wait(.foreignGroup, at: 1)?.nodes == [NodeID(7)])
        #expect(group.run(.seconds(120)) { $0.wait(.foreignGroup, at: 1) == nil }, "it is silent: it is forgotten")
    }

    @Test func aLostStateFileIsNamed() {
        var state = StoredState(
            process: NodeBoot(node: NodeID(1), boot: Boot(1)), machineID: .zero, kernelBootID: .zero, startBits: .zero)
        state.mayVote = false
        state.cluster = Self.cluster
        let now = Instant(nanoseconds: 1_000_000_000)
        let agent = Agent(settings: .lone, stored: state, at: now)
        // Whom it waits for it learns with the configuration.
        #expect(agent.status(at: now + .seconds(3)).waits.contains(Wait(kind: .noVote, since: now, nodes: [])))
    }

    @Test func aStateDiskThatFailsOrHangsIsNamedWithItsAge() {
        let start = Instant(nanoseconds: 1_000_000_000)
        for fails in [true, false] {
            var agent = Agent(settings: .lone, stored: nil, at: start)
            let actions = agent.step(.command(id: .zero, .found(cluster: Self.cluster)), at: start)
            let token = actions.compactMap { action -> UInt64? in
                if case .persist(_, let token) = action { token } else { nil }
            }.last
            guard let token else {
                Issue.record("nothing is stored")
                continue
            }
            let later = start + .seconds(30)
            if fails { _ = agent.step(.persistFailed(token: token), at: later) }
            let wait = agent.status(at: later).waits.first { $0.kind == .stateFile }
            #expect(wait == Wait(kind: .stateFile, since: start, nodes: [NodeID(1)]), "fails: \(fails)")
            _ = agent.step(fails ? .wake : .persisted(token: token), at: later + .seconds(2))
            if fails { _ = agent.step(.persisted(token: token + 1), at: later + .seconds(2)) }
            #expect(!agent.status(at: later + .seconds(2)).waits.contains { $0.kind == .stateFile }, "fails: \(fails)")
        }
    }

    /// What a slow disk holds back is asked for again and again; it must not push out what happens once.
    @Test func anEvictedNodeEndsWhenItsSlowDiskAnswers() {
        var group = group()
        group.hangingDisks = [3]
        group.command(.disable, at: 3)
        _ = group.run(.milliseconds(10))
        group.command(.strike(NodeID(3), fenced: false), at: 1)
        #expect(group.run(.seconds(10)) { $0.reports[3]?.contains { $0.isOwnEviction } == true })
        _ = group.run(.seconds(30))
        #expect(group.status(3) != nil, "its state is not durable yet")
        group.release(3)
        #expect(group.run(.seconds(1)) { $0.status(3) == nil }, "this boot is over")
    }

    /// No grant, no claim, no admission rests on a disk that does not write; it goes on by itself when that is mended.
    @Test func nothingIsPromisedOnAFullDisk() {
        var group = group()
        group.failingDisks = [2, 3]
        let before = group.reports.mapValues(\.count)
        group.crash(1)
        #expect(!group.run(.seconds(20)) { !$0.activeServers.isEmpty })
        for node in [UInt32(2), 3] {
            let news = (group.reports[node] ?? []).dropFirst(before[node] ?? 0)
            let promised = news.contains { report in
                switch report {
                case .elected, .promised, .admitted, .serverActive: true
                default: false
                }
            }
            #expect(!promised, "node \(node): \(news)")
        }
        #expect(group.wait(.stateFile, at: 2) != nil || group.wait(.stateFile, at: 3) != nil)
        group.failingDisks = []
        #expect(group.run(.seconds(20)) { $0.activeServers == [2] })
    }

    @Test(arguments: [ServerFailure.storeFormat, .storeForeign, .storeStale])
    func aStoreThatIsRefusedIsNamed(failure: ServerFailure) {
        var group = group(of: [1])
        group.deliver(.server(.failed(failure, volume: "data", epochSeen: .none)), to: 1)
        #expect(group.run(.seconds(5)) { $0.wait(.store, at: 1) != nil })
        #expect(group.status(1)?.serverFailure == failure)
        #expect(group.status(1)?.failedVolume == "data")
        #expect(group.reports[1]?.contains(.serverFailed(failure, volume: "data")) == true)
        #expect(group.run(.seconds(30)) { $0.wait(.store, at: 1) == nil }, "it is tried again")
    }

    @Test func aStoreThatFailsOrCannotBeReachedIsNamedAtTheSecondTime() {
        for failure in [ServerFailure.storeIO, .storeUnreachable] {
            var group = group(of: [1])
            let firstAt = group.now
            group.deliver(.server(.failed(failure, volume: "data", epochSeen: .none)), to: 1)
            group.deliver(.server(.failed(failure, volume: "data", epochSeen: .none)), to: 1, after: .milliseconds(1))
            #expect(group.run(.seconds(5)) { $0.wait(.store, at: 1) != nil })
            #expect(group.wait(.store, at: 1)?.since == firstAt)
            #expect(group.status(1)?.serverFailure == failure)
        }
    }

    @Test func aDiskThatKeepsWritesOfSuspendedClientsIsNamed() {
        var group = group()
        group.crash(1)
        group.crash(3)
        #expect(group.run(.seconds(10)) { $0.wait(.suspended, at: 2) != nil })
        #expect(group.wait(.clientDisk, at: 2) == nil)
        guard let adopted = group.status(2)?.adopted else { return }
        group.deliver(.client(ClientID(1), .suspended(adopted, writesInFlight: 3)), to: 2)
        #expect(group.run(.seconds(1)) { $0.wait(.clientDisk, at: 2) != nil })
        #expect(group.status(2)?.clients.map(\.writesInFlight) == [3])
        group.deliver(.client(ClientID(1), .suspended(adopted, writesInFlight: 0)), to: 2)
        #expect(group.run(.seconds(1)) { $0.wait(.clientDisk, at: 2) == nil })
    }

    @Test func aDiskThatHangsUnderARunningClientIsNamedWithItsAge() {
        var group = group()
        let since = group.now - .seconds(6)
        group.deliver(.client(ClientID(1), .disk(hanging: 2, since: since)), to: 2)
        #expect(group.run(.seconds(1)) { $0.wait(.clientDisk, at: 2) != nil })
        #expect(group.wait(.clientDisk, at: 2) == Wait(kind: .clientDisk, since: since, nodes: [NodeID(2)]))
        #expect(group.wait(.suspended, at: 2) == nil, "its client goes on")
        #expect(group.status(2)?.clients.map(\.hangingRequests) == [2])
        #expect(group.reports[2]?.last == .diskHangs(volume: "data", requests: 2))
        // More of them are no news; the end is.
        group.deliver(.client(ClientID(1), .disk(hanging: 3, since: since)), to: 2)
        group.deliver(.client(ClientID(1), .disk(hanging: 0, since: .distantPast)), to: 2, after: .seconds(1))
        #expect(group.run(.seconds(2)) { $0.wait(.clientDisk, at: 2) == nil })
        #expect(group.reports[2]?.suffix(2) == [.diskHangs(volume: "data", requests: 2), .diskAnswers(volume: "data")])
    }

    /// Its machine lives, its agent answers, and its TCP connection does not come about.
    @Test func aClientWithoutASessionIsNamedWithTheServer() throws {
        var group = group()
        let tenure = try #require(group.status(2)?.adopted)
        group.deliver(.client(ClientID(1), .lostServer(tenure)), to: 2)
        _ = group.run(.seconds(1))
        #expect(group.wait(.notConnected, at: 2) == nil, "it is back at once, usually")
        let since = group.now - .seconds(1)
        _ = group.run(.seconds(2))
        let wait = try #require(group.wait(.notConnected, at: 2))
        #expect(wait.nodes == [NodeID(1)] && wait.since - since < .milliseconds(10))
        group.deliver(.client(ClientID(1), .connected(tenure)), to: 2)
        #expect(group.run(.seconds(1)) { $0.wait(.notConnected, at: 2) == nil })
    }

    @Test func aVoterThatIsDownIsAWarningWhileTheOthersAreEnough() {
        var group = group()
        group.crash(3)
        #expect(group.run(.seconds(10)) { $0.wait(.voterDown, at: 1)?.nodes == [NodeID(3)] })
        group.crash(2)
        #expect(group.run(.seconds(10)) { $0.wait(.noQuorum, at: 1) != nil })
        #expect(group.wait(.voterDown, at: 1) == nil)
    }

    @Test func whoeverLeavesLetsItsClientsSayGoodbye() {
        var group = group()
        group.command(.stop, at: 3)
        #expect(group.run(.seconds(10)) { $0.parted.contains(3) })
    }

    /// Before that they could not, and nobody would tell them again.
    @Test func itTellsThemWhenWhatIsAtTheDiskHasLanded() throws {
        var group = group()
        let tenure = try #require(group.status(3)?.adopted)
        group.writing = [3]
        group.command(.stop, at: 3)
        #expect(!group.run(.milliseconds(50)) { $0.parted.contains(3) })
        group.deliver(.client(ClientID(1), .suspended(tenure, writesInFlight: 0)), to: 3)
        #expect(group.run(.milliseconds(50)) { $0.parted.contains(3) })
    }

    @Test func timersThatOthersRelyOnHaveAnotherDigest() {
        #expect(Set([Timing.lan, .fast, .wan].map(\.digest)).count == 3)
        var other = Timing.lan
        other.probe = .milliseconds(700)
        #expect(other.digest == Timing.lan.digest, "nobody's safety rests on the period of a probe")
        other.promise = .milliseconds(2001)
        #expect(other.digest != Timing.lan.digest)
    }
}

extension AgentGroup {
    fileprivate func waits(_ node: UInt32) -> [Wait] { status(node)?.waits ?? [] }

    fileprivate func wait(_ kind: Wait.Kind, at node: UInt32) -> Wait? { waits(node).first { $0.kind == kind } }
}

extension Report {
    fileprivate var isOwnEviction: Bool {
        if case .evicted(_, NodeBoot(node: NodeID(3), boot: Boot(1)), _) = self { true } else { false }
    }
}

extension Wait.Kind {
    fileprivate var isHarmless: Bool { self == .singleVoter }
}

extension AgentSettings {
    fileprivate static let lone = AgentSettings(
        process: NodeBoot(node: NodeID(1), boot: Boot(1)), startBits: Bits128(high: 1, low: 2), machineID: .zero,
        kernelBootID: .zero, address: .ipv4(127, 0, 0, 1, port: 7411), peers: [], serves: true, hasVolumes: false,
        timing: .fast, maximumVoters: 5, seed: 1, livingClients: [], previousServerProvenDead: false)
}
