import CShims
package import CsnapCore
package import NIOCore
import NIOPosix

/// One timer of CLOCK_BOOTTIME on an event loop, for whoever moves its deadline with each event. On the loop only.
///
/// NIO's own timers count CLOCK_MONOTONIC, which stands still while the machine sleeps, and a deadline that was moved
/// away wakes the loop all the same.
package final class BootTimer {
    private let channel: any Channel
    private let handler: Handler

    private init(channel: any Channel, handler: Handler) {
        self.channel = channel
        self.handler = handler
    }

    /// Fails with `SystemError` where no timer can be had.
    package static func make(on loop: any EventLoop) -> EventLoopFuture<NIOLoopBound<BootTimer>> {
        let descriptor = csnap_timer_make()
        guard descriptor >= 0 else {
            return loop.makeFailedFuture(SystemError("cannot make", "a timer", code: -descriptor))
        }
        let handler = NIOLoopBoundBox.makeBoxSendingValue(
            Handler(descriptor: descriptor), as: Handler.self, eventLoop: loop)
        return NIOPipeBootstrap(group: loop)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 8))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler.value) }
            }
            .takingOwnershipOfDescriptor(input: descriptor)
            .map { channel in NIOLoopBound(BootTimer(channel: channel, handler: handler.value), eventLoop: loop) }
    }

    /// From now on `due` is called once at each instant that is armed.
    package func onDue(_ due: @escaping () -> Void) { handler.due = due }

    /// Replaces what was armed before; distantFuture: never.
    package func arm(at instant: Instant) {
        if channel.isActive { handler.arm(at: instant) }
    }

    package func close() {
        handler.due = {}
        channel.close(promise: nil)
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let descriptor: Int32
        var due: () -> Void = {}
        /// What the descriptor counts to, or has reached and was not read since.
        private var armed: Instant?
        /// Takes the place of `armed` when that is read.
        private var next: Instant?

        init(descriptor: Int32) { self.descriptor = descriptor }

        /// Where the armed instant has come, the loop may hold the event already, and NIO does not bear a descriptor
        /// that it was told is readable and is not: it is read first.
        func arm(at instant: Instant) {
            if let armed, armed <= BootClock.now() { next = instant } else { set(instant) }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            armed = nil
            guard let next else { return due() }
            self.next = nil
            set(next)
        }

        private func set(_ instant: Instant) {
            armed = instant < .distantFuture ? instant : nil
            csnap_timer_arm(descriptor, armed.map { max($0.nanoseconds, 0) } ?? -1)
        }
    }
}
