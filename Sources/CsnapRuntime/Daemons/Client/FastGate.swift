import CsnapCore
import Synchronization

/// The gate as requests see it: words that the threads of all connections read without a lock.
///
/// It only repeats what the core, under the monitor's lock, has decided; when in doubt it is closed, and the request
/// asks the core itself. So it may be closed at any time and never be open too long:
///
/// - *Closing*: the monitor stores 0 into both deadlines, then loads `writes`. A writer adds itself to `writes`, then
///   loads `writesUntil`. All four are sequentially consistent, so either the writer sees 0 and goes back, or the
///   monitor sees the writer: nobody who counts zero can miss a write.
/// - *The owed zero*: the monitor stores `tells`, then loads `writes`. A writer subtracts itself, then loads `tells`.
///   Again one of them sees the other, so the last writer tells, or the monitor knows that there was none.
/// - *The bitmap*: the monitor changes `view` only when the gate is closed and `writes` is 0 after that. A writer reads
///   it only between adding and subtracting itself, and after it saw the gate open. So no thread reads it while it
///   changes; the deadline that is stored afterwards (release) brings it to who loads that deadline (acquire).
/// - *The clock*: a deadline is compared with the clock after it was loaded.
///
/// `@unchecked Sendable` is safe for `view` by the third rule; everything else is atomic.
final class FastGate: @unchecked Sendable {
    /// Nanoseconds of CLOCK_BOOTTIME; 0: closed.
    private let readsUntil = Atomic<Int64>(0)
    private let writesUntil = Atomic<Int64>(0)
    /// Writes that passed here and have not left, and those that are just looking.
    private let writes = Atomic<UInt32>(0)
    private let tells = Atomic<Bool>(false)
    private var view: ChunkBits?
    /// Keeps what `view` points to; of no interest to writers.
    private var memory: AlignedBuffer?

    // MARK: - Connections

    func mayRead() -> Bool {
        let until = readsUntil.load(ordering: .acquiring)
        return BootClock.now().nanoseconds < until
    }

    /// What a write learns here.
    enum Passage: Equatable {
        /// To the disk; then `leave`.
        case go
        /// Ask the core.
        case no
        /// Ask the core; and tell it that the count is 0 again.
        case noAndTell
    }

    /// A write of `length` bytes; of 0 bytes: a flush.
    func enter(offset: UInt64, length: UInt64) -> Passage {
        writes.add(1, ordering: .sequentiallyConsistent)
        let until = writesUntil.load(ordering: .sequentiallyConsistent)
        if BootClock.now().nanoseconds < until && isUnshared(offset: offset, length: length) { return .go }
        return leave() ? .noAndTell : .no
    }

    private func isUnshared(offset: UInt64, length: UInt64) -> Bool {
        if length == 0 { return true }
        guard let view else { return false }
        return view.shared(in: view.range(offset: offset, length: length)) == nil
    }

    /// True: the core is to be told that the count is 0.
    func leave() -> Bool {
        let left = writes.subtract(1, ordering: .sequentiallyConsistent).newValue
        return left == 0 && tells.load(ordering: .sequentiallyConsistent)
    }

    // MARK: - Monitor, under its lock

    /// The writes that may still be at the disk; no new one gets there until `open`.
    func close() -> UInt32 {
        readsUntil.store(0, ordering: .sequentiallyConsistent)
        writesUntil.store(0, ordering: .sequentiallyConsistent)
        return writes.load(ordering: .sequentiallyConsistent)
    }

    /// Repeats the core's state, after `close`.
    func open(_ state: ClientCore.Verdict) {
        readsUntil.store(state.readsUntil.nanoseconds, ordering: .releasing)
        if view != state.bitmap?.bits {
            // A writer that still looks may read the old one: then writes ask the core until the next time.
            guard writes.load(ordering: .sequentiallyConsistent) == 0 else { return }
            view = state.bitmap?.bits
            memory = state.bitmap?.memory
        }
        writesUntil.store(state.writesUntil.nanoseconds, ordering: .sequentiallyConsistent)
    }

    /// Whether `leave` is to say when the count is 0; true: it is 0 already.
    func tell(_ wanted: Bool) -> Bool {
        tells.store(wanted, ordering: .sequentiallyConsistent)
        return wanted && writes.load(ordering: .sequentiallyConsistent) == 0
    }
}
