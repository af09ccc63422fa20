import CsnapCore
import CsnapStore

/// A byte of a store is changed, or one of its writes is lost. What follows is a refusal or an error that names the
/// block, a finding of the check, or nothing at all: never another answer, never a trap.
///
/// Only one thing cannot be told from a power failure: that the last group of the journal was destroyed. Its records,
/// and no others, are then gone.
package struct BitFlips {
    package var report = ImageReport()
    package var noticed = 0
    private let world: StoreWorld
    /// The same without its last group.
    private let shorter: StoreModel
    private var lastGroup: Range<Int> = 0..<0
    /// All writes since it was blank.
    private var writes: [DiskWrite] = []
    private let blank: DiskImage

    package init() throws {
        let format = try StoreWorld.format()
        blank = StoreWorld.blank(format)
        var world = try StoreWorld(format)
        world.disk.isRecording = true
        for operation in CrashImages.beginnings[3] { try world.perform(operation) }
        shorter = world.model
        try world.perform(.writer)
        self.world = world
        for event in world.disk.events {
            if case .write(let write) = event { writes.append(write) }
        }
        if let last = writes.last { lastGroup = last.offset..<last.offset + last.bytes.count }
    }

    /// Bytes whose number among those that are in use is `part` modulo `parts`.
    package mutating func enumerate(part: Int = 0, of parts: Int) {
        let image = world.disk.image
        var number = 0
        for sector in Swift.stride(from: 0, to: image.size, by: DiskImage.sector) {
            // Zeros behind zeros: nothing lies there.
            if image.bytes(DiskImage.sector, at: sector).allSatisfy({ $0 == 0 }) { continue }
            for offset in sector..<sector + DiskImage.sector {
                number += 1
                if number % parts != part { continue }
                var flipped = image
                flipped.flip(offset, UInt8(1 << (offset / 3 % 8)))
                report.images += 1
                judge(flipped, "byte \(offset)", at: offset..<offset + 1)
                if report.isOver { return }
            }
        }
    }

    /// Each write in turn never reached the disk, whatever was said of it.
    package mutating func lose() {
        for lost in writes.indices {
            var image = blank
            for (index, write) in writes.enumerated() where index != lost { image.write(write) }
            report.images += 1
            let place = writes[lost].offset..<writes[lost].offset + writes[lost].bytes.count
            judge(image, "lost write \(lost) at \(place.lowerBound)", at: place)
        }
    }

    private mutating func judge(_ image: DiskImage, _ what: String, at place: Range<Int>) {
        var next: StoreWorld
        do throws(StoreRefusal) {
            next = try StoreWorld(
                SimulatedDisk(image), SimulatedDisk(world.originDisk.image), world.model, world.tenure.next)
        } catch {
            noticed += 1
            if let problem = Self.misnamed(error, place) { report.problem("\(what): \(problem)") }
            return
        }
        if lastGroup.overlaps(place), !Self.hasAll(of: next.model, next.store) { next.model = shorter }
        if !Self.hasAll(of: next.model, next.store) { return report.problem("\(what): a wrong list") }
        var isNoticed = false
        for image in next.model.snapshots {
            for chunk in image.versions.indices {
                do throws(StoreError) {
                    let bytes = try next.store.read(image.number, chunk: UInt64(chunk))
                    if !StoreModel.isContent(bytes, chunk, image.versions[chunk]) {
                        report.problem("\(what): snapshot \(image.number.value), chunk \(chunk): a wrong answer")
                    }
                } catch {
                    isNoticed = true
                }
            }
        }
        do throws(StoreError) {
            if try !next.store.check(data: true).problems.isEmpty { isNoticed = true }
        } catch {
            isNoticed = true
        }
        if isNoticed { noticed += 1 }
    }

    private static func hasAll(of model: StoreModel, _ store: SnapshotStore<SimulatedDevice>) -> Bool {
        store.snapshots.map { $0.number } == model.snapshots.map { $0.number }
            && store.snapshots.map { $0.about.name } == model.snapshots.map { $0.name }
            && store.writers == model.writers && store.prepared.map { $0.about.uuid.low } == model.prepared
    }

    /// A refusal must name the block that was destroyed, or what the block is for.
    private static func misnamed(_ refusal: StoreRefusal, _ place: Range<Int>) -> String? {
        switch refusal {
        case .damaged(let offset):
            let block = Int(offset)..<Int(offset) + StoreLayout.blockSize
            return block.overlaps(place) ? nil : "\(refusal), but it is not there"
        case .damagedSlot, .blank, .notAStore, .version: return nil
        case .truncated, .originTruncated, .foreign, .stale, .tenure, .slotOfBase, .claimWasLost, .unsettled, .device,
            .noRoomToRepair, .ownedElsewhere:
            return "a refusal that misleads: \(refusal)"
        }
    }
}
