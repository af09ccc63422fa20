import CsnapCore
import CsnapSession
import NIOConcurrencyHelpers
import NIOCore

/// One caller: its calls are answered one after the other, in order.
///
/// While calls wait it reads no more, and while the socket is full it answers none and sends no events: a caller that
/// does not read holds what its socket buffers hold, and one reply.
final class VarlinkConnection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let host: any ControlHost
    private let mayChange: Bool
    private var framer = VarlinkFramer(limit: ControlLimits.call)
    private var waiting: [[UInt8]] = []
    private var answering = false
    /// Calls are being taken from `waiting`: a reply at once is no reason to begin again inside.
    private var isTaking = false
    /// The channel wants to read, and calls wait.
    private var readIsDue = false
    /// The call in hand takes no reply.
    private var quiet = false
    private var following: Following?
    private var inputEnded = false

    private struct Following {
        var cursor: UInt64?
        var watch: Int
    }

    init(host: any ControlHost, mayChange: Bool) {
        self.host = host
        self.mayChange = mayChange
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        do {
            waiting += try framer.feed(buffer.readableBytesView)
        } catch {
            fail(error, context: context)
            return
        }
        answerNext(context: context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        if let following { host.stopWatching(following.watch) }
        following = nil
        waiting = []
        context.fireChannelInactive()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            sendEvents(context: context)
            answerNext(context: context)
            closeIfDone(context: context)
        }
        context.fireChannelWritabilityChanged()
    }

    func read(context: ChannelHandlerContext) {
        guard waiting.isEmpty else { return readIsDue = true }
        context.read()
    }

    /// A caller may end its side after its last call; it still gets its answers. A follower that does so is gone.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent {
            inputEnded = true
            closeIfDone(context: context)
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func closeIfDone(context: ChannelHandlerContext) {
        guard inputEnded else { return }
        if following != nil { return context.close(promise: nil) }
        guard !answering, waiting.isEmpty else { return }
        // What is still in the socket's queue is read first.
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in bound.value.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    // MARK: Calls

    private func answerNext(context: ChannelHandlerContext) {
        guard !isTaking else { return }
        isTaking = true
        defer { isTaking = false }
        // A follower's replies never end: what it calls afterwards is never answered.
        while !answering, !waiting.isEmpty, context.channel.isWritable {
            let bytes = waiting.removeFirst()
            do {
                let call = try JSON.decode(VarlinkCall.self, from: bytes)
                answering = true
                quiet = call.oneway == true
                try answer(call, context: context)
            } catch let error as ControlError {
                reply(VarlinkReply(error), context: context)
            } catch {
                fail(ControlError.malformed("no JSON object with a method"), context: context)
            }
        }
        guard readIsDue, waiting.isEmpty else { return }
        readIsDue = false
        context.read()
    }

    private func answer(_ call: VarlinkCall, context: ChannelHandlerContext) throws {
        let request = try ControlRequest(call)
        guard mayChange || !request.changes else { throw ControlError.permissionDenied }
        switch request {
        case .info: reply(VarlinkReply(parameters: ServiceInfo.value), context: context)
        case .description(let name):
            let text = try ServiceInfo.description(of: name)
            reply(VarlinkReply(parameters: .object(["description": .string(text)])), context: context)
        case .status: withStatus(context) { try ["status": JSON.value($0)] }
        case .why:
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            let loop = context.eventLoop
            host.why { waits in
                loop.execute {
                    let (connection, context) = bound.value
                    let value = (try? JSON.value(waits)) ?? .array([])
                    connection.reply(VarlinkReply(parameters: .object(["waits": value])), context: context)
                }
            }
        case .members: withStatus(context) { try ["members": JSON.value($0.members)] }
        case .sessions:
            withStatus(context) { try ["clients": JSON.value($0.clients), "admissions": JSON.value($0.admissions)] }
        case .metrics:
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            let loop = context.eventLoop
            host.metrics { text in
                loop.execute {
                    let (connection, context) = bound.value
                    connection.reply(
                        VarlinkReply(parameters: .object(["text": .string(text)])), context: context)
                }
            }
        case .events(let since, let follow): try startEvents(since, follow: follow, context: context)
        case .snapshot(let command):
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            let loop = context.eventLoop
            host.perform(command) { result in
                loop.execute {
                    let (connection, context) = bound.value
                    connection.reply(VarlinkConnection.reply(to: command, result), context: context)
                }
            }
        case .command(let command):
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            let loop = context.eventLoop
            host.perform(command) { outcome in
                loop.execute {
                    let (connection, context) = bound.value
                    switch outcome {
                    case .done: connection.reply(VarlinkReply(parameters: .object([:])), context: context)
                    case .doneButVoter:
                        connection.reply(
                            VarlinkReply(parameters: .object(["note": .string(VotersWords.leftAsVoter)])),
                            context: context)
                    case .refused(let code):
                        connection.reply(VarlinkReply(ControlError(code)), context: context)
                    }
                }
            }
        }
    }

    private static func reply(
        to command: SnapshotCommand, _ result: Result<CommandOutcome, ControlError>
    ) -> VarlinkReply {
        do {
            return VarlinkReply(parameters: try result.get().reply(to: command))
        } catch {
            return VarlinkReply(error as? ControlError ?? .malformed("\(error)"))
        }
    }

    private func withStatus(
        _ context: ChannelHandlerContext,
        _ select: @escaping @Sendable (StatusReport) throws -> [String: JSONValue]
    ) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let loop = context.eventLoop
        host.status { status in
            loop.execute {
                let (connection, context) = bound.value
                let parameters = (try? select(status)) ?? [:]
                connection.reply(VarlinkReply(parameters: .object(parameters)), context: context)
            }
        }
    }

    private func reply(_ reply: VarlinkReply, context: ChannelHandlerContext) {
        if !quiet { write(reply, context: context) }
        if reply.continues != true {
            answering = false
            answerNext(context: context)
            closeIfDone(context: context)
        }
    }

    private func write(_ reply: VarlinkReply, context: ChannelHandlerContext) {
        guard context.channel.isActive, let bytes = try? JSON.encode(reply) else { return }
        var buffer = context.channel.allocator.buffer(capacity: bytes.count + 1)
        buffer.writeBytes(bytes)
        buffer.writeInteger(UInt8(0))
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }

    private func fail(_ error: any Error, context: ChannelHandlerContext) {
        let named = error as? ControlError ?? .malformed("\(error)")
        waiting = []
        write(VarlinkReply(named), context: context)
        context.close(promise: nil)
    }

    // MARK: Events

    private func startEvents(_ since: UInt64?, follow: Bool, context: ChannelHandlerContext) throws {
        guard follow else {
            try replyWithEvents(since, context: context)
            return
        }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let loop = context.eventLoop
        let watch = host.watchEvents {
            loop.execute {
                let (connection, context) = bound.value
                connection.sendEvents(context: context)
            }
        }
        following = Following(cursor: since, watch: watch)
        sendEvents(context: context)
    }

    /// A page: to encode all that is kept would take long.
    private func replyWithEvents(_ since: UInt64?, context: ChannelHandlerContext) throws {
        let page = host.events(after: since, limit: ControlLimits.eventPage)
        reply(VarlinkReply(parameters: try VarlinkConnection.parameters(page)), context: context)
    }

    /// The follower's place is a cursor in the agent's bounded log: one that is slow gets a resync marker, no queue.
    private func sendEvents(context: ChannelHandlerContext) {
        while let cursor = following?.cursor ?? (following == nil ? nil : 0), context.channel.isWritable {
            let page = host.events(after: following?.cursor, limit: ControlLimits.eventPage)
            guard let last = page.events.last, last.cursor > cursor else { return }
            following?.cursor = last.cursor
            guard let parameters = try? VarlinkConnection.parameters(page) else { return }
            write(VarlinkReply(parameters: parameters, continues: true), context: context)
        }
    }

    private static func parameters(_ page: EventPage) throws -> JSONValue {
        .object(["events": try JSON.value(marked(page)), "hasMore": .bool(page.hasMore)])
    }

    private static func marked(_ page: EventPage) -> [EventItem] {
        guard page.missed, let first = page.events.first else { return page.events }
        return [.resync(cursor: first.cursor &- 1, at: first.at, node: first.node)] + page.events
    }
}

/// What `org.varlink.service` answers.
enum ServiceInfo {
    static let value = JSONValue.object([
        "vendor": .string("csnap"), "product": .string("csnap-agent"), "version": .string("0.1"),
        "url": .string("https://csnap.io"),
        "interfaces": .array([.string("org.varlink.service"), .string("io.csnap.Agent")]),
    ])

    static func description(of interface: String) throws(ControlError) -> String {
        switch interface {
        case "io.csnap.Agent": InterfaceDescription.agent
        case "org.varlink.service": InterfaceDescription.service
        default: throw .unknownInterface(interface)
        }
    }
}
