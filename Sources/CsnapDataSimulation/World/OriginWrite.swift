import CsnapCore
import CsnapStoreSimulation

/// Something a program writes through the client: data or zeros, from a byte of the origin on.
final class OriginWrite {
    let ticket: UInt32
    let offset: Int
    let bytes: [UInt8]
    private unowned let world: DataWorld
    private let finished: (Bool) -> Void
    private(set) var isOver = false
    private(set) var hasStarted = false
    private var landsAt: Int64 = 0

    /// `finished` is called once, when the program learns what became of it; or never, if its client dies.
    init(_ world: DataWorld, ticket: UInt32, offset: Int, bytes: [UInt8], _ finished: @escaping (Bool) -> Void) {
        self.world = world
        self.ticket = ticket
        self.offset = offset
        self.bytes = bytes
        self.finished = finished
    }

    /// A flush has no bytes.
    var isFlush: Bool { bytes.isEmpty }

    /// At the disk: it lands at some time, and returns after that.
    func start(_ returned: @escaping () -> Void) {
        hasStarted = true
        let time = world.chance(1, in: 12) ? world.milliseconds(1, world.plan.slowDisk) : world.milliseconds(0, 3)
        land(after: Int64(world.random.next() % UInt64(time + 1)))
        world.after(time, returned)
    }

    private func land(after delay: Int64) {
        let time = world.now + delay
        landsAt = time
        world.after(delay) { [self] in
            guard !isOver, landsAt == time else { return }
            isOver = true
            guard !isFlush else { return world.origin.flush() }
            world.origin.write(DiskWrite(offset: offset, bytes: bytes))
            for chunk in offset / DataWorld.chunkSize...(offset + bytes.count - 1) / DataWorld.chunkSize {
                world.director.server?.landed(UInt64(chunk))
            }
        }
    }

    /// Its kernel is gone: it lands within `longest`, or never.
    func linger(_ longest: Int64) {
        guard !isOver else { return }
        guard !isFlush, world.chance(3, in: 4) else { return drop() }
        world.statistics[.lateWrites] += 1
        land(after: Int64(world.random.next() % UInt64(longest)))
    }

    /// It never lands.
    func drop() { isOver = true }

    func finish(_ isDone: Bool) { finished(isDone) }
}
