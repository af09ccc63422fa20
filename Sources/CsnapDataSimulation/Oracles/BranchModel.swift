import CsnapCore
import CsnapSession
import CsnapStore
import CsnapStoreSimulation

/// What each branch shows: its base, and over it what was written, in the order in which the store did it.
///
/// The store does one order after the other, so each chunk has one history. Whoever reads it sees a state that held at
/// some time between the beginning of the read and its end; so what was answered before is seen.
final class BranchModel {
    /// What a chunk has been since the write of that number, of all writes to any branch.
    private struct State {
        var since: Int
        var bytes: [UInt8]
    }

    private struct Made {
        var number: SnapshotNumber
        var uuid: Bits128
        var name: String
        var base: SnapshotNumber
        var isGone = false
        /// The first is what the base shows.
        var chunks: [[State]]
    }

    /// What makes one write another; all zeros at the same place are one.
    private struct Key: Hashable {
        var branch: UInt64
        var offset: UInt64
        var length: UInt32
        var word: [UInt8]

        init(_ data: BranchData) {
            branch = data.branch
            offset = data.offset
            length = data.length
            word = Array(data.bytes.prefix(8))
        }
    }

    private struct Wish {
        /// Programs that wait for it.
        var waiting = 0
        /// Programs that went without an answer: it may be done at any time.
        var left = 0
        /// Which write it was when it was done last; 0: never.
        var done = 0
    }

    private let snapshots: SnapshotModel
    private var branches: [Made] = []
    private var wishes: [Key: Wish] = [:]
    /// What the server was doing when it died; its successor says what became of it.
    private var open: StoreOrder?
    private var openWrites: [BranchData] = []
    /// Writes that were done.
    private(set) var clock = 0

    init(_ snapshots: SnapshotModel) { self.snapshots = snapshots }

    var names: [String] { branches.filter { !$0.isGone }.map { $0.name } }

    func isGone(_ number: SnapshotNumber) -> Bool { !branches.contains { $0.number == number && !$0.isGone } }

    func knows(_ number: SnapshotNumber, _ uuid: Bits128) -> Bool {
        branches.contains { $0.number == number && $0.uuid == uuid }
    }

    /// Whether it is the base of a branch.
    func hasBranch(_ name: String) -> Bool {
        branches.contains { !$0.isGone && snapshots.name(of: $0.base) == name }
    }

    // MARK: - What programs do

    func begin(_ data: BranchData) { wishes[Key(data), default: Wish()].waiting += 1 }

    /// The program knows what became of it.
    func end(_ data: BranchData) { wishes[Key(data)]?.waiting -= 1 }

    /// The program waits no more, or its client is gone.
    func leave(_ data: BranchData) {
        wishes[Key(data)]?.waiting -= 1
        wishes[Key(data)]?.left += 1
    }

    /// Nil: it was done since the clock showed that.
    func problem(answering data: BranchData, since begun: Int) -> String? {
        if let wish = wishes[Key(data)], wish.done > begun { return nil }
        return "a write to byte \(data.offset) of branch \(data.branch) is answered, and the store does not have it"
    }

    // MARK: - What the store does

    func begin(_ order: StoreOrder) { open = order }

    func begin(_ writes: [BranchData]) { openWrites = writes }

    func done(_ order: StoreOrder, _ now: [Snapshot]) -> String? {
        defer { open = nil }
        return adopt(now, order)
    }

    func done(_ results: [StoreResult]) -> String? {
        defer { openWrites = [] }
        for (data, result) in zip(openWrites, results) where result == .written {
            if let problem = write(data) { return problem }
        }
        return nil
    }

    /// D4: a successor has the store. All that was done is there; of what was under way, each chunk has all or nothing.
    func taken(_ store: inout SnapshotStore<SimulatedPath>) -> String? {
        defer {
            open = nil
            openWrites = []
        }
        if let problem = adopt(store.branches, open) { return problem }
        while let first = openWrites.first {
            let chunk = Self.chunk(first)
            let together = openWrites.filter { $0.branch == first.branch && Self.chunk($0) == chunk }
            openWrites.removeAll { $0.branch == first.branch && Self.chunk($0) == chunk }
            let number = SnapshotNumber(first.branch)
            if isGone(number) { continue }
            do throws(StoreError) {
                let bytes = try store.read(number, chunk: UInt64(chunk))
                if difference(number, chunk, bytes, since: clock) == nil { continue }
            } catch {
                return "chunk \(chunk) of branch \(number.value): \(error)"
            }
            for data in together {
                if let problem = write(data) { return problem }
            }
        }
        return nil
    }

    private func adopt(_ now: [Snapshot], _ order: StoreOrder?) -> String? {
        for index in branches.indices where !branches[index].isGone {
            let old = branches[index]
            guard let new = now.first(where: { $0.number == old.number }) else {
                guard case .delete(old.name, _, _) = order else { return "branch \(old.name) is lost" }
                branches[index].isGone = true
                continue
            }
            guard old.uuid == new.about.uuid, old.base == new.base else { return "branch \(old.name) is another one" }
            if snapshots.isGone(old.base) { return "branch \(old.name) has no base any more" }
            guard old.name != new.about.name else { continue }
            guard case .rename(old.name, new.about.name, _) = order else { return "\(old.name) has another name" }
            branches[index].name = new.about.name
        }
        for new in now where isGone(new.number) {
            guard case .branch(let from, new.about.name, new.about.uuid) = order, let base = new.base,
                snapshots.name(of: base) == from, let image = snapshots.image(base)
            else { return "branch \(new.about.name) comes from nowhere" }
            let size = DataWorld.chunkSize
            let chunks = (0..<DataWorld.chunks).map { [State(since: clock, bytes: image.bytes(size, at: $0 * size))] }
            branches.append(
                Made(number: new.number, uuid: new.about.uuid, name: new.about.name, base: base, chunks: chunks))
        }
        return nil
    }

    private static func chunk(_ data: BranchData) -> Int { Int(data.offset) / DataWorld.chunkSize }

    private func write(_ data: BranchData) -> String? {
        let what = "the write to byte \(data.offset) of branch \(data.branch)"
        guard let index = branches.firstIndex(where: { $0.number.value == data.branch && !$0.isGone }) else {
            return "\(what) is done, and that is gone"
        }
        guard let wish = wishes[Key(data)] else { return "\(what) comes from nowhere" }
        if wish.waiting + wish.left <= 0 { return "\(what) is done again after its answer" }
        clock += 1
        wishes[Key(data)]?.done = clock
        let chunk = Self.chunk(data)
        var bytes = branches[index].chunks[chunk].last?.bytes ?? []
        let start = Int(data.offset) % DataWorld.chunkSize
        let new = data.bytes.isEmpty ? [UInt8](repeating: 0, count: Int(data.length)) : data.bytes
        bytes.replaceSubrange(start..<start + Int(data.length), with: new)
        branches[index].chunks[chunk].append(State(since: clock, bytes: bytes))
        return nil
    }

    // MARK: - D1

    /// Nil: these were the bytes of that chunk at some time since the clock showed that.
    func difference(_ number: SnapshotNumber, _ chunk: Int, _ bytes: [UInt8], since begun: Int) -> String? {
        guard let branch = branches.first(where: { $0.number == number }) else {
            return "branch \(number.value) was never made"
        }
        for state in branch.chunks[chunk].reversed() {
            if state.bytes == bytes { return nil }
            if state.since <= begun { break }
        }
        let wasOnce = branch.chunks[chunk].contains { $0.bytes == bytes }
        return "chunk \(chunk) of branch \(number.value) "
            + (wasOnce ? "is what it was before" : "shows what it never was")
    }

    /// Of all branches and chunks the first that is not what it should be.
    func difference(_ store: inout SnapshotStore<SimulatedPath>) -> String? {
        for branch in branches where !branch.isGone {
            for chunk in 0..<DataWorld.chunks {
                do throws(StoreError) {
                    let bytes = try store.read(branch.number, chunk: UInt64(chunk))
                    if let problem = difference(branch.number, chunk, bytes, since: clock) { return problem }
                } catch {
                    return "chunk \(chunk) of branch \(branch.number.value): \(error)"
                }
            }
        }
        return nil
    }
}
