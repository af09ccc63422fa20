package import CsnapCore
package import NIOCore
import NIOPosix

/// Datagrams of messages: packs and seals what goes out, opens and filters what comes in (docs/protocol.md §3).
///
/// All but `bind` is to be called on the event loop given to it.
package final class UDPTransport: Sendable {
    package let eventLoop: any EventLoop
    private let channel: any Channel
    private let state: NIOLoopBoundBox<State>

    /// Opens the socket at `listen`; `cluster` is the uuid of the state file, zero if there is none.
    /// Fails with `UDPSocketError`.
    package static func bind(
        listen: Address, peers: [Address] = [], identity: TransportIdentity, cluster: Bits128,
        on eventLoop: any EventLoop
    ) -> EventLoopFuture<UDPTransport> {
        let socket: UDPSocket
        let descriptor: Int32
        do throws(UDPSocketError) {
            socket = try UDPSocket(binding: listen)
            descriptor = try socket.duplicate()
        } catch {
            return eventLoop.makeFailedFuture(error)
        }
        let state = NIOLoopBoundBox.makeBoxSendingValue(
            State(socket: socket, peers: peers, identity: identity, cluster: cluster), as: State.self,
            eventLoop: eventLoop)
        return DatagramBootstrap(group: eventLoop)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: receiveSize * batch))
            .channelOption(.datagramVectorReadMessageCount, value: batch)
            // One read for each time the socket is readable: a second would find it empty, at rest always.
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(InboundDatagrams(state: state))
                }
            }
            .withBoundSocket(descriptor)
            .map { UDPTransport(eventLoop: eventLoop, channel: $0, state: state) }
    }

    /// Datagrams read in one system call, and room for each: more than is valid, so that a longer one shows.
    private static let batch = 16
    private static let receiveSize = 2048

    private init(eventLoop: any EventLoop, channel: any Channel, state: NIOLoopBoundBox<State>) {
        self.eventLoop = eventLoop
        self.channel = channel
        self.state = state
    }

    /// The address the socket is bound to.
    package var localAddress: Address? { channel.localAddress.flatMap(Address.init) }

    /// Completes when no more datagrams will come: after `close`, or when the socket failed, and then the process
    /// is of no use any more.
    package var closed: EventLoopFuture<Void> { channel.closeFuture }

    /// Who gets the messages, on the event loop. What arrives before it is set is dropped.
    package func onReceive(_ receive: @escaping (Sender, [Message]) -> Void) { state.value.receive = receive }

    /// Sends at once, in as few datagrams as hold the messages.
    package func send(to address: Address, messages: [Message]) { state.value.send(to: address, messages: messages) }

    /// The group's uuid is known: stamp it on packets, refuse others.
    package func pin(cluster: Bits128) { state.value.pin(cluster) }

    /// Takes what a reload brings.
    package func use(keys: KeyRing, peers: [Address]) {
        state.value.strangers.peers = peers
        state.value.use(keys)
    }

    /// All drops since the start.
    package var drops: DropCounts { state.value.opener.drops }

    /// Whom we refuse and a person may want to correct.
    package func strangers(at now: Instant) -> [Stranger] { state.value.strangers.current(at: now) }

    /// One of them of which the log was not told.
    package func takeNewStranger(at now: Instant) -> Stranger? { state.value.strangers.takeNews(at: now) }

    /// What was dropped since the last call, for one log line; nil if nothing was. Call it at most once a second.
    package func takeDropSummary() -> DropCounts? { state.value.takeDropSummary() }

    package func close() -> EventLoopFuture<Void> {
        let state = state
        return channel.close().always { _ in state.value.close() }
    }
}

extension UDPTransport {
    fileprivate final class State {
        private let socket: UDPSocket
        private var isOpen = true
        private var sealer: Sealer
        var opener: Opener
        private var echoes = EchoTable()
        private var reported = DropCounts()
        var strangers: StrangerTable
        var receive: ((Sender, [Message]) -> Void)?

        init(socket: UDPSocket, peers: [Address], identity: TransportIdentity, cluster: Bits128) {
            self.socket = socket
            strangers = StrangerTable(peers: peers)
            sealer = Sealer(identity, cluster: cluster)
            opener = Opener(identity, cluster: cluster)
        }

        func pin(_ cluster: Bits128) {
            sealer.cluster = cluster
            opener.cluster = cluster
        }

        func use(_ keys: KeyRing) {
            sealer.use(keys)
            opener.use(keys)
        }

        func send(to address: Address, messages: [Message]) {
            let packed = Packing.pack(messages)
            for _ in packed.oversized { opener.count(.oversized) }
            for payload in packed.payloads { send(payload, to: address, echo: echoes[address]) }
        }

        private func send(_ payload: [UInt8], to address: Address, echo: Bits128) {
            guard isOpen, let datagram = sealer.seal(payload, echo: echo), socket.send(datagram, to: address) else {
                return opener.count(.unsent)
            }
        }

        /// What the receiver is to be told.
        func open(_ datagram: [UInt8], from source: Address) -> (Sender, [Message])? {
            guard let packet = opener.open(datagram, from: source) else {
                if let reason = opener.lastRefusal { strangers.refused(reason, from: source, at: BootClock.now()) }
                return nil
            }
            strangers.understood(source)
            if packet.mayBeEchoed {
                echoes[packet.advertised] = packet.sender.startBits
                echoes[source] = packet.sender.startBits
            }
            // Smaller than what it answers, and never answered itself: it holds no message to withhold.
            if packet.wantsProof { send([], to: source, echo: packet.sender.startBits) }
            return packet.messages.isEmpty ? nil : (packet.sender, packet.messages)
        }

        func takeDropSummary() -> DropCounts? {
            let news = opener.drops.since(reported)
            reported = opener.drops
            return news.total == 0 ? nil : news
        }

        func close() {
            if isOpen { socket.close() }
            isOpen = false
            receive = nil
        }
    }

    fileprivate final class InboundDatagrams: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>

        private let state: NIOLoopBoundBox<State>

        init(state: NIOLoopBoundBox<State>) { self.state = state }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = unwrapInboundIn(data)
            guard let receive = state.value.receive, let source = Address(envelope.remoteAddress) else { return }
            guard let (sender, messages) = state.value.open(Array(envelope.data.readableBytesView), from: source)
            else { return }
            receive(sender, messages)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            // An error of one read; a fatal one closes the channel by itself, and `closed` tells.
        }
    }
}
