import Glibc
package import NBDProtocol

/// The requests of one connection, without socket or disk: received bytes in, disk operations out; their results in,
/// replies out. The gate is asked here, and nowhere else.
///
/// Its shells, `RingShell` and `PollShell`, carry bytes and operations. Of one thread.
package final class RequestFlow {
    /// What a request waits for, in this order.
    enum Stage {
        case free
        case payload
        case held
        case disk
        /// A durable write whose data is written: it waits for a flush.
        case flush
        case backend
        case reply
    }

    struct Request {
        var stage = Stage.free
        var command = NBDCommand(action: .cache, cookie: 0, offset: 0, length: 0)
        var pages = ConnectionMemory.Pages.none
        /// Bytes of the command that are done, and those now at the gate or at the disk.
        var done: UInt32 = 0
        var piece: UInt32 = 0
        /// Counted at the gate.
        var pass: ClientMonitor.Pass?
        /// Bytes of the reply: its header, and what comes from the pages behind it.
        var header = 0
        var data = 0
    }

    enum Ending {
        case no
        /// All requests are answered first.
        case afterReplies
        /// Only what is at the disk is waited for.
        case now
    }

    /// Trims and zeroes go through the gate in pieces of this, cut at its multiples, so that it never waits long for
    /// one, and each is one question to the server.
    private static let maximumPiece: UInt32 = 4 << 20

    let memory: ConnectionMemory
    let mailbox: Mailbox
    private let connection: Int
    private let monitor: ClientMonitor
    private let watch: DiskWatch
    private let backend: (any ExportBackend)?
    var stream: NBDStream
    let requests: UnsafeMutablePointer<Request>
    var freeRequests = RequestQueue()
    private var operations = RequestQueue()
    private var held = RequestQueue()
    /// Durable writes that return from the disk are flushed, all that wait with one flush; else each is made durable
    /// by the write itself.
    package var sharesFlushes = false
    /// Those that wait for the next flush, and those for which the flush under way counts: their writes had returned
    /// when it began.
    private var unflushed = RequestQueue()
    private var flushing = RequestQueue()
    var replies = RequestQueue()
    /// Bytes of the first reply that are sent.
    var sent = 0
    /// Received and not understood yet: a range of `memory.stream`.
    var unread = 0..<0
    /// A command that waits for pages.
    var pending: NBDCommand?
    /// The request whose payload comes, and how much of it came.
    var receiving = 0
    var received = 0
    /// Requests at the disk or with the backend.
    private var atWork = 0
    private(set) var ending = Ending.no

    package init(
        connection: Int, monitor: ClientMonitor, watch: DiskWatch, transmission: NBDTransmission,
        backend: (any ExportBackend)?, mailbox: Mailbox, memory: ConnectionMemory
    ) {
        self.connection = connection
        self.monitor = monitor
        self.watch = watch
        self.backend = backend
        self.mailbox = mailbox
        self.memory = memory
        stream = NBDStream(transmission)
        requests = .allocate(capacity: ConnectionMemory.maximumRequests)
        requests.initialize(repeating: Request(), count: ConnectionMemory.maximumRequests)
        for index in 0..<ConnectionMemory.maximumRequests { freeRequests.append(index) }
    }

    deinit { requests.deallocate() }

    var transmission: NBDTransmission { stream.transmission }

    /// Each request is answered.
    private var isIdle: Bool { freeRequests.count == ConnectionMemory.maximumRequests }

    /// Each request is answered, but for one whose payload comes: only the peer can move anything.
    var awaitsPeer: Bool {
        freeRequests.count + (stream.payloadToCome > 0 ? 1 : 0) == ConnectionMemory.maximumRequests
    }

    /// There is nothing to do any more, and nobody uses the memory.
    package var isOver: Bool {
        switch ending {
        case .no: false
        case .afterReplies: isIdle
        case .now: atWork == 0
        }
    }

    /// The client said good-bye: all requests are answered, no more are taken.
    func finish() {
        if ending == .no { ending = .afterReplies }
    }

    /// The peer is gone, or speaks no NBD: held requests are forgotten.
    package func abandon() {
        guard ending != .now else { return }
        ending = .now
        while !held.isEmpty { monitor.withdraw(ticket(held.removeFirst())) }
        while !operations.isEmpty {
            let index = operations.removeFirst()
            atWork -= 1
            leaveGate(index)
        }
        while !unflushed.isEmpty { leaveGate(unflushed.removeFirst()) }
        guard let backend else { return }
        for index in 0..<ConnectionMemory.maximumRequests where requests[index].stage == .backend {
            backend.withdraw(ticket(index))
        }
    }

    private func ticket(_ index: Int) -> UInt32 { UInt32(connection * ConnectionMemory.maximumRequests + index) }

    // MARK: - Gate

    /// The request is complete. `again`: it was held.
    func admit(_ index: Int, again: Bool = false) {
        if let backend { return begin(index, backend) }
        let command = requests[index].command
        switch command.action {
        case .cache: answer(index)
        case .read, .blockStatus:
            requests[index].piece = command.length
            monitor.mayRead(connection) ? operate(index) : hold(index)
        case .write, .flush: enter(index, length: command.length, again: again)
        case .trim, .writeZeroes:
            let done = requests[index].done
            let toNext = Self.maximumPiece - UInt32((command.offset + UInt64(done)) % UInt64(Self.maximumPiece))
            enter(index, length: min(command.length - done, toNext), again: again)
        }
    }

    private func enter(_ index: Int, length: UInt32, again: Bool) {
        requests[index].piece = length
        let offset = requests[index].command.offset + UInt64(requests[index].done)
        switch monitor.enter(
            connection, ticket: ticket(index), offset: offset, length: UInt64(length), again: again)
        {
        case .go(let pass):
            requests[index].pass = pass
            operate(index)
        case .hold: hold(index)
        case .failed(let code): fail(index, code)
        }
    }

    private func hold(_ index: Int) {
        requests[index].stage = .held
        held.append(index)
    }

    private func leaveGate(_ index: Int) {
        guard let pass = requests[index].pass else { return }
        requests[index].pass = nil
        monitor.leave(pass)
    }

    private func begin(_ index: Int, _ backend: any ExportBackend) {
        let command = requests[index].command
        switch command.action {
        case .cache: return answer(index)
        case .blockStatus where transmission.changedSince == nil:
            let extents = [NBDExtent(length: command.length, isHole: false)]
            let bytes = transmission.status(command.cookie, extents: extents)
            memory.data(requests[index].pages).copyMemory(from: bytes, byteCount: bytes.count)
            return answer(index, status: bytes.count)
        case .read, .write, .flush, .trim, .writeZeroes, .blockStatus: break
        }
        requests[index].stage = .backend
        requests[index].piece = command.length
        atWork += 1
        var length = requests[index].pages.count > 0 ? Int(command.length) : 0
        if case .blockStatus = command.action { length = NBD.maximumStatusLength }
        let data = UnsafeMutableRawBufferPointer(start: memory.data(requests[index].pages), count: length)
        backend.begin(
            ExportRequest(
                command: command, data: data, transmission: transmission, ticket: ticket(index)
            ) { [mailbox] result in
                mailbox.post(index, result)
            })
    }

    /// Something changed at the gate, or others have finished something.
    func wake() {
        for letter in mailbox.take() { finished(letter.request, letter.result) }
        for _ in 0..<held.count { admit(held.removeFirst(), again: true) }
    }

    // MARK: - Disk

    private func operate(_ index: Int) {
        requests[index].stage = .disk
        atWork += 1
        operations.append(index)
    }

    var hasOperations: Bool { !operations.isEmpty || hasFlush }

    /// One flush at a time: those that come meanwhile share the next.
    private var hasFlush: Bool { !unflushed.isEmpty && flushing.isEmpty }

    /// What to do now; nil: nothing more.
    package func nextOperation() -> DiskOperation? {
        if operations.isEmpty { return nextFlush() }
        let index = operations.removeFirst()
        watch.begin(ticket(index))
        return operation(index)
    }

    /// It goes by the number of the first request that waits for it.
    private func nextFlush() -> DiskOperation? {
        guard hasFlush else { return nil }
        swap(&flushing, &unflushed)
        atWork += 1
        watch.begin(ticket(flushing[0]))
        return DiskOperation(request: flushing[0], kind: .flush)
    }

    private func operation(_ index: Int) -> DiskOperation {
        let request = requests[index]
        let command = request.command
        let data = memory.data(request.pages)
        let offset = command.offset + UInt64(request.done)
        let left = command.length - request.done
        switch command.action {
        case .read:
            return DiskOperation(
                request: index, kind: .read(data + Int(request.done), length: left, offset: offset))
        case .write(let fua):
            let durable = fua && !sharesFlushes
            return DiskOperation(
                request: index, kind: .write(data + Int(request.done), length: left, offset: offset, durable: durable))
        case .flush, .cache: return DiskOperation(request: index, kind: .flush)
        case .trim(let fua):
            return blocking(index, .trim(offset: offset, length: UInt64(request.piece), durable: fua))
        case .writeZeroes(let fua, let mayPunch):
            return blocking(
                index,
                .writeZeroes(offset: offset, length: UInt64(request.piece), durable: fua, mayPunch: mayPunch))
        case .blockStatus(let one):
            return blocking(index, .extents(offset: command.offset, length: command.length, one: one))
        }
    }

    private func blocking(_ index: Int, _ kind: BlockingWork.Kind) -> DiskOperation {
        let request = requests[index]
        let pages = request.pages.count * ConnectionMemory.pageSize
        let work = BlockingWork(
            kind: kind, reply: UnsafeMutableRawBufferPointer(start: memory.data(request.pages), count: pages),
            cookie: request.command.cookie, transmission: transmission)
        return DiskOperation(request: index, kind: .blocking(work))
    }

    /// What `finished` gets for an operation that came too late to the disk, or for which the kernel found no thread:
    /// its request is at the gate again.
    static let cameTooLate = -ECANCELED

    /// Does it on a thread of the pool. It may wait long for one, behind calls of a disk that hangs, and meanwhile the
    /// lease may have ended: so the gate is looked at again.
    func run(_ operation: DiskOperation, on pool: WorkerPool, _ device: OriginDevice) {
        pool.run { [monitor, mailbox] in
            let result = monitor.mayGoOn() ? device.perform(operation.kind) : Self.cameTooLate
            mailbox.post(operation.request, result)
        }
    }

    /// An operation has returned, or a backend has answered: bytes or 0; -errno on failure.
    package func finished(_ index: Int, _ result: Int32) {
        atWork -= 1
        let isBackend = requests[index].stage == .backend
        if !isBackend { watch.end(ticket(index)) }
        if requests[index].stage == .flush { return flushed(result) }
        if ending == .now { return leaveGate(index) }
        if result == -EINTR || result == -EAGAIN { return operate(index) }
        if result == Self.cameTooLate, !isBackend { return again(index) }
        if result < 0 { return fail(index, -result) }
        if isBackend { return answer(index, status: Int(result)) }
        switch requests[index].command.action {
        case .read, .write: moved(index, UInt32(result))
        case .flush, .cache: answer(index)
        case .trim, .writeZeroes:
            requests[index].done += requests[index].piece
            if requests[index].done == requests[index].command.length { return answer(index) }
            leaveGate(index)
            admit(index)
        case .blockStatus: answer(index, status: Int(result))
        }
    }

    /// As if none of its present part had been done.
    private func again(_ index: Int) {
        if requests[index].stage == .flush { requests[index].done = 0 }
        leaveGate(index)
        admit(index)
    }

    private func moved(_ index: Int, _ count: UInt32) {
        // Inside the size a disk never moves nothing.
        if count == 0 { return fail(index, EIO) }
        requests[index].done += count
        if requests[index].done < requests[index].command.length { return operate(index) }
        guard sharesFlushes, case .write(fua: true) = requests[index].command.action else { return answer(index) }
        requests[index].stage = .flush
        unflushed.append(index)
    }

    private func flushed(_ result: Int32) {
        while !flushing.isEmpty {
            let index = flushing.removeFirst()
            if ending == .now {
                leaveGate(index)
            } else if result == -EINTR || result == -EAGAIN {
                unflushed.append(index)
            } else if result == Self.cameTooLate {
                again(index)
            } else {
                result < 0 ? fail(index, -result) : answer(index)
            }
        }
    }

    // MARK: - Answers

    /// Done; with a READ's data, or `status` bytes that are a whole reply.
    private func answer(_ index: Int, status: Int = 0) {
        let command = requests[index].command
        switch command.action {
        case .read:
            put(index, transmission.data(command.cookie, offset: command.offset, length: command.length))
            requests[index].data = Int(command.length)
        case .blockStatus:
            requests[index].header = 0
            requests[index].data = status
        case .write, .flush, .trim, .writeZeroes, .cache: put(index, transmission.done(command.cookie))
        }
        reply(index)
    }

    private func fail(_ index: Int, _ code: Int32) {
        let command = requests[index].command
        let isRead = command.action == .read
        put(index, transmission.failure(command.cookie, NBDError(errno: code), isRead: isRead))
        reply(index)
    }

    func refuse(_ index: Int, _ cookie: UInt64, _ error: NBDError, isRead: Bool) {
        put(index, transmission.failure(cookie, error, isRead: isRead))
        reply(index)
    }

    private func put(_ index: Int, _ header: NBDReplyHeader) {
        header.write(to: UnsafeMutableRawBufferPointer(start: memory.header(index), count: header.count))
        requests[index].header = header.count
        requests[index].data = 0
    }

    private func reply(_ index: Int) {
        leaveGate(index)
        requests[index].stage = .reply
        replies.append(index)
    }
}
