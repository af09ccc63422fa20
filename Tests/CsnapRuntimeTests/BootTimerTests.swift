import CsnapCore
import CsnapRuntime
import Glibc
import NIOCore
import NIOPosix
import Testing

@Suite(.timeLimit(.minutes(2)))
struct BootTimerTests {
    /// A timer on a loop of its own; what `body` returns is waited for on that loop.
    private func onLoop(
        _ body: @escaping @Sendable (NIOLoopBound<BootTimer>, any EventLoop) -> EventLoopFuture<Void>
    ) throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { try? group.syncShutdownGracefully() }
        let loop = group.next()
        try BootTimer.make(on: loop).flatMap { timer in
            body(timer, loop).always { _ in timer.value.close() }
        }.wait()
    }

    @Test func isDueOnceAtTheInstantArmedLast() throws {
        try onLoop { timer, loop in
            let done = loop.makePromise(of: Void.self)
            let start = BootClock.now()
            timer.value.onDue {
                #expect(BootClock.now() >= start + .milliseconds(30))
                timer.value.onDue { Issue.record("due twice") }
                // Long enough for a second one.
                loop.assumeIsolated().scheduleTask(in: .milliseconds(50)) { done.succeed(()) }
            }
            timer.value.arm(at: start + .milliseconds(5))
            timer.value.arm(at: .distantFuture)
            timer.value.arm(at: start + .milliseconds(30))
            return done.futureResult
        }
    }

    @Test func anInstantOfThePastIsDueAtOnce() throws {
        try onLoop { timer, loop in
            let done = loop.makePromise(of: Void.self)
            timer.value.onDue { done.succeed(()) }
            timer.value.arm(at: BootClock.now() - .milliseconds(5))
            return done.futureResult
        }
    }

    /// The loop is told of two descriptors at once: what the first brings moves the timer, whose instant has come.
    @Test func isMovedWhileTheLoopHoldsItsEvent() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        let (input, output) = (ends[0], ends[1])
        defer { close(output) }
        try onLoop { timer, loop in
            let done = loop.makePromise(of: Void.self)
            let start = BootClock.now()
            timer.value.onDue {
                #expect(BootClock.now() >= start + .milliseconds(60), "the first instant was given up")
                done.succeed(())
            }
            let mover = NIOLoopBound(Mover { timer.value.arm(at: start + .milliseconds(60)) }, eventLoop: loop)
            return NIOPipeBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(mover.value)
                    }
                }
                .takingOwnershipOfDescriptor(input: input)
                .flatMap { channel in
                    // Both become readable while the loop is busy here, the pipe first.
                    #expect(write(output, [1], 1) == 1)
                    timer.value.arm(at: BootClock.now() + .milliseconds(5))
                    usleep(20_000)
                    return done.futureResult.flatMap { channel.close() }
                }
        }
    }

    private final class Mover: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let move: () -> Void
        init(_ move: @escaping () -> Void) { self.move = move }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) { move() }
    }
}
