/// What readers may still look at: addresses that they were told before something was deleted or overwritten.
///
/// Each deletion has a stamp of its own. Overwriting in branches has one stamp at a time, whatever its pace: what comes
/// while that is open gets the next one, so that the space of a branch that is written without a pause comes back too.
struct ReaderMemory: Sendable {
    private(set) var stamp: UInt64 = 0
    /// None: readers of an earlier server may look at anything.
    private var forgotten: UInt64?
    private var deletion: UInt64 = 0
    /// Writes up to this one whose stamp is open.
    private var open: (stamp: UInt64, write: UInt64)?
    /// Something was overwritten after that.
    private var hasMore = false
    /// What this write and those before it took the place of, nobody looks at.
    private(set) var overwritten: UInt64 = 0

    /// `lastWrite`: of earlier servers.
    init(lastWrite: UInt64 = 0) {
        open = (0, lastWrite)
        if StoreMutants.active(.forgottenAtTaking) { forgot(upTo: 0, lastWrite: lastWrite) }
    }

    /// Nobody looks at what was deleted.
    var forgotDeletions: Bool { forgotten.map { $0 >= deletion } ?? false }

    /// Nobody looks at what was overwritten, whenever that was.
    var forgotOverwriting: Bool { open == nil && !hasMore }

    mutating func deleted() {
        stamp += 1
        deletion = stamp
    }

    mutating func overwrote(lastWrite: UInt64) {
        hasMore = true
        ask(lastWrite)
    }

    mutating func forgot(upTo stamp: UInt64, lastWrite: UInt64) {
        let forgotten = max(forgotten ?? 0, stamp)
        self.forgotten = forgotten
        guard let open, open.stamp <= forgotten else { return }
        overwritten = open.write
        self.open = nil
        ask(lastWrite)
    }

    private mutating func ask(_ lastWrite: UInt64) {
        guard hasMore, open == nil else { return }
        if !StoreMutants.active(.overwrittenWithoutStamp) { stamp += 1 }
        open = (stamp, lastWrite)
        hasMore = false
    }
}
