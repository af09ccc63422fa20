package import NIOCore

/// Limits of the local connections between an agent, its server and its clients.
package enum LocalLimits {
    /// A START with 64 admitted boots has under 2 KiB; nothing we say comes near this.
    package static let frameBytes = 1 << 20
    /// What may wait for a peer that does not read, before its connection is given up.
    package static let waitingBytes = 256 << 10
    /// Connections of clients to one agent.
    package static let clients = 256
}

/// A peer said a frame longer than allowed; the connection must be closed.
package struct FrameTooLong: Error, Equatable, Sendable, CustomStringConvertible {
    package var length: Int
    package var description: String { "a frame of \(length) bytes: the peer is none of ours, or of another version" }
}

/// Cuts a byte stream into frames: u32 little-endian length, then that many bytes.
package struct LocalFrameDecoder: ByteToMessageDecoder {
    package typealias InboundOut = ByteBuffer
    private let limit: Int

    package init(limit: Int = LocalLimits.frameBytes) { self.limit = limit }

    package mutating func decode(
        context: ChannelHandlerContext, buffer: inout ByteBuffer
    ) throws -> DecodingState {
        guard let length = buffer.getInteger(at: buffer.readerIndex, endianness: .little, as: UInt32.self) else {
            return .needMoreData
        }
        guard length <= limit else { throw FrameTooLong(length: Int(length)) }
        guard buffer.readableBytes >= 4 + Int(length) else { return .needMoreData }
        buffer.moveReaderIndex(forwardBy: 4)
        guard let frame = buffer.readSlice(length: Int(length)) else { return .needMoreData }
        context.fireChannelRead(wrapInboundOut(frame))
        return .continue
    }

    package mutating func decodeLast(
        context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool
    ) throws -> DecodingState {
        // What is left at the end is an unfinished frame of a dead peer.
        try decode(context: context, buffer: &buffer)
    }
}

extension ByteBuffer {
    /// The frame of these bytes, ready to be written.
    package static func localFrame(_ bytes: [UInt8]) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(4 + bytes.count)
        buffer.writeInteger(UInt32(bytes.count), endianness: .little)
        buffer.writeBytes(bytes)
        return buffer
    }
}

/// The end of a local connection's pipeline: hands over frames and the end, both on the channel's loop.
package final class LocalFrameHandler: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer

    private let onFrame: ([UInt8]) -> Void
    private let onEnd: ((any Error)?) -> Void
    private var problem: (any Error)?

    /// `onEnd` is called exactly once, after the last frame; its error is nil at an ordinary end.
    package init(onFrame: @escaping ([UInt8]) -> Void, onEnd: @escaping ((any Error)?) -> Void) {
        self.onFrame = onFrame
        self.onEnd = onEnd
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        onFrame(Array(unwrapInboundIn(data).readableBytesView))
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        problem = problem ?? error
        context.close(promise: nil)
    }

    package func channelInactive(context: ChannelHandlerContext) {
        onEnd(problem)
        context.fireChannelInactive()
    }
}

extension Channel {
    /// Sends one frame; false if the peer has not read for so long that the connection is to be given up.
    package func sendLocalFrame(_ bytes: [UInt8]) -> Bool {
        guard isWritable else { return false }
        writeAndFlush(ByteBuffer.localFrame(bytes), promise: nil)
        return true
    }

    /// The pipeline of both ends: frames in, `LocalFrameHandler` behind. On the channel's loop.
    package func addLocalFrames(_ handler: LocalFrameHandler, limit: Int = LocalLimits.frameBytes) throws {
        let decoder = ByteToMessageHandler(LocalFrameDecoder(limit: limit))
        try pipeline.syncOperations.addHandlers([decoder, handler] as [any ChannelHandler])
    }
}
