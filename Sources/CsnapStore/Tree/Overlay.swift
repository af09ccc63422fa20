/// Entries that came or went since a checkpoint: what lies above the tree.
///
/// Sorted runs of bounded length, so that an insertion moves little.
struct Overlay: Equatable, Sendable {
    struct Item: Equatable, Sendable {
        var entry: Entry
        /// The entry of this key is gone, whatever lies below.
        var isRemoved: Bool
    }

    private static let runLimit = 256
    private(set) var runs: [[Item]] = []
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func set(_ item: Item) {
        let key = item.entry.key
        guard !runs.isEmpty else {
            runs = [[item]]
            count = 1
            return
        }
        let run = max(firstRun(above: key) - 1, 0)
        let position = Self.position(of: key, in: runs[run])
        if position < runs[run].count, runs[run][position].entry.key == key {
            runs[run][position] = item
            return
        }
        runs[run].insert(item, at: position)
        count += 1
        if runs[run].count > Self.runLimit {
            let half = Array(runs[run][(Self.runLimit / 2)...])
            runs[run].removeLast(half.count)
            runs.insert(half, at: run + 1)
        }
    }

    /// The item of the lowest key that is not below this one.
    func ceiling(_ key: EntryKey) -> Item? {
        let run = max(firstRun(above: key) - 1, 0)
        guard run < runs.count else { return nil }
        let position = Self.position(of: key, in: runs[run])
        if position < runs[run].count { return runs[run][position] }
        return run + 1 < runs.count ? runs[run + 1].first : nil
    }

    /// All items in order.
    var items: [Item] { runs.flatMap { $0 } }

    /// The first run that begins above the key.
    private func firstRun(above key: EntryKey) -> Int {
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle][0].entry.key <= key { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func position(of key: EntryKey, in run: [Item]) -> Int {
        var low = 0
        var high = run.count
        while low < high {
            let middle = (low + high) / 2
            if run[middle].entry.key < key { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
