import CShims
import CsnapCore
import NIOCore
import NIOPosix

/// One timer of CLOCK_BOOTTIME on an event loop, for whoever moves its deadline with each event. On the loop only.
///
/// NIO's own timers count CLOCK_MONOTONIC, which stands still while the machine sleeps, and a deadline that was moved
/// away wakes the loop all the same.
final class BootTimer {
    private let descriptor: Int32
    private let channel: any Channel
    private let onDue: OnDue

    private init(descriptor: Int32, channel: any Channel, onDue: OnDue) {
        self.descriptor = descriptor
        self.channel = channel
        self.onDue = onDue
    }

    /// Fails with `SystemError` where no timer can be had.
    static func make(on loop: any EventLoop) -> EventLoopFuture<NIOLoopBound<BootTimer>> {
        let descriptor = csnap_timer_make()
        guard descriptor >= 0 else {
            return loop.makeFailedFuture(SystemError("cannot make", "a timer", code: -descriptor))
        }
        let onDue = NIOLoopBoundBox.makeBoxSendingValue(OnDue(), as: OnDue.self, eventLoop: loop)
        return NIOPipeBootstrap(group: loop)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 8))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(onDue.value) }
            }
            .takingOwnershipOfDescriptor(input: descriptor)
            .map { channel in
                let timer = BootTimer(descriptor: descriptor, channel: channel, onDue: onDue.value)
                return NIOLoopBound(timer, eventLoop: loop)
            }
    }

    /// From now on `due` is called once at each instant that is armed.
    func onDue(_ due: @escaping () -> Void) { onDue.due = due }

    /// Replaces what was armed before; distantFuture: never.
    func arm(at instant: Instant) {
        guard channel.isActive else { return }
        csnap_timer_arm(descriptor, instant < .distantFuture ? max(instant.nanoseconds, 0) : -1)
    }

    func close() {
        onDue.due = {}
        channel.close(promise: nil)
    }

    private final class OnDue: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        var due: () -> Void = {}

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { due() }
    }
}
