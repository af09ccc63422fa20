package import NIOCore
import NIOPosix

/// The control socket: Varlink on a Unix socket (docs/operations.md, "Local interface").
///
/// Bounded in connections, calls and bytes; a caller that does not read is not written to.
package final class VarlinkServer: Sendable {
    private let channel: any Channel

    private init(channel: any Channel) { self.channel = channel }

    /// Binds `path`, replacing a socket that was left there; the caller holds a lock against a second agent.
    package static func start(
        path: String, group: any EventLoopGroup, host: any ControlHost, access: ControlAccess
    ) -> EventLoopFuture<VarlinkServer> {
        let census = ConnectionCensus(limit: ControlLimits.connections)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 16)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
            .childChannelOption(
                .writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: 16_384, high: 65_536)
            )
            .childChannelInitializer { child in
                guard census.enter() else {
                    return child.eventLoop.makeFailedFuture(ControlError.busy)
                }
                child.closeFuture.whenComplete { _ in census.leave() }
                return child.eventLoop.makeCompletedFuture {
                    let mayChange = access.mayChange(PeerCredentials.read(child))
                    try child.pipeline.syncOperations.addHandler(VarlinkConnection(host: host, mayChange: mayChange))
                }
            }
        return bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true)
            .map { VarlinkServer(channel: $0) }
    }

    package func close() -> EventLoopFuture<Void> { channel.close() }
}
