package import CsnapCore
package import CsnapRuntime

/// What a scenario plays on: the group, the loads, the event streams, and the steps it is made of.
package final class Stage {
    package let options: SandboxOptions
    package let group: SandboxGroup
    package private(set) var loads: [Int: NodeLoad] = [:]
    /// Loads of nodes that lost power; their acknowledged blocks are still verified.
    package private(set) var retired: [NodeLoad] = []
    package private(set) var followers: [Int: EventFollower] = [:]
    package private(set) var marks: [(at: Int64, text: String)] = []
    /// What was expected and did not come true.
    package private(set) var failures: [String] = []
    /// Nodes that were killed: nothing is asked of them any more.
    package private(set) var lost: Set<Int> = []
    /// Nodes that were stopped or cut off: their pause is not counted, but no error and no lost block is allowed.
    package private(set) var impaired: Set<Int> = []
    package private(set) var joined: [Int] = []
    /// Loads whose image is known at every instant, by node.
    package internal(set) var cyclic: [Int: CyclicLoad] = [:]
    package internal(set) var branch: WrittenBranch?
    package internal(set) var tally = SnapshotTally()
    package private(set) var faultAt: Int64?
    package private(set) var before: ServiceView?
    /// Hears what is waited for.
    private let progress: (String) -> Void

    package init(group: SandboxGroup, progress: @escaping (String) -> Void) {
        self.group = group
        options = group.options
        self.progress = progress
    }

    package var survivors: [Int] { joined.filter { !lost.contains($0) && !impaired.contains($0) } }
    /// The survivors, and those that were stopped or cut off for a time.
    package var living: [Int] { joined.filter { !lost.contains($0) } }

    // MARK: Beginning

    /// Starts one node and makes it found the group; returns when it serves.
    package func found(_ node: Int) throws {
        progress("node \(node) founds the group")
        try start(node)
        try group.command(node, "Found")
        mark("node \(node) founds the group")
        try wait("node \(node) serves alone") { self.view(of: node)?.isActive == true }
    }

    /// Starts more nodes; returns when their clients may go on.
    package func join(_ nodes: [Int]) throws {
        for node in nodes { try start(node) }
        for node in nodes {
            try wait("the clients of node \(node) are admitted") {
                self.view(of: node).map { $0.isActive && $0.resumed } == true
            }
        }
    }

    private func start(_ node: Int) throws {
        try group.start(node)
        lost.remove(node)
        if !joined.contains(node) { joined.append(node) }
        if followers[node] == nil {
            followers[node] = EventFollower(socket: group.directory.controlSocket(node))
        }
    }

    /// Waits until the voters are as many as the policy allows: 1, 3 or 5.
    package func waitForVoters(_ count: Int? = nil) throws {
        let members = joined.count
        let wanted = count ?? (members >= 5 ? 5 : members >= 3 ? 3 : 1)
        try wait("the voters are \(wanted), known to all") {
            self.survivors.allSatisfy { node in
                guard let status = self.group.status(node) else { return false }
                return status.voters.count == wanted && status.pendingVoters == nil && status.clientsResumed
            }
        }
        mark("group of \(members), \(wanted) voters")
    }

    /// Starts the verified load of every joined node that has none; returns when each wrote its first MiB.
    package func startLoads() throws {
        for node in joined where loads[node] == nil {
            loads[node] = NodeLoad(
                node: node, generation: retired.count { $0.node == node },
                socket: group.directory.volumeSocket(node), periodMilliseconds: 40)
        }
        for node in survivors {
            try wait("node \(node) fills its region") {
                if self.loads[node]?.hasEnded == true {
                    throw SandboxError.scenario(self.loads[node]?.snapshot.errors.first ?? "load ended")
                }
                return self.loads[node]?.isFilled == true
            }
        }
        mark("\(survivors.count) clients, verified writes")
        settle(seconds: 0.5)
    }

    package func stopLoads() {
        for load in loads.values { load.stop() }
    }

    // MARK: Faults

    /// The moment from which everything is counted.
    package func fault(_ text: String, _ body: () throws -> Void) throws {
        before = try currentView()
        if options.lossPercent > 0 { group.faults.setLoss(percent: options.lossPercent) }
        faultAt = boottime()
        mark(text)
        try body()
    }

    /// Something more that happens after the fault.
    package func also(_ text: String, _ body: () throws -> Void) rethrows {
        mark(text)
        try body()
    }

    /// The machine dies.
    package func kill(_ node: Int) {
        lost.insert(node)
        group.kill(node)
    }

    /// The node is stopped or cut off.
    package func impair(_ node: Int) { impaired.insert(node) }

    /// A node whose agent was told to leave: neither killed nor judged.
    package func forget(_ node: Int) {
        lost.insert(node)
        loads[node]?.stop()
    }

    /// Ends a load for good: its node's device died under it, as did all it knew. What it had acknowledged is kept.
    package func retireLoad(_ node: Int) {
        guard let load = loads.removeValue(forKey: node) else { return }
        load.stop()
        retired.append(load)
    }

    // MARK: Waiting

    /// Waits for a condition; says for what after one second, and gives up after the profile's patience.
    package func wait(_ what: String, _ condition: @escaping () throws -> Bool) throws {
        let begun = boottime()
        var said = false
        try waitUntil(what, seconds: options.patience) {
            if !said, boottime() - begun > 1_000_000_000 {
                said = true
                progress("waiting until \(what)")
            }
            return try condition()
        }
    }

    package func settle(seconds: Double) {
        let end = boottime() + Int64(seconds * 1e9)
        while boottime() < end, !Interruption.isRequested { pause(milliseconds: 10) }
    }

    /// Waits until every survivor's clients completed a request in a tenure above the one before the fault.
    package func waitForNewTenure() throws {
        guard let before else { return }
        try waitForTenure(above: before.tenure)
    }

    package func waitForTenure(above tenure: Tenure) throws {
        try wait("every surviving client writes in a tenure above \(tenure.text)") {
            self.survivors.allSatisfy { self.firstCompletion(of: $0, above: tenure) != nil }
        }
    }

    /// Waits until every survivor completed a request begun after now.
    package func waitForWrites() throws {
        let now = boottime()
        try wait("every surviving client writes") {
            self.survivors.allSatisfy { node in
                self.loads[node]?.snapshot.requests.contains { $0.issued >= now && $0.completed != nil } ?? true
            }
        }
    }

    /// Waits until a node that was stopped or cut off is served again like any other.
    package func waitForReturn(of node: Int) throws {
        try wait("node \(node) is back in the group, its clients resumed") {
            self.view(of: node).map { $0.isActive && $0.resumed } == true
        }
        let now = boottime()
        try wait("node \(node) writes again") {
            self.loads[node]?.snapshot.requests.contains { ($0.completed ?? 0) >= now } ?? true
        }
        mark("node \(node) is back")
    }

    /// When a node first completed a request after its clients were resumed in a tenure above that one.
    package func firstCompletion(of node: Int, above tenure: Tenure) -> Int64? {
        let resumed = followers[node]?.snapshot.first { event in
            event.kind == "clientsResumed" && (faultAt.map { event.at >= $0 } ?? true)
                && Tenure(epoch: Epoch(event.epoch ?? 0), round: Round(event.round ?? 0)) > tenure
        }
        guard let resumed else { return nil }
        guard let load = loads[node] else { return resumed.at }
        return load.snapshot.firstCompletion(after: resumed.at)
    }

    // MARK: Looking

    package func view(of node: Int) -> ServiceView? { group.status(node).map { ServiceView($0) } }

    /// What the survivors agree on: the highest tenure any of them tells.
    package func currentView() throws -> ServiceView {
        let views = survivors.compactMap { view(of: $0) }
        guard let best = views.max(by: { $0.tenure < $1.tenure }) else {
            throw SandboxError.scenario("no agent answers")
        }
        return best
    }

    package func expect(_ holds: Bool, _ what: @autoclosure () -> String) {
        if !holds { failures.append(what()) }
    }

    package func mark(_ text: String) { marks.append((boottime(), text)) }

    package func fail(_ what: String) { failures.append(what) }

    package func stopFollowers() {
        for follower in followers.values { follower.stop() }
    }
}

/// Who serves, as one agent tells it.
package struct ServiceView: Equatable, Sendable {
    package var server: Int?
    package var tenure: Tenure
    package var isActive: Bool
    package var resumed: Bool

    package init(_ status: StatusReport) {
        server = status.server.map(Int.init)
        tenure = Tenure(epoch: Epoch(status.epoch), round: Round(status.round))
        isActive = status.phase == "active"
        resumed = status.clientsResumed && status.clients.allSatisfy { !$0.suspended }
    }
}
