import CsnapCore

/// One thing that happens at one true time. A `life` numbers a process: what was meant for a dead one is dropped.
enum Occurrence {
    case packet(to: Int, Packet)
    case wake(node: Int, life: Int)
    case written(node: Int, life: Int)
    case agentInput(node: Int, life: Int, Event)
    case serverInput(node: Int, life: Int, ServerInput)
    case serverDies(node: Int, life: Int)
    case serverReaped(node: Int, agentLife: Int)
    case clientInput(client: Int, life: Int, ClientInput)
    case clientConnects(client: Int, life: Int)
    case startAgent(node: Int)
    case startClient(client: Int)
    case resume(Target, life: Int)
    case stream(from: Int, to: Int, Stream)
    case heal(Cut)
    case switchOn(node: Int)
    case restartStopped(node: Int)
    case found(node: Int)
    case crash(Target)
    case cut(Cut, length: Int64)
    case inject
    case injectMore
    case endServer
    case work(Int)
}

/// A process, or a whole machine, as faults name them.
enum Target: Equatable {
    case agent(Int)
    case server(Int)
    case client(Int)
}

/// A datagram in flight.
struct Packet {
    var from: Int
    var sentAt: TrueTime
    var sender: Sender
    var messages: [Message]
}

/// What travels on a TCP connection between client and server: delayed by a bad link, never lost.
enum Stream {
    case toServer(node: Int, life: Int?, ServerInput)
    case toClient(client: Int, life: Int, ClientInput)
}

/// A set of directed links that is cut, and how.
struct Cut {
    var links: [(from: Int, to: Int)]
    /// Packets wait in the link and arrive when it heals.
    var jams: Bool
}
