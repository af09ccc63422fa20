import CShims
import CsnapCore
import Glibc
import Logging
import NIOCore
import NIOPosix

/// The agent's server process: started inert, spoken to, killed, started again. On the loop only.
///
/// It knows nothing of the protocol. Its owner hears every frame, and exactly one `onGone` per process, when the
/// whole group is proven empty.
final class AgentServer {
    /// A process that fails at its start is tried again after 50 ms, doubled up to 5 s.
    private static let shortestPause = Interval.milliseconds(50)
    private static let longestPause = Interval.seconds(5)

    private let executable: String
    private let arguments: [String]
    private let loop: any EventLoop
    private let logger: Logger
    /// A process that reads nothing for this long makes no progress and is killed (§5.8).
    private let patience: Interval
    var onFrame: (ServerToAgent) -> Void = { _ in }
    var onGone: () -> Void = {}

    /// What `load` asked for last.
    private var leavesOut = false
    /// All of this node.
    private let volumes: [String]
    /// Volumes at which servers that leave out failed after their START. The next ones do without them: to take such a
    /// store may succeed again and again.
    private var withheld: [String] = []
    /// The process that runs was told START.
    private var isStarted = false
    /// It has said `inert`.
    private var isLoaded = false
    private var process: ServerProcess?
    private var channel: (any Channel)?
    /// The process's end of the channel was not seen yet: what it said last may still be to be read.
    private var isHeard = false
    /// How it ended.
    private var end: ProcessEnd?
    /// Frames said before the channel was ready; at most a START and its followers.
    private var early: [[UInt8]] = []
    private var pause = AgentServer.shortestPause
    /// When it was told the first of what it has not read, as far as we know.
    private var unreadSince: Instant?
    private var isWatched = false
    /// It was killed because it made no progress.
    private var isOverdue = false
    private var closing = false

    init(
        executable: String, arguments: [String], volumes: [String], patience: Interval, loop: any EventLoop,
        logger: Logger
    ) {
        self.executable = executable
        self.arguments = arguments
        self.volumes = volumes
        self.patience = patience
        self.loop = loop
        self.logger = logger
    }

    var processID: pid_t? { process?.processID }
    var isRunning: Bool { process != nil }

    func start() {
        loop.preconditionInEventLoop()
        guard process == nil, !closing else { return }
        // The parent-death signal belongs to the thread that spawns: this loop's, which lives as long as we do.
        let bound = NIOLoopBound(self, eventLoop: loop)
        let arguments =
            arguments + (leavesOut ? ["--leave-out"] : []) + withheld.flatMap { ["--without", $0] }
        do {
            let process = try ServerProcess.spawn(executable: executable, arguments: arguments) { [loop] end in
                loop.execute { bound.value.ended(end) }
            }
            self.process = process
            isStarted = false
            isLoaded = false
            isHeard = true
            unreadSince = nil
            isOverdue = false
            connect(process)
        } catch {
            logger.error("the server cannot be started: \(error)")
            startLater()
        }
    }

    /// Loads a server anew if the one that is there treats stores that fail otherwise. Not while one serves.
    func load(leavingOut leavesOut: Bool) {
        guard leavesOut != self.leavesOut else { return }
        self.leavesOut = leavesOut
        withheld = []
        pause = Self.shortestPause
        if let process { process.killGroup() } else { start() }
    }

    func send(_ message: AgentToServer) {
        guard process != nil, isHeard else { return }
        // Before that it reads nothing, and the file later.
        if case .keys = message, !isLoaded { return }
        if case .start = message { isStarted = true }
        checkProgress(at: BootClock.now())
        let bytes = LocalCodec.encode(message)
        guard let channel else {
            early.append(bytes)
            return
        }
        if !channel.sendLocalFrame(bytes) {
            logger.error("the server does not read what it is told: it is killed")
            kill()
        }
    }

    /// `onGone` follows; at once if there is no process.
    func kill() {
        if let process { process.killGroup() } else { loop.execute(NIOLoopBound(self, eventLoop: loop).tell) }
    }

    /// For the end of the agent: nothing is started again.
    func close() {
        closing = true
        process?.killGroup()
    }

    /// Kills a process that lives but reads nothing, such as a stopped one. Looked at whenever it is told something:
    /// one that serves hears of its lease with every other renewal, an inert one has nothing to read. Only one that is
    /// behind is watched by the clock.
    private func checkProgress(at now: Instant) {
        guard process != nil, channel != nil else { return }
        guard let since = unreadSince, hasUnread else {
            unreadSince = now
            return
        }
        guard !isWatched else { return }
        isWatched = true
        let bound = NIOLoopBound(self, eventLoop: loop)
        let rest = max(since + patience - now, .zero)
        loop.scheduleTask(in: .nanoseconds(rest.nanoseconds)) { bound.value.killIfStuck(since) }
    }

    private var hasUnread: Bool { process.map { csnap_unread_by_peer($0.channelDescriptor) > 0 } ?? false }

    private func killIfStuck(_ since: Instant) {
        isWatched = false
        guard let process, unreadSince == since, hasUnread else { return }
        if isOverdue {
            // Killed, and still there: its disk does not let it go. As long as its lease is renewed nobody else serves.
            logger.error("the server makes no progress and cannot be killed: its disk does not answer")
            onFrame(.failed(.storeUnreachable, volume: "", epochSeen: .none))
        } else {
            logger.error("the server makes no progress: it is killed")
        }
        isOverdue = true
        // The next look is a patience later.
        unreadSince = BootClock.now()
        process.killGroup()
    }

    private func connect(_ process: ServerProcess) {
        let bound = NIOLoopBound(self, eventLoop: loop)
        let handlerLoop = loop
        ClientBootstrap(group: loop)
            .channelOption(
                .writeBufferWaterMark,
                value: .init(low: LocalLimits.waitingBytes / 2, high: LocalLimits.waitingBytes)
            )
            .channelInitializer { channel in
                handlerLoop.makeCompletedFuture {
                    let server = bound.value
                    let handler = LocalFrameHandler(
                        onFrame: { server.received($0, from: process) },
                        onEnd: { server.lost(process, $0) })
                    try channel.addLocalFrames(handler)
                }
            }
            .withConnectedSocket(process.channelDescriptor)
            .whenComplete { result in bound.value.connected(result, process) }
    }

    private func connected(_ result: Result<any Channel, any Error>, _ process: ServerProcess) {
        guard process === self.process, isHeard else { return }
        switch result {
        case .success(let channel):
            self.channel = channel
            for frame in early { _ = channel.sendLocalFrame(frame) }
        case .failure(let error):
            logger.error("no connection to the server: \(error)")
            lost(process, nil)
        }
        early = []
    }

    private func received(_ frame: [UInt8], from process: ServerProcess) {
        guard process === self.process else { return }
        do {
            let message = try LocalCodec.serverToAgent(from: frame)
            if message == .inert {
                isLoaded = true
                pause = Self.shortestPause
            }
            if case .failed(let failure, let volume, _) = message { note(failure, volume) }
            onFrame(message)
        } catch {
            logger.error("the server says what cannot be understood, it is killed: \(error)")
            process.killGroup()
        }
    }

    /// Against a higher tenure only a higher claim helps. If none would be left, or none of the others loads, all are
    /// tried again.
    private func note(_ failure: ServerFailure, _ volume: String) {
        guard leavesOut, failure != .storeTenure, volumes.contains(volume) else { return }
        if !withheld.contains(volume) { withheld.append(volume) }
        if !isStarted || withheld.count == volumes.count { withheld = [] }
    }

    /// The server closed its end: it is ending, or must.
    private func lost(_ process: ServerProcess, _ error: (any Error)?) {
        if let error { logger.debug("the connection to the server broke: \(error)") }
        process.killGroup()
        guard process === self.process else { return }
        isHeard = false
        channel = nil
        endIfAllIsHeard()
    }

    private func ended(_ end: ProcessEnd) {
        logger.info("the server process \(end)")
        self.end = end
        endIfAllIsHeard()
    }

    /// Its last word comes before its end, whichever the loop learns of first.
    private func endIfAllIsHeard() {
        guard end != nil, !isHeard else { return }
        end = nil
        process = nil
        early = []
        onGone()
        if pause == Self.shortestPause { start() } else { startLater() }
        pause = min(pause * 2, Self.longestPause)
    }

    private func startLater() {
        guard !closing else { return }
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: .nanoseconds(pause.nanoseconds)) { bound.value.start() }
    }
}

extension NIOLoopBound<AgentServer> {
    /// Reports the absence of a process as its end.
    fileprivate func tell() { if !value.isRunning { value.onGone() } }
}
