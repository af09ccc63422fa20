import CsnapCore
import CsnapRuntime
import CsnapSession
import Glibc
import NBDProtocol
import Testing

/// Durable writes that share a flush (docs/decisions/0073): who is answered when. The test is the socket and the disk,
/// so each order of events is what it says, not luck.
@Suite struct SharedFlushTests {
    @Test func aReplyComesAfterAFlushThatBeganAfterItsWrite() throws {
        let flow = try DrivenFlow()
        for cookie in UInt64(1)...3 { flow.write(cookie, durable: true) }
        let writes = try flow.operations([.write, .write, .write])
        flow.finish(writes[0], 4096)
        flow.finish(writes[1], 4096)
        #expect(flow.answers() == [], "written, not flushed")
        let first = try flow.operations([.flush])
        flow.finish(writes[2], 4096)
        try flow.operations([])  // one flush at a time
        #expect(flow.answers() == [])
        #expect(flow.inFlight == 3)
        flow.finish(first[0], 0)
        #expect(flow.answers() == [Answer(1), Answer(2)], "the flush had begun when the third write returned")
        #expect(flow.inFlight == 1)
        let second = try flow.operations([.flush])
        #expect(flow.answers() == [])
        flow.finish(second[0], 0)
        #expect(flow.answers() == [Answer(3)])
        #expect(flow.inFlight == 0)
        try flow.operations([])
    }

    /// A write that returns while a flush waits to begin, or is to be tried again, shares that one.
    @Test func whatReturnsBeforeAFlushBeginsSharesIt() throws {
        let flow = try DrivenFlow()
        for cookie in UInt64(1)...3 { flow.write(cookie, durable: true) }
        let writes = try flow.operations([.write, .write, .write])
        flow.finish(writes[0], 4096)
        let interrupted = try flow.operations([.flush])
        flow.finish(writes[1], 4096)
        flow.finish(interrupted[0], -EINTR)
        #expect(flow.answers() == [], "an interrupted flush is none")
        flow.finish(writes[2], 4096)
        let flush = try flow.operations([.flush])
        flow.finish(flush[0], 0)
        #expect(Set(flow.answers()) == [Answer(1), Answer(2), Answer(3)])
        try flow.operations([])
    }

    @Test func aFlushThatFailsFailsThoseThatSharedIt() throws {
        let flow = try DrivenFlow()
        for cookie in UInt64(1)...3 { flow.write(cookie, durable: true) }
        let writes = try flow.operations([.write, .write, .write])
        flow.finish(writes[0], 4096)
        flow.finish(writes[1], 4096)
        let failing = try flow.operations([.flush])
        flow.finish(writes[2], 4096)
        flow.finish(failing[0], -EIO)
        #expect(flow.answers() == [Answer(1, error: 5), Answer(2, error: 5)])
        let next = try flow.operations([.flush])
        flow.finish(next[0], 0)
        #expect(flow.answers() == [Answer(3)])
        #expect(flow.inFlight == 0)
    }

    /// The kernel found no thread for the flush.
    @Test func aFlushThatWasNotBegunIsNoError() throws {
        let flow = try DrivenFlow()
        flow.write(1, durable: true)
        flow.finish(try flow.operations([.write])[0], 4096)
        flow.finish(try flow.operations([.flush])[0], -ECANCELED)
        #expect(flow.answers() == [])
        flow.finish(try flow.operations([.write])[0], 4096)
        flow.finish(try flow.operations([.flush])[0], 0)
        #expect(flow.answers() == [Answer(1)])
        #expect(flow.inFlight == 0)
    }

    /// A FLUSH of the peer counts for its own answer only; and writes without FUA wait for nobody's flush.
    @Test func othersNeitherWaitNorCount() throws {
        let flow = try DrivenFlow()
        flow.write(1, durable: true)
        flow.flush(2)
        let asked = try flow.operations([.write, .flush])
        flow.finish(asked[0], 4096)
        let shared = try flow.operations([.flush])
        flow.finish(asked[1], 0)
        #expect(flow.answers() == [Answer(2)])
        flow.write(3, durable: false)
        let plain = try flow.operations([.write])
        flow.finish(plain[0], 4096)
        #expect(flow.answers() == [Answer(3)])
        flow.finish(shared[0], 0)
        #expect(flow.answers() == [Answer(1)])
    }

    @Test func aWriteInPartsIsFlushedWhole() throws {
        let flow = try DrivenFlow()
        flow.write(1, durable: true)
        let start = try flow.operations([.write])
        flow.finish(start[0], 1024)
        let rest = try flow.operations([.write])
        flow.finish(rest[0], 3072)
        #expect(flow.answers() == [])
        let flush = try flow.operations([.flush])
        flow.finish(flush[0], 0)
        #expect(flow.answers() == [Answer(1)])
    }

    /// The gate counts a durable write until its flush has returned, also when nobody waits for the answer any more.
    @Test func aPeerThatGoesLeavesTheCountWithItsFlush() throws {
        let flow = try DrivenFlow()
        flow.write(1, durable: true)
        flow.write(2, durable: true)
        let writes = try flow.operations([.write, .write])
        flow.finish(writes[0], 4096)
        let flush = try flow.operations([.flush])
        flow.finish(writes[1], 4096)
        flow.abandon()
        #expect(flow.inFlight == 1, "the second is written, and nobody flushes it any more")
        #expect(!flow.isOver)
        flow.finish(flush[0], 0)
        #expect(flow.inFlight == 0)
        #expect(flow.isOver)
        #expect(flow.answers() == [])
        try flow.operations([])
    }

    /// On a block device, or without a ring, each write is durable when it returns.
    @Test func withoutSharingTheWriteItselfIsDurable() throws {
        let flow = try DrivenFlow(shares: false)
        flow.write(1, durable: true)
        flow.write(2, durable: false)
        let writes = try flow.operations([.durableWrite, .write])
        flow.finish(writes[0], 4096)
        #expect(flow.answers() == [Answer(1)])
        try flow.operations([])
    }
}

/// What the peer was told of one request.
private struct Answer: Hashable {
    var cookie: UInt64
    var error: UInt32

    init(_ cookie: UInt64, error: UInt32 = 0) {
        self.cookie = cookie
        self.error = error
    }
}

/// What the disk is asked to do.
private struct DiskStep {
    enum Kind: Equatable {
        case write
        case durableWrite
        case flush
        case other
    }

    var request: Int
    var kind: Kind

    init(_ operation: DiskOperation) {
        request = operation.request
        kind =
            switch operation.kind {
            case .write(_, _, _, let durable): durable ? .durableWrite : .write
            case .flush: .flush
            case .read, .blocking: .other
            }
    }
}

/// The requests of one connection whose chunks are granted, with a lease that does not end.
private final class DrivenFlow {
    private let flow: RequestFlow
    private let monitor: ClientMonitor
    private let parts = UnsafeMutablePointer<iovec>.allocate(capacity: RequestFlow.maximumParts)
    /// Bytes of replies that are no whole one yet.
    private var replies: [UInt8] = []

    init(shares: Bool = true) throws {
        monitor = try ClientMonitor(core: Self.granted())
        let export = NBDExport(
            name: "v", description: "", size: 1 << 20, minimumBlock: 512, preferredBlock: UInt32(ClientCoreTests.chunk))
        flow = RequestFlow(
            connection: 0, monitor: monitor, watch: try DiskWatch(),
            transmission: NBDTransmission(export: export, structuredReplies: false, allocation: false), backend: nil,
            mailbox: try Mailbox(), memory: try ConnectionMemory())
        flow.sharesFlushes = shares
    }

    deinit { parts.deallocate() }

    private static func granted() -> ClientCore {
        var core = ClientCoreTests.serving()
        core.receive(.lease(ClientCoreTests.first, until: .distantFuture), now: ClientCoreTests.at(0))
        _ = ClientCoreTests.write(&core, chunk: 0)
        for query in ClientCoreTests.queries(core.takeActions()) {
            core.receive(.grant(request: query.request, epoch: Epoch(1), generation: 1), now: ClientCoreTests.at(1))
        }
        core.withdraw(0)
        return core
    }

    var isOver: Bool { flow.isOver }

    /// Writes that count at the gate.
    var inFlight: UInt32 { monitor.with { $0.writesInFlight } }

    func abandon() { flow.abandon() }

    func write(_ cookie: UInt64, durable: Bool) {
        let payload = [UInt8](repeating: UInt8(cookie), count: 4096)
        feed(1, flags: durable ? 1 : 0, cookie, length: 4096, payload)
    }

    func flush(_ cookie: UInt64) { feed(3, flags: 0, cookie, length: 0, []) }

    private func feed(_ type: UInt16, flags: UInt16, _ cookie: UInt64, length: UInt32, _ payload: [UInt8]) {
        var bytes = NBDPeer.big(UInt32(0x2560_9513)) + NBDPeer.big(flags) + NBDPeer.big(type) + NBDPeer.big(cookie)
        bytes += NBDPeer.big(UInt64(0)) + NBDPeer.big(length) + payload
        while !bytes.isEmpty {
            guard flow.receiveTargets(parts) > 0, let target = parts[0].iov_base else {
                Issue.record("the flow takes nothing more")
                return
            }
            let count = min(bytes.count, parts[0].iov_len)
            target.copyMemory(from: bytes, byteCount: count)
            bytes.removeFirst(count)
            flow.take(count)
        }
    }

    /// What the disk is to do now and was not asked for yet; it must be these.
    @discardableResult func operations(_ kinds: [DiskStep.Kind]) throws -> [DiskStep] {
        var steps: [DiskStep] = []
        while let operation = flow.nextOperation() { steps.append(DiskStep(operation)) }
        try #require(steps.map(\.kind) == kinds)
        return steps
    }

    /// `result`: bytes or 0; -errno on failure.
    func finish(_ step: DiskStep, _ result: Int32) { flow.finished(step.request, result) }

    /// What is answered, and was not before.
    func answers() -> [Answer] {
        while true {
            let count = flow.replyParts(parts)
            if count == 0 { break }
            var sent = 0
            for part in 0..<count {
                replies += UnsafeRawBufferPointer(start: parts[part].iov_base, count: parts[part].iov_len)
                sent += parts[part].iov_len
            }
            flow.replied(sent)
        }
        var answers: [Answer] = []
        while replies.count >= 16 {
            let error = replies[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            answers.append(Answer(replies[8..<16].reduce(0) { $0 << 8 | UInt64($1) }, error: error))
            replies.removeFirst(16)
        }
        return answers
    }
}
