import CsnapCore

/// Whether requests may touch the disk: resumed in the adopted tenure, and the client lease not over.
///
/// A pure value; only the agent moves it, and only to higher tenures (docs/data-plane.md, fail-over rules). When the
/// lease runs out it is closed by itself; a renewed lease of the same tenure opens it again.
struct ClientGate: Equatable, Sendable {
    private(set) var adopted = Tenure.none
    private(set) var resumed = false
    private(set) var leaseUntil = Instant.distantPast
    /// A barrier holds what changes the origin; reads go on.
    private(set) var holdsWrites = false
    /// Writes, trims, write-zeroes and flushes that went to the disk and have not returned.
    var writesInFlight: UInt32 { entered + elsewhere }
    private var entered: UInt32 = 0
    /// Those of them that were counted outside (`FastGate`).
    private var elsewhere: UInt32 = 0
    /// `suspended` was said for this tenure with a number above 0: it is said again at 0.
    private var owesZeroFor: Tenure?
    private var owesDrained = false

    func isOpen(_ now: Instant) -> Bool { resumed && now < leaseUntil }

    func admitsWrites(_ now: Instant) -> Bool { isOpen(now) && !holdsWrites }

    /// True if no write is at the disk; else `takeDrained` will say when.
    mutating func holdWrites() -> Bool {
        holdsWrites = true
        owesDrained = writesInFlight > 0
        return !owesDrained
    }

    mutating func releaseWrites() {
        holdsWrites = false
        owesDrained = false
    }

    /// Once per `holdWrites` that was not drained at once.
    mutating func takeDrained() -> Bool {
        guard owesDrained, writesInFlight == 0 else { return false }
        owesDrained = false
        return true
    }

    /// Adopts a higher tenure: closed, without a lease. Returns false for any other.
    mutating func adopt(_ tenure: Tenure) -> Bool {
        guard tenure > adopted else { return false }
        adopted = tenure
        close()
        leaseUntil = .distantPast
        return true
    }

    mutating func close() {
        resumed = false
    }

    /// Another boot of the agent: what the last one allowed is over.
    mutating func forgetLease() {
        resumed = false
        leaseUntil = .distantPast
    }

    /// The number to report with `suspended`; if it is above 0, `leave` will say when it is 0.
    mutating func reportSuspended(_ tenure: Tenure) -> UInt32 {
        owesZeroFor = writesInFlight > 0 ? tenure : nil
        return writesInFlight
    }

    mutating func resume(_ tenure: Tenure) -> Bool {
        guard tenure == adopted, tenure != .none else { return false }
        resumed = true
        owesZeroFor = nil
        return true
    }

    /// A lease never shrinks: only the agent gives it, and each counts from a request that was sent later.
    mutating func extend(_ tenure: Tenure, until: Instant) -> Bool {
        guard tenure == adopted, tenure != .none else { return false }
        leaseUntil = max(leaseUntil, until)
        return true
    }

    /// A write enters the count first; only then the gate and the bitmap are read.
    mutating func enter() { entered += 1 }

    /// A write has returned from the disk, or never went there; the tenure for which the agent waits to hear of 0.
    mutating func leave() -> Tenure? {
        entered -= 1
        return takeZero()
    }

    /// Somebody counts writes elsewhere, and has closed their way before.
    mutating func countElsewhere(_ writes: UInt32) { elsewhere = writes }

    /// The tenure for which the agent waits to hear of 0, if it is 0 now.
    mutating func takeZero() -> Tenure? {
        guard writesInFlight == 0 else { return nil }
        defer { owesZeroFor = nil }
        return owesZeroFor
    }

    /// Whether somebody waits for 0 writes in flight.
    var owesNews: Bool { owesZeroFor != nil || owesDrained }
}
