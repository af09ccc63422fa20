/// What a window is used for. A sealed window with nothing in it is free, whatever it was.
enum WindowKind: UInt8, Equatable, Sendable {
    case free = 0
    case data = 1
    case nodes = 2
    case journal = 3
}

struct Window: Equatable, Sendable {
    var kind: WindowKind = .free
    /// Units of data, or nodes; a journal counts as 1 until a checkpoint has passed it.
    var used: UInt32 = 0
}

/// The nodes and pages that the last checkpoint reaches, a bit each; only windows that hold some are listed.
struct NodeMap: Equatable, Sendable {
    private(set) var windows: [UInt32] = []
    private var maps: [[UInt64]] = []
    let nodesPerWindow: Int

    init(nodesPerWindow: Int) { self.nodesPerWindow = nodesPerWindow }

    func isUsed(_ window: UInt32, _ index: Int) -> Bool {
        guard let map = map(of: window) else { return false }
        return map[index / 64] >> UInt64(index % 64) & 1 == 1
    }

    func map(of window: UInt32) -> [UInt64]? {
        let position = position(of: window)
        return position < windows.count && windows[position] == window ? maps[position] : nil
    }

    /// False: it was so already.
    mutating func set(_ window: UInt32, _ index: Int, used: Bool) -> Bool {
        if isUsed(window, index) == used { return false }
        var map = map(of: window) ?? [UInt64](repeating: 0, count: (nodesPerWindow + 63) / 64)
        map[index / 64] ^= 1 << UInt64(index % 64)
        replace(window, map)
        return true
    }

    /// An empty map takes the window off the list.
    mutating func replace(_ window: UInt32, _ map: [UInt64]) {
        let position = position(of: window)
        let isListed = position < windows.count && windows[position] == window
        switch (isListed, map.allSatisfy { $0 == 0 }) {
        case (true, true):
            windows.remove(at: position)
            maps.remove(at: position)
        case (true, false): maps[position] = map
        case (false, true): break
        case (false, false):
            windows.insert(window, at: position)
            maps.insert(map, at: position)
        }
    }

    func count(in window: UInt32) -> Int { map(of: window)?.reduce(0) { $0 + $1.nonzeroBitCount } ?? 0 }

    private func position(of window: UInt32) -> Int {
        var low = 0
        var high = windows.count
        while low < high {
            let middle = (low + high) / 2
            if windows[middle] < window { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
