/// The measured round trip to one peer, smoothed as in RFC 6298.
struct RoundTrip: Equatable, Sendable {
    /// Longer measurements are not believed: an echo is the peer's word.
    static let longest = Interval.seconds(30)

    private(set) var smoothed: Interval?
    private var deviation = Interval.zero

    /// Takes one measurement; one out of 0...`longest` is ignored.
    mutating func measured(_ took: Interval) {
        guard took >= .zero, took <= Self.longest else { return }
        guard let before = smoothed else {
            smoothed = took
            deviation = took / 2
            return
        }
        let error = took < before ? before - took : took - before
        deviation = (deviation * 3 + error) / 4
        smoothed = (before * 7 + took) / 8
    }

    /// How long to wait for a direct answer: between a tenth and a half of the period, so that relays have the rest.
    func timeout(period: Interval) -> Interval {
        guard let smoothed else { return period / 3 }
        return min(max(smoothed + deviation * 4, period / 10), period / 2)
    }
}
