/// Which pages of a connection's memory are taken: runs of neighbouring pages, the lowest first, so that a connection
/// with small requests touches little memory.
package struct PageMap: Equatable, Sendable {
    package let pages: Int
    package private(set) var free: Int
    /// One bit a page, set when it is taken.
    private var words: [UInt64]

    /// `pages` is a multiple of 64.
    package init(pages: Int) {
        precondition(pages > 0 && pages % 64 == 0, "pages come in words of 64")
        self.pages = pages
        free = pages
        words = [UInt64](repeating: 0, count: pages / 64)
    }

    /// The first page of a run of `count`, now taken; nil if there is none.
    package mutating func take(_ count: Int) -> Int? {
        guard count > 0, count <= free, let first = count == 1 ? single() : run(count) else { return nil }
        mark(first, count)
        free -= count
        return first
    }

    package mutating func release(_ first: Int, _ count: Int) {
        for page in first..<first + count { words[page / 64] &= ~(1 << UInt64(page % 64)) }
        free += count
    }

    private mutating func mark(_ first: Int, _ count: Int) {
        for page in first..<first + count { words[page / 64] |= 1 << UInt64(page % 64) }
    }

    private func single() -> Int? {
        for (index, word) in words.enumerated() where word != .max {
            return index * 64 + (~word).trailingZeroBitCount
        }
        return nil
    }

    private func run(_ count: Int) -> Int? {
        var first = 0
        var page = 0
        while page - first < count {
            guard page < pages else { return nil }
            if page % 64 == 0 && words[page / 64] == .max {
                page += 64
                first = page
            } else if words[page / 64] & 1 << UInt64(page % 64) != 0 {
                page += 1
                first = page
            } else {
                page += 1
            }
        }
        return first
    }
}
