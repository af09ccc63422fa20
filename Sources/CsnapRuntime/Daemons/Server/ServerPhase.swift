import CsnapCore
import CsnapSession
import CsnapStore

/// Where a server is in its one tenure.
enum ServerPhase {
    /// Loaded; START is awaited.
    case inert
    case taking(TakingServer)
    case listening(ListeningServer)
    case serving(SessionTable)

    /// What the agent says about admissions; kept until there is a table.
    enum Change {
        case admit(NodeBoot)
        case strike(NodeBoot, isFenced: Bool)
        case activate(Tenure)

        func apply(to table: inout SessionTable) -> [SessionAction] {
            switch self {
            case .admit(let process): table.admit(process)
            case .strike(let process, let isFenced): table.strike(process, isFenced: isFenced)
            case .activate(let tenure): table.activate(tenure, at: BootClock.now())
            }
        }
    }

    /// Nil while inert.
    var tenure: Tenure? {
        switch self {
        case .inert: nil
        case .taking(let taking): taking.start.tenure
        case .listening(let listening): listening.start.tenure
        case .serving(let table): table.tenure
        }
    }

    /// Changes kept: an admission and a strike of each member.
    private static let keptLimit = 2 * Limits.members

    /// Keeps a change for the table that is to come; false if there are too many, or nothing keeps it.
    mutating func keep(_ change: Change) -> Bool {
        switch self {
        case .inert, .serving: return false
        case .taking(var taking):
            taking.kept.append(change)
            self = .taking(taking)
            return taking.kept.count <= Self.keptLimit
        case .listening(var listening):
            listening.kept.append(change)
            self = .listening(listening)
            return listening.kept.count <= Self.keptLimit
        }
    }
}

/// The stores are being taken, each by its own thread.
struct TakingServer {
    let start: StartServer
    /// Whoever is not taken by then hangs.
    var deadline: Instant
    private(set) var volumes: [SessionVolume] = []
    /// Once all are taken.
    var resolution: PreparedResolution?
    var kept: [ServerPhase.Change] = []

    init(start: StartServer, deadline: Instant) {
        self.start = start
        self.deadline = deadline
    }

    mutating func taken(_ volume: SessionVolume) { volumes.append(volume) }

    func volume(_ name: String) -> SessionVolume? { volumes.first { $0.name == name } }
}

/// All stores are taken; the port may be busy for a moment.
struct ListeningServer {
    let start: StartServer
    let volumes: [SessionVolume]
    var since: Instant?
    var kept: [ServerPhase.Change] = []

    init(start: StartServer, volumes: [SessionVolume], kept: [ServerPhase.Change] = []) {
        self.start = start
        self.volumes = volumes
        self.kept = kept
    }
}
