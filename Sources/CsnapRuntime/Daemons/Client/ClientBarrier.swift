import CsnapCore
package import CsnapSession

/// A snapshot is being made, and this client stands still for it.
struct ClientBarrier: Equatable, Sendable {
    enum Phase: Equatable {
        /// Writes at the disk are waited for, then the origin is flushed.
        case draining
        /// Nothing is at the disk and the origin is flushed: only END, or a new session's WELCOME, lets writes go on.
        case acknowledged
    }

    let attempt: BarrierAttempt
    var phase = Phase.draining
}

extension ClientCore {
    /// BEGIN: what waits for a grant will be asked for again; nothing more goes to the origin.
    mutating func begin(_ attempt: BarrierAttempt) {
        guard session == .open, attempt.tenure == gate.adopted else { return }
        barrier = ClientBarrier(attempt: attempt)
        queries.askAgain()
        if gate.holdWrites() || SessionMutants.active(.ackBeforeDrained) { flush(attempt) }
    }

    /// The last write has returned.
    mutating func drained() {
        if let barrier { flush(barrier.attempt) }
    }

    private mutating func flush(_ attempt: BarrierAttempt) {
        if SessionMutants.active(.ackBeforeFlushed) { return flushed(attempt, error: 0, sample: 0) }
        actions.append(.flushOrigin(attempt))
    }

    /// The origin is flushed (0), or could not be. Then nothing is said: the server gives up at its deadline and names
    /// this node. `sample`: the sum of the origin's sample.
    package mutating func flushed(_ attempt: BarrierAttempt, error: Int32, sample: UInt32) {
        guard barrier == ClientBarrier(attempt: attempt) else { return }
        guard error == 0 else {
            note(
                .originUnflushed, "the origin cannot be flushed for a snapshot, which will be refused: error \(error)",
                attempt.tenure)
            return
        }
        barrier?.phase = .acknowledged
        if session == .open { actions.append(.send(.barrierAck(attempt, origin: sample))) }
    }

    /// END: go on in this generation. If it is the old one no snapshot was made, and the bitmap still holds.
    /// `originSize`: as many bytes from now on; 0: as many as before.
    mutating func end(_ attempt: BarrierAttempt, generation: UInt64, originSize: UInt64, _ now: Instant) {
        guard session == .open else { return }
        guard barrier?.attempt == attempt else {
            if bitmap?.generation != generation { abandon(now, pause: Self.reconnectPause) }
            return
        }
        if let old = bitmap, old.generation != generation {
            bitmap = UnsharedBitmap(
                storeUUID: old.storeUUID, generation: generation, chunkSize: old.chunkSize,
                originSize: self.originSize)
            if SessionMutants.active(.bitmapKeptAtEnd) { bitmap?.insert(allOf: old) }
        }
        grow(to: originSize)
        leaveBarrier()
        ask()
    }

    /// The origin has become larger: connections made from now on see it. Every chunk is asked for once again.
    mutating func grow(to size: UInt64) {
        guard size > originSize else { return }
        originSize = size
        if let old = bitmap {
            bitmap = UnsharedBitmap(
                storeUUID: old.storeUUID, generation: old.generation, chunkSize: old.chunkSize, originSize: size)
        }
        actions.append(.grown(size))
    }

    /// The device has grown, and the store does not know it yet: nothing behind its size could be saved.
    mutating func shrink(to size: UInt64) {
        note(
            .other,
            "the origin has \(originSize) bytes, of which the store knows \(size), and no more are offered: "
                + "`csnapctl volume resize \(volume)` if it has grown")
        originSize = size
        actions.append(.offer(size))
    }

    mutating func leaveBarrier() {
        guard barrier != nil else { return }
        barrier = nil
        gate.releaseWrites()
        actions.append(.wake)
    }
}
