/// Numbers a connection of a local client process; given by the shell, never reused within one life of an agent.
package struct ClientID: Equatable, Comparable, Sendable {
    package var value: UInt32

    package init(_ value: UInt32) { self.value = value }

    package static func < (left: ClientID, right: ClientID) -> Bool { left.value < right.value }
}

#if !hasFeature(Embedded)
    extension ClientID: Hashable {}
#endif

/// What the agent is told at its start and cannot change by itself.
package struct AgentSettings: Equatable, Sendable {
    package var process: NodeBoot
    package var startBits: Bits128
    package var machineID: Bits128
    package var kernelBootID: Bits128
    /// Where other agents reach us.
    package var address: Address
    /// Where to look for the group.
    package var peers: [Address]
    /// May run the server: not `serve: false`, and the server process found its stores.
    package var serves: Bool
    package var hasVolumes: Bool
    package var timing: Timing
    package var maximumVoters: Int
    /// From the operating system's random generator.
    package var seed: UInt64
    /// Volumes whose client processes were found alive, by their locks, at our start; until each is suspended, or its
    /// lease has surely passed, this boot sends no Join, Ready or ClientLease (§6).
    package var livingClients: [String]
    /// `server.lock` was obtained and holds the start bits of the boot that wrote the state file, on this very
    /// machine and kernel boot: no server of that boot can be alive, so its promise may be released (§5.8).
    package var previousServerProvenDead: Bool

    package init(
        process: NodeBoot, startBits: Bits128, machineID: Bits128, kernelBootID: Bits128, address: Address,
        peers: [Address], serves: Bool, hasVolumes: Bool, timing: Timing, maximumVoters: Int, seed: UInt64,
        livingClients: [String], previousServerProvenDead: Bool
    ) {
        self.process = process
        self.startBits = startBits
        self.machineID = machineID
        self.kernelBootID = kernelBootID
        self.address = address
        self.peers = peers
        self.serves = serves
        self.hasVolumes = hasVolumes
        self.timing = timing
        self.maximumVoters = maximumVoters
        self.seed = seed
        self.livingClients = livingClients
        self.previousServerProvenDead = previousServerProvenDead
    }
}

/// Who sent a datagram, as its authenticated header says.
package struct Sender: Equatable, Sendable {
    package var process: NodeBoot
    package var startBits: Bits128
    /// Zero: not pinned yet.
    package var cluster: Bits128
    /// Where the datagram came from; answers go to the member's advertised address.
    package var source: Address

    package init(process: NodeBoot, startBits: Bits128, cluster: Bits128, source: Address) {
        self.process = process
        self.startBits = startBits
        self.cluster = cluster
        self.source = source
    }
}

/// One input of the agent's step.
package enum Event: Equatable, Sendable {
    /// The messages of one authenticated datagram.
    case packet(Sender, [Message])
    /// Time has come to `nextWake`, or passed it.
    case wake
    /// The state of that token, and so all before it, is durable.
    case persisted(token: UInt64)
    case persistFailed(token: UInt64)
    case server(ServerToAgent)
    /// The server's whole process group is proven empty.
    case serverGone
    case client(ClientID, ClientToAgent)
    /// The connection broke; `proven`: the process is gone and its lock is free.
    case clientGone(ClientID)
    case command(id: Bits128, Command)
    /// A reload named other addresses to look for the group.
    case peers([Address])
}

/// What a person on this node asks for.
package enum Command: Equatable, Sendable {
    /// Make a group with that uuid, with this node as its only voter.
    case found(cluster: Bits128)
    /// Leave the group and exit.
    case leave
    /// Hand over if serving, then exit; this node stays a member that is expected back.
    case stop
    case transfer(NodeID)
    case strike(NodeID, fenced: Bool)
    case disable
    case enable
    case voters([NodeID])
    case addVoters([NodeID])
    case replaceVoter(NodeID, by: NodeID)
}

/// One output of the agent's step, to be carried out in order.
package enum Action: Equatable, Sendable {
    /// At most one datagram's worth of messages to one peer.
    case send(to: Address, [Message])
    /// Write, fsync, rename, fsync the directory, then answer `persisted(token)`. Nothing waits for it but what the
    /// agent itself holds back.
    case persist(StoredState, token: UInt64)
    case toServer(AgentToServer)
    /// SIGKILL to the process group; answer `serverGone` when it is empty. A new inert server is started then.
    case killServer
    case toClient(ClientID, AgentToClient)
    case report(Report)
    case reply(command: Bits128, OperatorOutcome)
    /// The cluster uuid is known from now on: stamp it on packets, refuse others.
    case pin(cluster: Bits128)
    case exit(ExitReason)
}
