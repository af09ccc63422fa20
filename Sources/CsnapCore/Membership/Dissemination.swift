/// News still to be told, with how often each was told already (SWIM §4.1, infection-style dissemination).
///
/// It names the news; the text is read from the current state when a message is made, so old news is never sent.
struct Dissemination: Equatable, Sendable {
    enum News: Equatable, Comparable, Sendable {
        case claim
        case configuration
        case member(NodeID)
        case accusation(NodeID, by: NodeID)
    }

    private var told = SortedTable<News, Int>()

    var isEmpty: Bool { told.isEmpty }

    /// Tells it anew, from the start.
    mutating func add(_ news: News) { told[news] = 0 }

    mutating func drop(_ news: News) { told[news] = nil }

    /// 3·log₂(N+1) and 4 more: then the item has reached all with high probability.
    static func limit(members: Int) -> Int { 3 * logarithm2(members + 1) + 4 }

    /// All news, least told first.
    var inOrder: [News] {
        if told.count < 2 { return told.keys }
        return zip(told.keys, told.values)
            .sorted { $0.1 == $1.1 ? $0.0 < $1.0 : $0.1 < $1.1 }
            .map { $0.0 }
    }

    /// It was put into one message; after `limit` of them it is news no more.
    mutating func wasTold(_ news: News, limit: Int) {
        guard let count = told[news] else { return }
        told[news] = count + 1 < limit ? count + 1 : nil
    }
}
