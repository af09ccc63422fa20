import CsnapCore
package import CsnapStore

/// Bytes of a store are changed, one after the other. What follows is a refusal, an error by name, a finding of the
/// check, or nothing at all: never another answer, never a trap.
package struct BitFlips {
    package var report = ImageReport()
    package var noticed = 0
    let format: StoreFormat

    package init() throws(StoreFormatError) { format = try StoreWorld.format() }

    /// Every `stride`-th byte of format, slots and anchors that are in use, and of all windows that hold something.
    package mutating func enumerate(stride: Int) {
        do {
            var world = try StoreWorld(format)
            for operation in CrashImages.beginnings[3] + [.writer] { try world.perform(operation) }
            let image = world.disk.image
            for offset in Swift.stride(from: 0, to: image.size, by: stride) {
                // Zeros behind zeros: nothing lies there.
                let around = offset / 512 * 512
                if image.bytes(min(512, image.size - around), at: around).allSatisfy({ $0 == 0 }) { continue }
                judge(image, offset, UInt8(1 << (offset % 8)), world)
                if report.problems.count >= 20 { return }
            }
        } catch {
            report.problem("\(error)")
        }
    }

    private mutating func judge(_ image: DiskImage, _ offset: Int, _ mask: UInt8, _ world: StoreWorld) {
        report.images += 1
        var flipped = image
        flipped.flip(offset, mask)
        let next: StoreWorld
        do throws(StoreRefusal) {
            next = try StoreWorld(SimulatedDisk(flipped), world.originDisk, world.model, epoch: world.epoch + 1)
        } catch {
            noticed += 1
            return
        }
        var store = next.store
        var isNoticed = false
        let numbers = store.snapshots.map { $0.number }
        if numbers != world.model.snapshots.map({ $0.number }) {
            report.problem("byte \(offset): snapshots \(numbers.map { $0.value })")
            return
        }
        for image in world.model.snapshots {
            for chunk in image.versions.indices {
                do throws(StoreError) {
                    let bytes = try store.read(image.number, chunk: UInt64(chunk))
                    if !StoreModel.isContent(bytes, chunk, image.versions[chunk]) {
                        report.problem("byte \(offset): snapshot \(image.number.value), chunk \(chunk): a wrong answer")
                    }
                } catch {
                    isNoticed = true
                }
            }
        }
        do throws(StoreError) {
            if try !store.check(data: true).problems.isEmpty { isNoticed = true }
        } catch {
            isNoticed = true
        }
        if isNoticed { noticed += 1 }
    }

}
