import CsnapCore
import CsnapSession

/// The snapshot reads of a client, from the question where the chunks are to the end of the disk read.
struct SnapshotReads: Equatable, Sendable {
    fileprivate enum State: Equatable {
        case unasked
        case asked
        /// At the disk; `isVoid`: the session it was mapped in is over.
        case reading(isVoid: Bool)
        /// At the disk, and its store is no more.
        case gone
    }

    struct Read: Equatable {
        var snapshot: UInt64
        var range: ChunkRange
        fileprivate var state = State.unasked
    }

    /// Asked of the server or at the disk at a time. It allows 2048, and other nodes wait behind them.
    static let window = 256

    private var reads = SortedTable<UInt64, Read>()
    private var unasked = 0

    mutating func begin(_ id: UInt64, snapshot: UInt64, _ range: ChunkRange) {
        reads[id] = Read(snapshot: snapshot, range: range)
        unasked += 1
    }

    /// As many as there is room for.
    mutating func takeUnasked() -> [(id: UInt64, read: Read)] {
        var taken: [(id: UInt64, read: Read)] = []
        let room = min(unasked, Self.window - (reads.count - unasked))
        guard room > 0 else { return [] }
        for (id, read) in reads where read.state == .unasked {
            reads[id]?.state = .asked
            taken.append((id, read))
            if taken.count == room { break }
        }
        unasked -= taken.count
        return taken
    }

    /// Whether the read is to go to the disk now. With a closed gate it is asked for again when that opens.
    mutating func mapped(_ id: UInt64, isOpen: Bool) -> Bool {
        guard reads[id]?.state == .asked else { return false }
        reads[id]?.state = isOpen ? .reading(isVoid: false) : .unasked
        if !isOpen { unasked += 1 }
        return isOpen
    }

    /// The disk read has returned: whether its data holds, whether the server is to hear of it, and whether it is over
    /// since its store is; nil: unknown.
    mutating func finish(_ id: UInt64, isOpen: Bool) -> (holds: Bool, tellServer: Bool, isGone: Bool)? {
        if reads[id]?.state == .gone {
            reads[id] = nil
            return (false, false, true)
        }
        guard case .reading(let isVoid) = reads[id]?.state else { return nil }
        let holds = isOpen && (!isVoid || SessionMutants.active(.voidReadShown))
        if holds { reads[id] = nil } else { reads[id]?.state = .unasked }
        if !holds { unasked += 1 }
        return (holds, !isVoid, false)
    }

    /// Those that are over now; what is at the disk is when it returns.
    mutating func storeIsGone() -> [UInt64] {
        var over: [UInt64] = []
        for (id, read) in reads {
            if case .reading = read.state {
                reads[id]?.state = .gone
            } else if read.state != .gone {
                reads[id] = nil
                over.append(id)
            }
        }
        unasked = 0
        return over
    }

    /// The server knows no place for it, by its error.
    mutating func failed(_ id: UInt64) -> Bool {
        guard reads[id]?.state == .asked else { return false }
        reads[id] = nil
        return true
    }

    /// False: it is at the disk, or unknown.
    mutating func withdraw(_ id: UInt64) -> Bool {
        switch reads[id]?.state {
        case .unasked, .asked:
            if reads[id]?.state == .unasked { unasked -= 1 }
            reads[id] = nil
            return true
        case .reading, .gone, nil: return false
        }
    }

    /// The session is over, and with its successor's HELLO all holds: what is read under them is thrown away.
    mutating func sessionEnded() {
        for (id, read) in reads {
            switch read.state {
            case .unasked, .gone: break
            case .asked:
                reads[id]?.state = .unasked
                unasked += 1
            case .reading: reads[id]?.state = .reading(isVoid: true)
            }
        }
    }
}

/// Questions which chunks changed: one at a time, so that a server which is slow is not sent more and more.
struct ChangeQuestions: Equatable, Sendable {
    struct Question: Equatable {
        var id: UInt64
        var query: ChangesQuery
    }

    /// In the order they came; the first is the one that was asked.
    private var questions: [Question] = []
    private var asked: UInt64?

    mutating func add(_ id: UInt64, _ query: ChangesQuery) { questions.append(Question(id: id, query: query)) }

    mutating func takeQuestion() -> Question? {
        guard asked == nil, let first = questions.first else { return nil }
        asked = first.id
        return first
    }

    /// Whether somebody waits for it.
    mutating func answered(_ id: UInt64) -> Bool {
        guard asked == id else { return false }
        asked = nil
        return withdraw(id)
    }

    /// False: unknown.
    mutating func withdraw(_ id: UInt64) -> Bool {
        guard let index = questions.firstIndex(where: { $0.id == id }) else { return false }
        questions.remove(at: index)
        return true
    }

    mutating func sessionEnded() { asked = nil }

    mutating func takeAll() -> [UInt64] {
        defer { questions = [] }
        return questions.map { $0.id }
    }
}

/// The volume's snapshots as the server last told them.
struct SnapshotList: Equatable, Sendable {
    /// There is one question at a time, so one number does; writes count from 1, reads from 2^63.
    static let request: UInt64 = 0

    private(set) var entries: [SnapshotEntry] = []
    /// A page takes the place of all entries from here on.
    private var from: UInt64 = 0
    private var isAsking = false
    /// Changes were told while asking: ask again from there.
    private var changedFrom: UInt64?

    mutating func sessionOpened() {
        isAsking = false
        changed(from: 0)
    }

    mutating func changed(from number: UInt64) { changedFrom = min(changedFrom ?? number, number) }

    /// After which number to ask, once.
    mutating func takeQuestion() -> UInt64? {
        guard !isAsking, let changedFrom else { return nil }
        isAsking = true
        self.changedFrom = nil
        from = changedFrom
        return from > 0 ? from - 1 : 0
    }

    /// A page has come; false: nobody asked. If there are more, `takeQuestion` asks for the next.
    mutating func listed(_ page: [SnapshotEntry], hasMore: Bool) -> Bool {
        guard isAsking else { return false }
        isAsking = false
        let kept = entries.prefix { $0.number < from }
        entries = kept + page
        if hasMore, let last = page.last { changed(from: last.number + 1) }
        return true
    }
}
