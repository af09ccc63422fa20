/// Which units hold saved data: a bit each, in pages that are read when they are first needed and written by the
/// checkpoints that find them changed.
struct SpaceMap: Sendable {
    /// Bits of one page.
    let unitsPerPage: Int
    /// Where each page lies; none: all its units are free.
    private(set) var pointers: [NodePointer?]
    /// None: not read yet.
    private(set) var pages: [[UInt64]?]
    private(set) var isChanged: [Bool]

    init(_ geometry: StoreGeometry) {
        unitsPerPage = (Int(geometry.nodeSize) - MetaPage.headerSize) * 8
        let units = geometry.windowCount * geometry.unitsPerWindow
        let count = (units + unitsPerPage - 1) / unitsPerPage
        pointers = [NodePointer?](repeating: nil, count: count)
        pages = [[UInt64]?](repeating: nil, count: count)
        isChanged = [Bool](repeating: false, count: count)
    }

    func page(of unit: UInt64) -> Int { Int(unit) / unitsPerPage }

    /// What must be read before the page is used; none if it is there.
    func missing(_ page: Int) -> NodePointer? { pages[page] == nil ? pointers[page] : nil }

    mutating func set(pointers: [NodePointer?]) { self.pointers = pointers }

    mutating func load(_ page: Int, _ words: [UInt64]) { pages[page] = words }

    mutating func written(_ page: Int, _ pointer: NodePointer) { pointers[page] = pointer }

    mutating func clearChanged(_ page: Int) { isChanged[page] = false }

    mutating func markChanged(_ page: Int) { isChanged[page] = true }

    func isUsed(_ unit: UInt64) -> Bool {
        let page = page(of: unit)
        precondition(missing(page) == nil, "a page of the space map was not read")
        guard let words = pages[page] else { return false }
        let bit = Int(unit) % unitsPerPage
        return words[bit / 64] >> UInt64(bit % 64) & 1 == 1
    }

    /// False: it was so already.
    mutating func set(_ unit: UInt64, used: Bool) -> Bool {
        let page = page(of: unit)
        if isUsed(unit) == used { return false }
        let bit = Int(unit) % unitsPerPage
        if pages[page] == nil { pages[page] = [UInt64](repeating: 0, count: unitsPerPage / 64) }
        pages[page]?[bit / 64] ^= 1 << UInt64(bit % 64)
        isChanged[page] = true
        return true
    }
}
