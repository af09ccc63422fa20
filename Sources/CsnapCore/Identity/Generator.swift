/// A deterministic source of random words (SplitMix64, Steele, Lea and Flood 2014), seeded by the shell.
///
/// It lives in the core's state, so that equal states behave equally. Its words need to be unpredictable only to
/// the network, which a seed from the operating system's generator gives.
package struct Generator: Equatable, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    /// A number in 0..<bound; 0 when bound is 0.
    package mutating func next(below bound: Int) -> Int {
        bound <= 0 ? 0 : Int(next() % UInt64(bound))
    }

    /// An interval in zero..<bound.
    package mutating func next(below bound: Interval) -> Interval {
        bound.nanoseconds <= 0 ? .zero : Interval(nanoseconds: Int64(next() % UInt64(bound.nanoseconds)))
    }
}
