import Synchronization

/// What the relay does to the packets between two nodes; changed by scenarios while it runs.
package final class LinkFaults: Sendable {
    package struct Link: Hashable, Sendable {
        package var from: Int
        package var to: Int
    }

    private struct State {
        var cuts: Set<Link> = []
        /// Packets lost, 0 to 1, on every link.
        var loss = 0.0
        var delayNanoseconds: Int64 = 0
    }

    private let state = Mutex(State())

    package init() {}

    /// Nothing passes from `from` to `to` any more; the other direction stays.
    package func cut(from: Int, to: Int) {
        guard from != to else { return }
        state.withLock { _ = $0.cuts.insert(Link(from: from, to: to)) }
    }

    package func heal(from: Int, to: Int) {
        state.withLock { _ = $0.cuts.remove(Link(from: from, to: to)) }
    }

    package func cutBothWays(_ left: Int, _ right: Int) {
        cut(from: left, to: right)
        cut(from: right, to: left)
    }

    package func isolate(_ node: Int, from others: some Sequence<Int>) {
        for other in others { cutBothWays(node, other) }
    }

    package func healAll() { state.withLock { $0.cuts.removeAll() } }

    /// Takes a node's links back into use.
    package func rejoin(_ node: Int) {
        state.withLock { state in state.cuts = state.cuts.filter { $0.from != node && $0.to != node } }
    }

    package func setLoss(percent: Double) { state.withLock { $0.loss = min(max(percent, 0), 100) / 100 } }

    package func setDelay(milliseconds: Int) {
        state.withLock { $0.delayNanoseconds = Int64(milliseconds) * 1_000_000 }
    }

    package func isCut(from: Int, to: Int) -> Bool {
        state.withLock { $0.cuts.contains(Link(from: from, to: to)) }
    }

    /// What happens to one packet: nil if it is lost, else how long it is held.
    func fate(from: Int, to: Int, random: inout some RandomNumberGenerator) -> Int64? {
        let (cut, loss, delay) = state.withLock {
            ($0.cuts.contains(Link(from: from, to: to)), $0.loss, $0.delayNanoseconds)
        }
        guard !cut else { return nil }
        guard from != to else { return 0 }
        if loss > 0, Double.random(in: 0..<1, using: &random) < loss { return nil }
        return delay
    }

    /// How long a chunk of a TCP stream is held: a lost segment costs the kernel's shortest retransmission time.
    func hold(from: Int, to: Int, random: inout some RandomNumberGenerator) -> Int64 {
        let (loss, delay) = state.withLock { ($0.loss, $0.delayNanoseconds) }
        guard from != to else { return 0 }
        guard loss > 0, Double.random(in: 0..<1, using: &random) < loss else { return delay }
        return delay + 200_000_000
    }
}
