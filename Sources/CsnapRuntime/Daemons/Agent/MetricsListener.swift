package import NIOCore
import NIOHTTP1
import NIOPosix

/// `GET /metrics` on a loopback address, for Prometheus; nothing else, and one answer a connection.
package enum MetricsListener {
    private static let connections = 16
    private static let patience = TimeAmount.seconds(10)

    /// `text` may be called from any thread.
    package static func start(
        at host: String, port: Int, group: any EventLoopGroup,
        text: @escaping @Sendable (@escaping @Sendable (String) -> Void) -> Void
    ) -> EventLoopFuture<any Channel> {
        let census = ConnectionCensus(limit: connections)
        return ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 16)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { child in
                guard census.enter() else { return child.eventLoop.makeFailedFuture(ControlError.busy) }
                child.closeFuture.whenComplete { _ in census.leave() }
                return child.eventLoop.makeCompletedFuture {
                    let pipeline = child.pipeline.syncOperations
                    try pipeline.addHandler(IdleStateHandler(allTimeout: patience))
                    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false)
                    try pipeline.addHandler(MetricsHandler(text: text))
                }
            }
            .bind(host: host, port: port)
    }
}

private final class MetricsHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let text: @Sendable (@escaping @Sendable (String) -> Void) -> Void
    private var isAnswered = false

    init(text: @escaping @Sendable (@escaping @Sendable (String) -> Void) -> Void) { self.text = text }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let head) = unwrapInboundIn(data), !isAnswered else { return }
        isAnswered = true
        guard head.method == .GET else {
            return answer(.methodNotAllowed, "only GET is understood\n", context)
        }
        guard head.uri == "/metrics" else { return answer(.notFound, "see /metrics\n", context) }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let loop = context.eventLoop
        text { text in
            loop.execute {
                let (handler, context) = bound.value
                handler.answer(.ok, text, context)
            }
        }
    }

    /// Idle for too long.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func answer(_ status: HTTPResponseStatus, _ text: String, _ context: ChannelHandlerContext) {
        guard context.channel.isActive else { return }
        let body = ByteBuffer(string: text)
        let headers: HTTPHeaders = [
            "Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Content-Length": "\(body.readableBytes)",
            "Connection": "close",
        ]
        let head = HTTPResponseHead(version: .http1_1, status: status, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in bound.value.close(promise: nil) }
    }
}
