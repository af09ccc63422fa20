import CShims
package import CsnapRuntime
import Glibc

/// A whole group of real processes on loopback: directory, addresses, network, processes.
package final class SandboxGroup: Sendable {
    package let options: SandboxOptions
    package let directory: SandboxDirectory
    package let addresses: SandboxAddresses
    package let faults = LinkFaults()
    package let relay: Relay
    /// By number, from 1.
    package let nodes: [SandboxNode]
    private let supervisor: Supervisor

    package static let originSize = UInt64(SandboxAddresses.maximumNodes) * NodeLoad.region
    /// Sparse, and large enough for what the loads overwrite in a scenario with snapshots.
    package static let storeSize: UInt64 = 1 << 30
    /// The volume that every group has; the loads write to it.
    package static let volume = "data"
    package let volumes: [String]

    /// Makes everything a group needs and starts no node yet.
    package init(
        _ options: SandboxOptions, witnesses: [Int] = [], storeSize: UInt64 = SandboxGroup.storeSize,
        volumes: [String] = [SandboxGroup.volume]
    ) throws {
        self.options = options
        self.volumes = volumes
        for binary in ["csnap-agent", "csnap-server", "csnap-client"] {
            let path = options.binaries + "/" + binary
            guard access(path, X_OK) == 0 else { throw SandboxError.missingBinary(path) }
        }
        _ = csnap_sandbox_adopt_orphans()
        addresses = try SandboxAddresses()
        directory = try SandboxDirectory()
        do {
            for volume in volumes {
                try SandboxDirectory.makeSparse(directory.origin(of: volume), size: SandboxGroup.originSize)
                _ = try VolumeFormatter.create(
                    path: directory.store(of: volume), origin: directory.origin(of: volume), storeSize: storeSize)
            }
            try SandboxDirectory.write(KeyText.generate(), to: directory.key, mode: 0o600)
            for node in 1...options.nodes {
                try directory.prepare(
                    node, of: options, addresses: addresses, serves: !witnesses.contains(node), volumes: volumes)
            }
            relay = try Relay(addresses: addresses, nodes: options.nodes, faults: faults)
        } catch {
            directory.remove()
            throw error
        }
        nodes = (1...options.nodes).map { SandboxNode(number: $0) }
        supervisor = Supervisor(nodes: nodes, volumes: volumes, directory: directory, binaries: options.binaries)
    }

    package func node(_ number: Int) -> SandboxNode { nodes[number - 1] }

    /// Ends every process; the files stay to be looked at.
    package func stopProcesses() { supervisor.stop() }

    /// Ends every process, then the network, then the files.
    package func end() {
        supervisor.stop()
        relay.stop()
        // Orphans are ours (a server whose agent was killed): none may be left over.
        while waitpid(-1, nil, WNOHANG) > 0 {}
        if options.keep { return }
        directory.remove()
    }

    // MARK: Processes

    /// Starts a node's agent and client, waits until the agent answers.
    package func start(_ number: Int) throws {
        want(number)
        try waitUntil("the agent of node \(number) answers (log: \(directory.log(number, "agent")))", seconds: 20) {
            if let failure = supervisor.lastFailure { throw failure }
            if node(number).restarts > 20 {
                throw SandboxError.scenario(
                    "the agent of node \(number) ends again and again, last with \(node(number).lastExit ?? -1); "
                        + "see \(directory.log(number, "agent"))")
            }
            return status(number) != nil
        }
    }

    /// Lets a node's processes be started, without waiting for them.
    package func want(_ number: Int) {
        faults.rejoin(number)
        node(number).change { state in
            state.wantsAgent = true
            state.wantsClient = true
            state.agentNotBefore = 0
            state.clientNotBefore = [:]
        }
    }

    /// The machine dies: from one moment to the next nothing of it is heard, no connection is closed, and what lay in
    /// /run is lost, so that its next boot cannot prove by a lock that its old server is dead.
    package func kill(_ number: Int) {
        faults.isolate(number, from: 1...options.nodes)
        node(number).end()
        directory.forgetRuntime(number)
    }

    // MARK: Control

    /// What the agent of a node says of itself; nil if it does not answer within a second.
    package func status(_ number: Int, seconds: Double = 1) -> StatusReport? {
        let end = boottime() + Int64(seconds * 1e9)
        return try? AgentCaller(path: directory.controlSocket(number), cancelled: { boottime() > end }).status()
    }

    package func command(_ number: Int, _ name: String, _ parameters: [String: JSONValue] = [:]) throws {
        let end = boottime() + Int64(options.patience * 1e9)
        try AgentCaller(path: directory.controlSocket(number), cancelled: { boottime() > end })
            .command(name, parameters)
    }
}
