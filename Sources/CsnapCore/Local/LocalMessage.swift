/// What an agent says to its server process, over the socket pair it was born with (docs/data-plane.md).
package enum AgentToServer: Equatable, Sendable {
    /// Take the store for this tenure and listen. The gate stays closed until `activate`.
    case start(StartServer)
    /// New deadlines on CLOCK_BOOTTIME: past `soft` the gate closes, past `hard` the server exits.
    case lease(soft: Instant, hard: Instant)
    /// This boot may open sessions.
    case admit(NodeBoot)
    /// In one step: sessions closed, waiting writes cancelled, holds dropped.
    case strike(NodeBoot, EvictionCause)
    /// All clients are back: grant from now on.
    case activate(Tenure)
    /// Finish: close everything, exit 0.
    case stop
    /// A person had the agent read the key file again; connections from now on are sealed by what is in it.
    case keys
}

package struct StartServer: Equatable, Sendable {
    package var tenure: Tenure
    package var cluster: Bits128
    package var process: NodeBoot
    package var machineID: Bits128
    package var kernelBootID: Bits128
    package var startBits: Bits128
    /// A store that has not seen this epoch is stale and refused; and one of a volume that has a higher one.
    package var lastActiveEpoch: Epoch
    package var volumeEpochs: [VolumeEpoch]
    package var soft: Instant
    package var hard: Instant
    package var admitted: [NodeBoot]

    package init(
        tenure: Tenure, cluster: Bits128, process: NodeBoot, machineID: Bits128, kernelBootID: Bits128,
        startBits: Bits128, lastActiveEpoch: Epoch, volumeEpochs: [VolumeEpoch] = [], soft: Instant, hard: Instant,
        admitted: [NodeBoot]
    ) {
        self.tenure = tenure
        self.cluster = cluster
        self.process = process
        self.machineID = machineID
        self.kernelBootID = kernelBootID
        self.startBits = startBits
        self.lastActiveEpoch = lastActiveEpoch
        self.volumeEpochs = volumeEpochs
        self.soft = soft
        self.hard = hard
        self.admitted = admitted
    }

    /// The last epoch that the store of that volume must have seen.
    package func lastActive(of volume: String) -> Epoch {
        let digest = VolumeDigest(name: volume)
        return max(lastActiveEpoch, volumeEpochs.first { $0.volume == digest }?.epoch ?? .none)
    }
}

package enum ServerToAgent: Equatable, Sendable {
    /// Loaded and inert: a START will be obeyed at once.
    case inert
    /// The stores of these volumes are taken; sessions are accepted at this TCP port. Nil: more volumes than a claim
    /// names.
    case started(Tenure, port: UInt16, volumes: [VolumeDigest]? = nil)
    /// The number of open sessions of this boot changed.
    case sessions(NodeBoot, count: UInt32)
    /// STRIKE is carried out.
    case struck(NodeBoot)
    /// What people should know of a store that goes on.
    case store(StoreNotice)
    /// The store of `volume` refused or failed (empty: something that is no volume's); the process exits after saying
    /// so.
    case failed(ServerFailure, volume: String, epochSeen: Epoch)
}

/// What people should know of a volume's store while it serves.
package struct StoreNotice: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        /// It crossed a mark (80, 95 %), up or down; `isHolding`: writes wait for room.
        case space(percent: UInt8, isHolding: Bool)
        /// A snapshot was given up for room, as the configuration says.
        case dropped(snapshot: String)
    }

    package var volume: String
    package var kind: Kind

    package init(volume: String, kind: Kind) {
        self.volume = volume
        self.kind = kind
    }
}

package enum ServerFailure: UInt8, Sendable {
    case storeUnreachable = 0
    case storeForeign = 1
    case storeStale = 2
    /// A slot shows a higher tenure, or this epoch's slot is not settled: claim an epoch above `epochSeen`.
    case storeTenure = 3
    case storeIO = 4
    case storeFormat = 5
    case listen = 6
    case hardDeadline = 7
    /// Of a format that this csnap does not know.
    case storeVersion = 8
    /// The device is smaller than the store on it.
    case storeTruncated = 9
    /// A block that the store rests on is not what was written.
    case storeDamaged = 10
    /// A check, a repair or a formatting on this node has it locked.
    case storeInUse = 11
    /// The origin is smaller than the store knows it.
    case originTruncated = 12
    /// Too much of a store is kept away because dead servers may still write there.
    case storeUnsettled = 13
    /// An origin cannot be read here, so nothing can be saved before it is overwritten.
    case originIO = 14

    /// Trying again does not help: another node may serve at once.
    package var isLasting: Bool {
        switch self {
        case .storeForeign, .storeStale, .storeFormat, .storeVersion, .storeTruncated, .storeDamaged, .originTruncated,
            .originIO:
            true
        case .storeUnreachable, .storeTenure, .storeIO, .listen, .hardDeadline, .storeInUse, .storeUnsettled: false
        }
    }
}

/// What an agent says to a client process, over the agent's data socket.
package enum AgentToClient: Equatable, Sendable {
    /// Who we are; the first message. The client uses it in its HELLO.
    case identity(NodeBoot)
    /// Close the gate, drop connections of lower tenures, adopt this one, answer `suspended`.
    case suspend(Tenure)
    /// Where the server of this tenure is; connect and answer `connected`.
    case server(Tenure, Address)
    /// Requests may go to the disk while the lease lasts. Only this opens the gate.
    case resume(Tenure)
    /// The client lease, as an instant of CLOCK_BOOTTIME.
    case lease(Tenure, until: Instant)
    /// This node leaves, or its agent stops: whoever was suspended in this tenure with nothing at the disk says goodbye
    /// to the server, so that no snapshot waits for its writes.
    case part(Tenure)
    /// The volume has other disks for the agent than for this client: it may not serve. Before anything else is said.
    case otherDisks
}

package enum ClientToAgent: Equatable, Sendable {
    /// `disks`: a digest of what the client takes for the volume's origin and store.
    case hello(client: Bits128, volume: String, processID: UInt32, disks: UInt64 = 0)
    /// The gate is closed in this tenure; sent again when the writes in flight reach 0.
    case suspended(Tenure, writesInFlight: UInt32)
    case connected(Tenure)
    /// The server of this tenure has answered that it does not serve the volume: its requests wait, nobody for them.
    case notServed(Tenure)
    case lostServer(Tenure)
    /// So many requests have been at the origin's disk for too long, the oldest since that instant; 0: none any more.
    case disk(hanging: UInt32, since: Instant)
    case bye
}
