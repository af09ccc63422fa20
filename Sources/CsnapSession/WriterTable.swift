import CsnapCore

/// The writers of one volume that the store has on record and nobody has cleared.
///
/// Whoever stands here may have writes at the disk that land at any time, until it acknowledges a barrier or is
/// proven gone (docs/data-plane.md, "Writers").
struct WriterTable: Equatable, Sendable {
    private enum State: Equatable, Sendable {
        /// The record is on its way to the store; nobody of this writer is welcome yet.
        case recording
        case recorded
        /// Its machine runs another kernel since then.
        case surpassed(Instant)
        /// The clearing is on its way to the store; whether its machine runs another kernel.
        case clearing(isSurpassed: Bool)
    }

    private var states = SortedTable<SessionWriter, State>()
    /// The newest client of each that was welcome in this tenure; gone with its record.
    private var clients = SortedTable<SessionWriter, ReadOwner>()

    init(_ recorded: [SessionWriter]) {
        for writer in recorded { states[writer] = .recorded }
    }

    /// Those that count when a snapshot is made.
    var uncleared: [SessionWriter] { states.keys }

    func contains(_ writer: SessionWriter) -> Bool { states[writer] != nil }

    func lastClient(of writer: SessionWriter) -> ReadOwner? { clients[writer] }

    mutating func welcomed(_ client: ReadOwner, of writer: SessionWriter) { clients[writer] = client }

    func isRecorded(_ writer: SessionWriter) -> Bool {
        switch states[writer] {
        case .recorded, .surpassed: true
        case .recording, .clearing, nil: false
        }
    }

    /// The machine of this writer runs this kernel: what its others sent is not sent again.
    mutating func runs(_ writer: SessionWriter, at now: Instant) {
        for other in otherKernels(of: writer) where states[other] == .recorded { states[other] = .surpassed(now) }
    }

    /// Writers of the same machine's other kernels.
    func otherKernels(of writer: SessionWriter) -> [SessionWriter] {
        states.keys.filter {
            $0.machineID == writer.machineID && $0.node == writer.node && $0.kernelBootID != writer.kernelBootID
        }
    }

    /// True: order the record. False: it is there, or ordered already.
    mutating func needsRecord(_ writer: SessionWriter) -> Bool {
        switch states[writer] {
        case .recorded, .recording: return false
        case .surpassed:
            states[writer] = .recorded
            return false
        case .clearing, nil:
            states[writer] = .recording
            return true
        }
    }

    mutating func recorded(_ writer: SessionWriter) { states[writer] = .recorded }

    /// The store could not change its record. What only time settles is tried again after as much of it.
    mutating func notChanged(_ writer: SessionWriter, at now: Instant) {
        switch states[writer] {
        case .recording: states[writer] = nil
        case .clearing(let isSurpassed): states[writer] = isSurpassed ? .surpassed(now) : .recorded
        case .recorded, .surpassed, nil: break
        }
    }

    /// True: order the clearing.
    mutating func clear(_ writer: SessionWriter) -> Bool {
        switch states[writer] {
        case .recorded:
            states[writer] = .clearing(isSurpassed: false)
            return true
        case .surpassed:
            states[writer] = .clearing(isSurpassed: true)
            return true
        case .recording, .clearing, nil: return false
        }
    }

    /// The store has no record of it any more. A record ordered meanwhile stays.
    mutating func cleared(_ writer: SessionWriter) {
        guard case .clearing = states[writer] else { return }
        states[writer] = nil
        clients[writer] = nil
    }

    /// Those whose machine has run another kernel for `settle`.
    func settled(at now: Instant, after settle: Interval) -> [SessionWriter] {
        var settled: [SessionWriter] = []
        for (writer, state) in states {
            if case .surpassed(let since) = state, now - since >= wait(settle) { settled.append(writer) }
        }
        return settled
    }

    private func wait(_ settle: Interval) -> Interval {
        SessionMutants.active(.surpassedWriterClearedAtOnce) ? .zero : settle
    }

    /// When `settled` has the next one; in the distant future: none.
    func nextSettling(after settle: Interval) -> Instant {
        var next = Instant.distantFuture
        for state in states.values {
            if case .surpassed(let since) = state { next = min(next, since + wait(settle)) }
        }
        return next
    }
}
