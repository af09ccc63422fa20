/// The invariants of docs/protocol.md §8, by number.
package enum Invariant: Int, Sendable {
    case epochUniqueness = 1
    case monotonePromise = 2
    case noEpochReuse = 3
    case oneLease = 4
    case oneServer = 5
    case storeExclusion = 6
    case grantFreshness = 7
    case restartMute = 8
    case noPreemption = 9
    case discovery = 10
    case admissionRecorded = 11
    case barrierComplete = 12
    case noStaleService = 13
    case suspendBeforeChange = 14
    case incarnationMonotone = 15
    case bootUniqueness = 16
    case configurationOverlap = 17
    case cleanStop = 18
    case idempotence = 19
    case eventOrder = 20
    case suspicionIsHarmless = 21
    case convergence = 22
    case progress = 23
    case bounds = 24
}

/// Stops the process when our own code broke an invariant; on in release builds too.
///
/// What a peer, a disk or a person can cause must never reach it: that is an error value.
@inline(__always)
package func invariant(_ rule: Invariant, _ holds: Bool, _ what: StaticString) {
    if !holds { fatalError("invariant \(rule.rawValue) broken: \(what)") }
}
