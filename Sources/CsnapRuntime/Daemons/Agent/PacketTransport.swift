package import CsnapCore
package import NIOCore

/// How the agent's loop sends to other agents: one datagram per call, sealed, never waiting. On the loop only.
package protocol PacketTransport {
    func send(_ messages: [Message], to peer: Address)
    /// Stamps the cluster on packets from now on, and refuses others.
    func pin(cluster: Bits128)
    /// Takes what a reload brings.
    func use(keys: KeyRing, peers: [Address])
    /// Whom we refuse and a person may want to correct.
    func strangers(at now: Instant) -> [Stranger]
    /// One of them of which the log was not told.
    func takeNewStranger(at now: Instant) -> Stranger?
    /// All that was dropped.
    var drops: DropCounts { get }
    /// What was dropped since the last call, in words; nil if nothing was.
    func takeDropSummary() -> String?
    func close()
}

/// Binds a transport for that process; `receive` is called on the loop with each authenticated datagram.
package typealias PacketTransportFactory =
    @Sendable (
        _ start: AgentStart, _ loop: any EventLoop, _ receive: @escaping @Sendable (Sender, [Message]) -> Void
    ) -> EventLoopFuture<NIOLoopBound<any PacketTransport>>
