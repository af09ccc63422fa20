import CsnapCore
import NIOCore

/// The agent's datagrams over UDP, sealed with the group's key.
struct AgentTransport: PacketTransport {
    private let transport: UDPTransport

    /// A factory for this key ring; it fails with `UDPSocketError` if the address cannot be bound.
    static func factory(keys: KeyRing) -> PacketTransportFactory {
        { start, loop, receive in
            let identity = TransportIdentity(
                clusterName: start.configuration.cluster, keys: keys, process: start.settings.process,
                startBits: start.settings.startBits, advertised: start.settings.address,
                timing: start.configuration.timing.digest)
            return UDPTransport.bind(
                listen: start.configuration.listen, peers: start.configuration.peers, identity: identity,
                cluster: start.stored?.cluster ?? .zero, on: loop
            ).map { transport in
                transport.onReceive(receive)
                return NIOLoopBound(AgentTransport(transport: transport), eventLoop: loop)
            }
        }
    }

    func send(_ messages: [Message], to peer: Address) { transport.send(to: peer, messages: messages) }

    func pin(cluster: Bits128) { transport.pin(cluster: cluster) }

    func use(keys: KeyRing, peers: [Address]) { transport.use(keys: keys, peers: peers) }

    func strangers(at now: Instant) -> [Stranger] { transport.strangers(at: now) }

    func takeNewStranger(at now: Instant) -> Stranger? { transport.takeNewStranger(at: now) }

    var drops: DropCounts { transport.drops }

    func takeDropSummary() -> String? { transport.takeDropSummary()?.description }

    func close() { _ = transport.close() }
}
