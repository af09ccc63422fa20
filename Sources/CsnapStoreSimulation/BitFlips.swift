import CsnapCore
import CsnapStore

/// A byte of a store is changed, or one of its writes is lost. What follows is a refusal or an error that names the
/// block, a finding of the check that does, or nothing at all: never another answer, never a trap, also not when a
/// server goes on working with it.
///
/// Only one thing cannot be told from a power failure: that the last group of the journal was destroyed. Its records,
/// and no others, are then gone.
package struct BitFlips {
    package var report = ImageReport()
    package var noticed = 0
    /// A bit at each end of a byte, and all of it.
    private static let masks: [UInt8] = [0x01, 0x80, 0xFF]
    /// Of saved data one byte of so many: whichever it is, one checksum over the chunk says so.
    private static let dataStride = 67
    private let world: StoreWorld
    private let places: StorePlaces
    /// The same without its last group.
    private let shorter: StoreModel
    private var lastGroup: Range<Int> = 0..<0
    /// All writes since it was blank.
    private var writes: [DiskWrite] = []
    private let blank: DiskImage

    /// Of a small store, and of one with a tall tree.
    package static func all() throws -> [BitFlips] {
        var small = try StoreWorld(StoreWorld.format())
        small.disk.isRecording = true
        let blank = small.disk.image
        for operation in CrashImages.beginnings[3] + [.branch, .writeBranch(StoreOperation.parts)] {
            try small.perform(operation)
        }
        return [try BitFlips(small, blank), try BitFlips(StoreWorld.tall(), nil)]
    }

    /// `blank`: what the disk held when its recording began.
    private init(_ world: StoreWorld, _ blank: DiskImage?) throws {
        var world = world
        world.disk.isRecording = true
        self.blank = blank ?? world.disk.image
        var places = try StorePlaces(world)
        // What lies at those places then, nobody sweeps before the end.
        try world.perform(.writeBranch(StoreOperation.otherParts))
        shorter = world.model
        try world.perform(.writer)
        self.world = world
        try places.add(world)
        self.places = places
        for event in world.disk.events {
            if case .write(let write) = event { writes.append(write) }
        }
        if let last = writes.last { lastGroup = last.offset..<last.offset + last.bytes.count }
    }

    /// Changes, three of each byte, whose number is `part` modulo `parts`.
    package mutating func enumerate(part: Int = 0, of parts: Int) {
        let image = world.disk.image
        var number = 0
        for sector in Swift.stride(from: 0, to: image.size, by: DiskImage.sector) {
            // Zeros behind zeros: nothing lies there.
            if image.bytes(DiskImage.sector, at: sector).allSatisfy({ $0 == 0 }) { continue }
            let isData = places.isData(sector)
            for offset in sector..<sector + DiskImage.sector where !isData || offset % Self.dataStride == 0 {
                for mask in Self.masks {
                    number += 1
                    if number % parts != part { continue }
                    flip(offset, mask)
                    if report.isOver { return }
                }
            }
        }
    }

    /// Where the journal goes on in a new window.
    package var journalStarts: [Int] {
        let image = world.disk.image
        return Swift.stride(from: Int(StoreLayout.dataOffset), to: image.size, by: places.windowSize).filter {
            image.bytes(4, at: $0 + 4) == Array("CSJG".utf8)
        }
    }

    package mutating func flip(_ offset: Int, _ mask: UInt8) {
        var flipped = world.disk.image
        flipped.flip(offset, mask)
        report.images += 1
        judge(flipped, "byte \(offset) by \(mask)", at: offset..<offset + 1)
    }

    /// Each write in turn, or each `stride`-th, never reached the disk, whatever was said of it.
    package mutating func lose(stride: Int = 1) {
        for lost in Swift.stride(from: 0, to: writes.count, by: stride) {
            var image = blank
            for (index, write) in writes.enumerated() where index != lost { image.write(write) }
            report.images += 1
            let place = writes[lost].offset..<writes[lost].offset + writes[lost].bytes.count
            judge(image, "lost write \(lost) at \(place.lowerBound)", at: place)
        }
    }

    private mutating func judge(_ image: DiskImage, _ what: String, at place: Range<Int>) {
        let isFound = inspect(image, what, at: place)
        var next: StoreWorld
        do throws(StoreRefusal) {
            next = try StoreWorld(
                SimulatedDisk(image), SimulatedDisk(world.originDisk.image), world.model, world.tenure.next)
        } catch {
            noticed += 1
            if let problem = places.misnamed(error, place) { report.problem("\(what): \(problem)") }
            if !isFound { report.problem("\(what): refused, and a check finds nothing") }
            return
        }
        if lastGroup.overlaps(place), !Self.hasAll(of: next.model, next.store) { next.model = shorter }
        if !Self.hasAll(of: next.model, next.store) { return report.problem("\(what): a wrong list") }
        let isBroken = compare(&next, what, at: place)
        if isBroken, !isFound { report.problem("\(what): an error, and a check finds nothing") }
        if isBroken || isFound { noticed += 1 }
        work(next, what, at: place)
    }

    /// Whether a check beside no server finds something; what it finds must lie there.
    private mutating func inspect(_ image: DiskImage, _ what: String, at place: Range<Int>) -> Bool {
        let device = SimulatedDevice(SimulatedDisk(image))
        do throws(StoreRefusal) {
            var store = try SnapshotStore.inspect(device: device, origin: SimulatedDevice(world.originDisk))
            let problems: [CheckProblem]
            do throws(StoreError) { problems = try store.check(data: true).problems } catch {
                report.problem("\(what): the check ends with \(error)")
                return true
            }
            // Where records are missing, later ones contradict what is left.
            if problems.contains(where: { places.isJournal($0, place) }) { return true }
            for problem in problems where !places.isNamed(by: problem, place) {
                report.problem("\(what): a check says \(problem)")
            }
            return !problems.isEmpty
        } catch {
            if let problem = places.misnamed(error, place) { report.problem("\(what): inspected: \(problem)") }
            return true
        }
    }

    /// Whether anything could not be read; all else must be right.
    private mutating func compare(_ next: inout StoreWorld, _ what: String, at place: Range<Int>) -> Bool {
        var isBroken = false
        for image in next.model.images {
            for chunk in image.versions.indices {
                do throws(StoreError) {
                    let bytes = try next.store.read(image.number, chunk: UInt64(chunk))
                    if !StoreModel.isContent(bytes, chunk, image.versions[chunk]) {
                        report.problem("\(what): \(image.title), chunk \(chunk): a wrong answer")
                    }
                } catch {
                    isBroken = true
                    if !places.isNamed(by: error, place) { report.problem("\(what): reading says \(error)") }
                }
            }
        }
        return isBroken
    }

    private static let labour: [StoreOperation] = [
        .write([0..<4]), .writeBranch(StoreOperation.parts), .create, .write([2..<9]), .deleteOldest, .settle,
        .branch, .writeBranch(StoreOperation.otherParts), .checkpoint, .deleteBranch, .takeOver, .create,
        .write([0..<StoreWorld.chunks]), .checkpoint,
    ]

    /// A server that does not know of it works on; each operation is done, or an error that names the block.
    private mutating func work(_ world: StoreWorld, _ what: String, at place: Range<Int>) {
        var world = world
        world.uuid = 1000
        world.version = 1000
        for operation in Self.labour {
            do throws(StoreWorldError) {
                try world.perform(operation)
            } catch {
                guard case .store(let error) = error, error != .full else { continue }
                if !places.isNamed(by: error, place) { report.problem("\(what): \(operation) says \(error)") }
                if error.isFatal { return }
            }
        }
        if !Self.hasAll(of: world.model, world.store) { return report.problem("\(what): a wrong list after work") }
        _ = compare(&world, "\(what), after work", at: place)
    }

    private static func hasAll(of model: StoreModel, _ store: SnapshotStore<SimulatedDevice>) -> Bool {
        store.snapshots.map { $0.number } == model.snapshots.map { $0.number }
            && store.snapshots.map { $0.about.name } == model.snapshots.map { $0.name }
            && store.branches.map { $0.number } == model.branches.map { $0.number }
            && store.branches.map { $0.base } == model.branches.map { $0.base }
            && store.writers == model.writers && store.prepared.map { $0.about.uuid.low } == model.prepared
    }
}

/// What lies where in a sound store.
private struct StorePlaces {
    private let format: StoreFormat
    var windowSize: Int { Int(format.geometry.windowSize) }
    /// Where the chunks of live snapshots and branches are saved, or were: place and chunk.
    private var data: [(place: Range<Int>, chunk: UInt64)] = []

    init(_ world: StoreWorld) throws {
        guard case .store(let format) = StoreFormat.read(world.disk.image.bytes(2 * StoreLayout.blockSize, at: 0))
        else { throw StoreWorldError.store(.ended) }
        self.format = format
        try add(world)
    }

    mutating func add(_ world: StoreWorld) throws {
        var store = world.store
        for snapshot in store.images {
            for chunk in 0..<StoreWorld.chunks {
                for part in try store.locate(snapshot.number, chunk..<chunk + 1) {
                    guard case .store(let offset) = part.place else { continue }
                    data.append((Int(offset)..<Int(offset) + StoreWorld.chunkSize, chunk))
                }
            }
        }
    }

    func isData(_ offset: Int) -> Bool { data.contains { $0.place.contains(offset) } }

    /// Blocks in the places that are fixed, nodes and whole blocks of the journal behind them.
    private func isNamed(_ offset: UInt64, _ place: Range<Int>) -> Bool {
        (Int(offset)..<Int(offset) + StoreLayout.blockSize).overlaps(place)
    }

    private func isNamed(slot: Int, _ place: Range<Int>) -> Bool {
        let first = Int(format.offset(ofSlot: slot, copy: 0))
        return (first..<first + 2 * StoreLayout.blockSize).overlaps(place)
    }

    private func isNamed(chunk: UInt64, _ place: Range<Int>) -> Bool {
        data.contains { $0.chunk == chunk && $0.place.overlaps(place) }
    }

    /// It names tenure and group: all that is known here is that it lies in a window and holds no data.
    func isJournal(_ problem: CheckProblem, _ place: Range<Int>) -> Bool {
        guard case .damagedJournal = problem else { return false }
        return place.lowerBound >= Int(StoreLayout.dataOffset) && !isData(place.lowerBound)
    }

    func isNamed(by error: StoreError, _ place: Range<Int>) -> Bool {
        switch error {
        case .damaged(let offset): isNamed(offset, place)
        case .damagedData(_, let chunk): isNamed(chunk: chunk, place)
        default: false
        }
    }

    func isNamed(by problem: CheckProblem, _ place: Range<Int>) -> Bool {
        switch problem {
        case .damagedNode(let offset): isNamed(offset, place)
        case .damagedSlot(let slot): isNamed(slot: slot, place)
        case .damagedData(let chunk, _): isNamed(chunk: chunk, place)
        case .damagedJournal: isJournal(problem, place)
        case .impossibleEntry, .uselessEntry, .sharedPlace, .usedButFree, .lostPlace, .wrongCount: false
        }
    }

    /// A refusal must name the block that was destroyed, or what the block is for.
    func misnamed(_ refusal: StoreRefusal, _ place: Range<Int>) -> String? {
        switch refusal {
        case .damaged(let offset): isNamed(offset, place) ? nil : "\(refusal), but it is not there"
        case .damagedSlot(let slot): isNamed(slot: slot, place) ? nil : "\(refusal), but it is not there"
        case .blank, .notAStore, .version: nil
        case .truncated, .originTruncated, .originUnreadable, .foreign, .stale, .tenure, .slotOfBase, .claimWasLost,
            .unsettled, .device, .noRoomToRepair, .ownedElsewhere:
            "a refusal that misleads: \(refusal)"
        }
    }
}
