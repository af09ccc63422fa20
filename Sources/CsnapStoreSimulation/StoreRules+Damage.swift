import CsnapCore
import CsnapStore

/// What a damaged tree must not lead to.
extension StoreRules {
    /// Where nodes of trees lie, old ones too; bytes.
    private static func nodes(of image: DiskImage) -> [Int] {
        stride(from: Int(StoreLayout.dataOffset), to: image.size, by: 512).filter {
            image.bytes(4, at: $0) == Array("CSTN".utf8)
        }
    }

    /// The leaf that a write to a chunk needs.
    private static func leaf(of chunk: UInt64, in world: StoreWorld) throws -> Int? {
        let image = world.disk.image
        return try nodes(of: image).first { place in
            var next = try StoreWorld(SimulatedDisk(image), world.originDisk, world.model, world.tenure.next)
            next.disk.image.flip(place + 77, 4)
            return try next.store.grant([[chunk..<chunk + 1]]) == [.damaged(offset: UInt64(place))]
        }
    }

    /// A tree of many leaves, all of it in one checkpoint.
    private static func manyLeaves(windows: Int = 320) throws -> StoreWorld {
        var world = try StoreWorld(StoreWorld.format(windows: windows, slots: 64))
        for _ in 0..<30 {
            try world.perform(.create)
            try world.perform(.write([0..<StoreWorld.chunks]))
        }
        try world.perform(.checkpoint)
        return world
    }

    /// The store's own work, as far as there is some that damage does not stop.
    private static func maintain(_ world: inout StoreWorld, _ steps: Int) throws {
        for step in 0..<steps {
            world.store.readersForgot(upTo: world.store.freeStamp)
            let mayLook = world.store.hasDamage && (step % 64 == 63 || !world.store.needsMaintenance)
            guard mayLook || world.store.needsMaintenance else { return }
            do {
                if mayLook { try world.store.lookAtDamage() } else { try world.perform(.maintain) }
            } catch StoreWorldError.store(.damaged) {} catch StoreError.damaged {}
        }
    }

    /// One that cannot be read is an error to whoever needs it; the store goes on, or each server would end at it. What
    /// fails for a moment is no error at all.
    package static func badSector() throws -> String? {
        var world = try StoreWorld(StoreWorld.format())
        let story = [StoreOperation.create, .write([0..<3]), .checkpoint, .takeOver]
        for operation in story { try world.perform(operation) }
        guard let leaf = nodes(of: world.disk.image).first else { return "no leaf" }
        world.disk.unreadable = [leaf..<leaf + 512]
        do {
            guard try world.store.grant([[0..<1]]) == [.damaged(offset: UInt64(leaf))] else { return "no error" }
        } catch { return "the server ends: \(error)" }
        world.disk.unreadable = []
        return try world.store.grant([[0..<1]]) == [.granted] ? nil : "an error when it can be read"
    }

    /// A checkpoint in whose way damage lies costs nothing when it is known, however much room comes, and at the cap of
    /// the journal what makes room, or lets a client in, is still recorded; what only makes room, not without end.
    package static func damageInTheWay() throws -> String? {
        var world = try manyLeaves()
        let all = 0..<StoreWorld.chunks
        for operation in [StoreOperation.create, .write([all])] { try world.perform(operation) }
        guard let leaf = try leaf(of: StoreWorld.chunks - 1, in: world) else { return "no leaf" }
        world.disk.image.flip(leaf + 77, 4)
        try world.perform(.takeOver)
        do { for _ in 0..<10_000 { try world.perform(.rename) } } catch StoreWorldError.store(.damaged) {}
        for isLater in [false, true] {
            let before = world.path.requests
            try maintain(&world, 100)
            let requests = world.path.requests - before
            if isLater, requests > 0 { return "\(requests) writes and flushes in vain" }
        }
        var before = world.path.requests
        do {
            for _ in 0..<300 { try world.perform(.writer) }
            try world.perform(.deleteOldest)
        } catch { return "at the cap of the journal: \(error)" }
        var requests = world.path.requests - before
        if requests > 3 * 300 { return "\(requests) writes and flushes for 300 records" }
        before = world.path.requests
        try maintain(&world, 200)
        requests = world.path.requests - before
        return requests > 0 ? "\(requests) writes and flushes far above the cap" : nil
    }

    /// What cannot be read for a moment is in no checkpoint's way for longer.
    package static func damageOfAMoment() throws -> String? {
        var world = try manyLeaves()
        let all = 0..<StoreWorld.chunks
        for operation in [StoreOperation.create, .write([all]), .create] { try world.perform(operation) }
        guard let leaf = try leaf(of: StoreWorld.chunks - 1, in: world) else { return "no leaf" }
        world.disk.unreadable = [leaf..<leaf + 512]
        try world.perform(.takeOver)
        do { for _ in 0..<10_000 { try world.perform(.rename) } } catch StoreWorldError.store(.damaged) {}
        world.disk.unreadable = []
        try maintain(&world, 200)
        do { try world.perform(.write([all])) } catch { return "when it can be read: \(error)" }
        return world.problem()
    }

    /// A sweep frees what lies before and behind a leaf that cannot be read, and nothing that is needed; the next
    /// checkpoint keeps that leaf as it is.
    package static func sweepPastDamage() throws -> String? {
        for chunk in stride(from: 0, to: StoreWorld.chunks, by: 3) {
            // Little is left of the leaf before some of them.
            let deleted = 24 + chunk / 3 % 3
            var world = try manyLeaves()
            guard let leaf = try leaf(of: chunk, in: world) else { return "no leaf" }
            world.disk.image.flip(leaf + 77, 4)
            try world.perform(.takeOver)
            let used = world.store.space.used
            for _ in 0..<deleted { try world.perform(.deleteOldest) }
            try maintain(&world, 300)
            if world.store.awaitsSpace { return "chunk \(chunk): the sweep has no end" }
            do { try world.perform(.checkpoint) } catch { return "chunk \(chunk): the checkpoint: \(error)" }
            let freed = (used - world.store.space.used) / UInt64(StoreWorld.chunkSize)
            // A leaf has fifteen entries at most; windows of the journal count as used, too.
            if freed < deleted * StoreWorld.chunks * 3 / 4 { return "chunk \(chunk): only \(freed) are free" }
            if let problem = wrongReads(&world) { return "chunk \(chunk): \(problem)" }
        }
        return nil
    }

    /// Where one page of the space map cannot be read nothing is saved and nothing is freed; elsewhere both.
    package static func onePage() throws -> String? {
        var world = try manyLeaves(windows: 600)
        guard let place = spacePages(of: world.disk.image).last else { return "no page" }
        world.disk.image.flip(place + 77, 4)
        try world.perform(.takeOver)
        try world.perform(.create)
        do { try world.perform(.write([0..<StoreWorld.chunks])) } catch { return "a write: \(error)" }
        let used = world.store.space.used
        for _ in 0..<31 { try world.perform(.deleteOldest) }
        try maintain(&world, 300)
        if world.store.awaitsSpace { return "the sweep has no end" }
        return world.store.space.used < used ? nil : "nothing is free"
    }

    private static func spacePages(of image: DiskImage) -> [Int] {
        stride(from: Int(StoreLayout.dataOffset), to: image.size, by: 512).filter {
            image.bytes(4, at: $0) == Array("CSPG".utf8) && image.bytes(1, at: $0 + 28) == [2]
        }
    }

    /// What a sweep left under a page of the space map is freed when that can be read again, beside a leaf that cannot
    /// and is in the way of each checkpoint.
    package static func pageOfAMoment() throws -> String? {
        var world = try manyLeaves(windows: 600)
        guard let leaf = try leaf(of: StoreWorld.chunks - 1, in: world) else { return "no leaf" }
        world.disk.image.flip(leaf + 77, 4)
        world.disk.unreadable = spacePages(of: world.disk.image).map { $0..<$0 + 512 }
        try world.perform(.takeOver)
        for _ in 0..<30 { try world.perform(.deleteOldest) }
        let used = world.store.space.used
        try maintain(&world, 1000)
        if world.store.awaitsSpace { return "the sweep has no end" }
        let left = world.store.space.used
        world.disk.unreadable = []
        try maintain(&world, 1000)
        let freed = (left - world.store.space.used) / UInt64(StoreWorld.chunkSize)
        if freed < 10 * StoreWorld.chunks { return "of \(used / 512) and \(left / 512) only \(freed) are free" }
        return wrongReads(&world)
    }

    /// What a repair finds lost of a branch is lost of no snapshot, and of no other branch.
    package static func lossOfOne() throws -> String? {
        var world = try StoreWorld(StoreWorld.format(windows: 80, slots: 64))
        try world.perform(.create)
        for _ in 0..<3 {
            try world.perform(.branch)
            let all = (0..<Int(StoreWorld.chunks)).map { BranchPart($0, 0..<4) }
            for _ in 0..<4 { try world.perform(.writeBranch(all)) }
        }
        try world.perform(.checkpoint)
        for place in nodes(of: world.disk.image) where isOfBranch(2, world.disk.image, place) {
            let disk = SimulatedDisk(world.disk.image)
            disk.image.flip(place + 77, 4)
            let device = SimulatedDevice(disk)
            let origin = SimulatedDevice(world.originDisk)
            let report = try SnapshotStore.repair(device: device, origin: origin, owner: Repairs.owner)
            if !report.isChanged { continue }
            let next = try StoreWorld(disk, world.originDisk, world.model, world.tenure.next.next.next)
            let isMarked = next.store.images.map { $0.about.flags.contains(.damaged) }
            return isMarked == [false, false, true, false] ? nil : "marked: \(isMarked)"
        }
        return "no leaf"
    }

    /// Whether a leaf and the entries around it are of that branch alone: it has neither its first chunk nor its last.
    private static func isOfBranch(_ branch: UInt8, _ image: DiskImage, _ place: Int) -> Bool {
        let node = image.bytes(512, at: place)
        let cells = (0..<Int(node[6])).map { 32 + $0 * 32 }
        return node[4] == 0 && cells.allSatisfy { node[$0] == branch } && node[cells[0] + 4] > 0
            && node[cells[cells.count - 1] + 4] + 1 < StoreWorld.chunks
    }

    /// A chunk that can be read and is another one.
    private static func wrongReads(_ world: inout StoreWorld) -> String? {
        for image in world.model.images {
            for chunk in image.versions.indices {
                guard let bytes = try? world.store.read(image.number, chunk: UInt64(chunk)) else { continue }
                if !StoreModel.isContent(bytes, chunk, image.versions[chunk]) {
                    return "\(image.title), chunk \(chunk)"
                }
            }
        }
        return nil
    }
}
