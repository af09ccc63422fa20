import Glibc
import Synchronization

/// The network of a sandbox: takes what is sent to the advertised addresses and hands it to the real ones, unless a
/// fault says otherwise. One thread; it sees only addresses, never what a packet says.
package final class Relay: Sendable {
    package let faults: LinkFaults
    private let stopping = Atomic<Bool>(false)
    private let strangers = Atomic<Int>(0)
    private let amounts: Mutex<[Amount]>
    private let thread: Mutex<ThreadedTask?>

    /// What one node's agent has sent.
    package struct Amount: Equatable, Sendable {
        package var packets: UInt64 = 0
        /// Payload of UDP.
        package var bytes: UInt64 = 0
    }

    /// Binds the advertised addresses of nodes 1 to `nodes` and starts.
    package init(addresses: SandboxAddresses, nodes: Int, faults: LinkFaults) throws {
        self.faults = faults
        thread = Mutex(nil)
        amounts = Mutex(Array(repeating: Amount(), count: nodes))
        let loop = try RelayLoop(addresses: addresses, nodes: nodes, faults: faults)
        let box = Mutex<RelayLoop?>(loop)
        let task = ThreadedTask { [weak self] in
            guard var loop = box.withLock({ loop in loop.take() }) else { return }
            while let relay = self, !relay.stopping.load(ordering: .relaxed) {
                loop.turn()
                relay.strangers.store(loop.strangers, ordering: .relaxed)
                relay.amounts.withLock { $0 = loop.sent }
            }
            loop.close()
        }
        thread.withLock { $0 = task }
    }

    /// Packets and connections whose source is no node's address.
    package var strangersSeen: Int { strangers.load(ordering: .relaxed) }

    /// By node, from 1: what its agent has sent to others, before any loss.
    package var sent: [Amount] { amounts.withLock { $0 } }

    package func stop() {
        stopping.store(true, ordering: .relaxed)
        thread.withLock { task in task.take() }?.join()
    }
}

/// The state of the relay's thread.
struct RelayLoop: Sendable {
    private let addresses: SandboxAddresses
    private let faults: LinkFaults
    /// By node, from 1.
    private var datagrams: [Int32] = []
    private var listeners: [Int32] = []
    private var held: [HeldPacket] = []
    private var splices: [TCPSplice] = []
    private var buffer = [UInt8](repeating: 0, count: TCPSplice.chunk)
    private var random = SystemRandomNumberGenerator()
    private(set) var strangers = 0
    private(set) var sent: [Relay.Amount] = []

    private static let maximumHeld = 10_000
    private static let maximumSplices = 1024

    private struct HeldPacket {
        var due: Int64
        var from: Int
        var to: Int
        var bytes: [UInt8]
    }

    init(addresses: SandboxAddresses, nodes: Int, faults: LinkFaults) throws {
        self.addresses = addresses
        self.faults = faults
        sent = Array(repeating: Relay.Amount(), count: nodes)
        do {
            for node in 1...nodes {
                datagrams.append(
                    try Socket.datagram(at: addresses.advertise(node, port: SandboxAddresses.port)))
                listeners.append(
                    try Socket.listening(at: addresses.advertise(node, port: SandboxAddresses.servicePort)))
            }
        } catch {
            close()
            throw error
        }
    }

    func close() {
        for descriptor in datagrams + listeners { Glibc.close(descriptor) }
        for splice in splices { splice.finish() }
    }

    /// Waits at most 20 ms, then moves whatever can be moved.
    mutating func turn() {
        var descriptors: [pollfd] = (datagrams + listeners).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        let now = boottime()
        for splice in splices { descriptors += interest(of: splice, at: now) }
        let waits = held.first.map { Int32(clamping: max(($0.due - now) / 1_000_000, 0)) } ?? 20
        poll(&descriptors, nfds_t(descriptors.count), min(waits, 20))
        for index in datagrams.indices where descriptors[index].revents != 0 { receivePackets(to: index + 1) }
        sendHeldPackets()
        for index in listeners.indices where descriptors[datagrams.count + index].revents != 0 {
            acceptConnections(to: index + 1)
        }
        moveStreams()
    }

    // MARK: UDP

    private mutating func receivePackets(to node: Int) {
        for _ in 0..<64 {
            guard let (count, source) = Socket.receive(datagrams[node - 1], into: &buffer) else { return }
            guard let from = addresses.node(at: source), from <= datagrams.count else {
                strangers += 1
                continue
            }
            sent[from - 1].packets += 1
            sent[from - 1].bytes += UInt64(count)
            guard let delay = faults.fate(from: from, to: node, random: &random) else { continue }
            let bytes = Array(buffer[0..<count])
            if delay == 0 {
                deliver(bytes, from: from, to: node)
            } else if held.count < RelayLoop.maximumHeld {
                held.append(HeldPacket(due: boottime() + delay, from: from, to: node, bytes: bytes))
            }
        }
    }

    private mutating func sendHeldPackets() {
        let now = boottime()
        let due = held.filter { $0.due <= now }
        guard !due.isEmpty else { return }
        held.removeAll { $0.due <= now }
        for packet in due where !faults.isCut(from: packet.from, to: packet.to) {
            deliver(packet.bytes, from: packet.from, to: packet.to)
        }
    }

    /// From the sender's advertised address, so that the receiver sees what it would see without a relay.
    private func deliver(_ bytes: [UInt8], from: Int, to: Int) {
        Socket.send(datagrams[from - 1], bytes, to: addresses.listen(to, port: SandboxAddresses.port))
    }

    // MARK: TCP

    private mutating func acceptConnections(to node: Int) {
        while let (descriptor, peer) = Socket.accept(listeners[node - 1]) {
            let from = addresses.node(at: peer) ?? 0
            if from == 0 { strangers += 1 }
            guard splices.count < RelayLoop.maximumSplices else {
                Socket.reset(descriptor)
                continue
            }
            splices.append(TCPSplice(from: from, to: node, client: descriptor))
        }
    }

    private func mayMove(_ from: Int, _ to: Int, _ direction: TCPSplice.Direction, at now: Int64) -> Bool {
        !faults.isCut(from: from, to: to) && direction.heldUntil <= now
    }

    /// What to wait for; a cut direction waits for nothing, not even for its end.
    private func interest(of splice: TCPSplice, at now: Int64) -> [pollfd] {
        var client: Int16 = 0
        var server: Int16 = 0
        if mayMove(splice.from, splice.to, splice.forward, at: now) {
            if splice.server == nil { return [] }
            if !splice.connected {
                server |= Int16(POLLOUT)
            } else if splice.forward.bytes.isEmpty {
                client |= splice.forward.ended ? 0 : Int16(POLLIN)
            } else {
                server |= Int16(POLLOUT)
            }
        }
        if splice.connected, mayMove(splice.to, splice.from, splice.backward, at: now) {
            if splice.backward.bytes.isEmpty {
                server |= splice.backward.ended ? 0 : Int16(POLLIN)
            } else {
                client |= Int16(POLLOUT)
            }
        }
        var wanted: [pollfd] = []
        if client != 0 { wanted.append(pollfd(fd: splice.client, events: client, revents: 0)) }
        if server != 0, let descriptor = splice.server {
            wanted.append(pollfd(fd: descriptor, events: server, revents: 0))
        }
        return wanted
    }

    private mutating func moveStreams() {
        let now = boottime()
        var kept: [TCPSplice] = []
        for var splice in splices {
            if move(&splice, at: now) { kept.append(splice) }
        }
        splices = kept
    }

    /// One pass over a connection; false when it is over.
    private mutating func move(_ splice: inout TCPSplice, at now: Int64) -> Bool {
        guard let server = connect(&splice, at: now) else { return splice.server != nil || splice.client >= 0 }
        guard splice.connected else { return true }
        var alive = true
        if mayMove(splice.from, splice.to, splice.forward, at: now) {
            alive = pump(splice.client, server, &splice.forward, splice.from, splice.to, at: now) && alive
        }
        if alive, mayMove(splice.to, splice.from, splice.backward, at: now) {
            alive = pump(server, splice.client, &splice.backward, splice.to, splice.from, at: now)
        }
        guard alive else {
            splice.reset()
            return false
        }
        guard splice.forward.closed, splice.backward.closed else { return true }
        splice.finish()
        return false
    }

    private mutating func pump(
        _ source: Int32, _ target: Int32, _ direction: inout TCPSplice.Direction, _ from: Int, _ to: Int, at now: Int64
    ) -> Bool {
        let wasEmpty = direction.bytes.isEmpty
        guard TCPSplice.read(source, into: &direction, buffer: &buffer) else { return false }
        if wasEmpty, !direction.bytes.isEmpty {
            let hold = faults.hold(from: from, to: to, random: &random)
            if hold > 0 {
                direction.heldUntil = now + hold
                return true
            }
        }
        return TCPSplice.write(&direction, to: target)
    }

    /// The connection onwards, made when the way there is free; nil while there is none. A refused one resets the
    /// client and marks the splice as over (client -1).
    private func connect(_ splice: inout TCPSplice, at now: Int64) -> Int32? {
        if let server = splice.server {
            guard !splice.connected else { return server }
            var descriptor = pollfd(fd: server, events: Int16(POLLOUT), revents: 0)
            guard poll(&descriptor, 1, 0) == 1 else { return server }
            if Socket.failed(server) { return giveUp(&splice) }
            splice.connected = true
            return server
        }
        let cut = faults.isCut(from: splice.from, to: splice.to) || faults.isCut(from: splice.to, to: splice.from)
        guard !cut else { return nil }
        let source: SocketAddress =
            splice.from == 0
            ? SocketAddress(127, 0, 0, 1, port: 0) : addresses.advertise(splice.from, port: 0)
        let target = addresses.listen(splice.to, port: SandboxAddresses.servicePort)
        guard let server = Socket.connecting(from: source, to: target) else { return giveUp(&splice) }
        splice.server = server
        return server
    }

    private func giveUp(_ splice: inout TCPSplice) -> Int32? {
        splice.reset()
        splice.server = nil
        splice.client = -1
        return nil
    }
}
