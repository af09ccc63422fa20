import CsnapCore
import CsnapRuntime
import Dispatch
import Foundation
import Glibc
import Synchronization
import Testing

/// Ring, inline and pool carry the same requests alike: many at once, held ones aside, errors to whom they belong.
@Suite(.serialized) struct ClientShellTests {
    let one = ClientRig.tenure(1)
    let block = [UInt8](repeating: 0x3C, count: 4096)

    func serving(_ engine: DiskEngine?, size: UInt64 = ClientRig.size) throws -> ClientRig {
        let rig = try ClientRig(size: size, engine: engine)
        #expect(rig.attach(one))
        rig.resume(one)
        return rig
    }

    @Test(arguments: DiskEngine.allCases) func manyRequestsAreInFlightAtOnce(engine: DiskEngine) throws {
        let rig = try serving(engine)
        let peer = NBDPeer(rig.socket)
        let blocks = Int(ClientRig.size) / 4096
        for index in 0..<blocks {
            peer.write(
                [UInt8](repeating: UInt8(truncatingIfNeeded: index % 251), count: 4096), at: UInt64(index) * 4096)
            // The window of a client: our replies must not fill its socket.
            if index >= 64 { #expect(peer.reply() == 0) }
        }
        for _ in 0..<64 { #expect(peer.reply() == 0) }
        for index in stride(from: 0, to: blocks, by: 97) {
            #expect(rig.stored(index * 4096, 1) == [UInt8(index % 251)])
        }
        peer.end()
        #expect(rig.stop())
    }

    /// Durable writes that come while one is flushed share the next flush; others pass them.
    @Test(arguments: DiskEngine.allCases) func durableWritesAmongOthers(engine: DiskEngine) throws {
        let rig = try serving(engine)
        let peer = NBDPeer(rig.socket)
        for round in 0..<8 {
            for place in 0..<64 {
                let bytes = [UInt8](repeating: UInt8(round * 8 + place % 8), count: 4096)
                peer.write(bytes, at: UInt64(place) * 4096, durable: place % 3 > 0)
                if place % 16 == 15 { peer.request(3, offset: 0, length: 0) }
            }
            for _ in 0..<68 { #expect(peer.reply() == 0) }
            for place in [0, 1, 62, 63] { #expect(rig.stored(place * 4096, 1) == [UInt8(round * 8 + place % 8)]) }
        }
        peer.write(block, at: 0, durable: true)
        #expect(peer.reply() == 0)
        peer.end()
        #expect(rig.stop())
    }

    /// A peer that goes while its durable writes are written, or wait for the flush, leaves none behind in the count.
    @Test(arguments: DiskEngine.allCases) func durableWritesOfAPeerThatGoes(engine: DiskEngine) throws {
        let rig = try serving(engine)
        for _ in 0..<20 {
            let peer = NBDPeer(rig.socket)
            for place in UInt64(0)..<32 { peer.write(block, at: place * 4096, durable: true) }
            #expect(peer.reply() == 0)
            peer.end()
        }
        let two = ClientRig.tenure(2)
        rig.agent.say(.suspend(two))
        #expect(rig.agent.heard(.suspended(two, writesInFlight: 0)))
        #expect(rig.stop())
    }

    /// Writes that wait for a grant stop neither reads nor writes whose chunks are granted.
    @Test(arguments: DiskEngine.allCases) func heldWritesStopNobodyElse(engine: DiskEngine) throws {
        let rig = try serving(engine)
        let peer = NBDPeer(rig.socket)
        peer.write(block, at: 0)
        #expect(peer.reply() == 0)
        rig.server.set { $0.grants = false }
        // At once, lest the client be as fast as we are.
        peer.writeAtOnce(block, at: (UInt64(1)...100).map { $0 * 65536 })
        peer.write(block, at: 4096)
        #expect(peer.reply() == 0)
        peer.request(3, offset: 0, length: 0)
        #expect(peer.reply() == 0)
        peer.request(0, offset: 0, length: 512)
        #expect(peer.reply() == 0)
        #expect(Wire.receive(peer.descriptor, 512) == [UInt8](block.prefix(512)))
        #expect(!peer.hasReply(within: 200))
        rig.server.grantAll()
        for _ in 0..<100 { #expect(peer.reply() == 0) }
        #expect(rig.stored(100 * 65536, 4096) == block)
        peer.end()
        #expect(rig.stop())
    }

    /// A request passes the gate, waits for a thread behind a disk that hangs, and the lease ends meanwhile.
    @Test func whoWaitedForAThreadAsksTheGateAgain() throws {
        let (pool, hanging, over) = (WorkerPool(threads: 1), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let rig = try ClientRig(engine: .pool, pool: pool)
        #expect(rig.attach(one))
        rig.resume(one)
        let peer = NBDPeer(rig.socket)
        peer.write(block, at: 0)
        #expect(peer.reply() == 0)
        pool.run { hanging.wait() }
        let later = [UInt8](repeating: 0x5A, count: 4096)
        peer.write(later, at: 0)
        // Refused at once; so what came before is on its way to the disk.
        peer.request(0, offset: ClientRig.size, length: 512)
        #expect(peer.reply() != 0)
        let two = ClientRig.tenure(2)
        rig.agent.say(.suspend(two))
        #expect(rig.agent.heard(.suspended(two, writesInFlight: 1)))
        hanging.signal()
        pool.run { over.signal() }
        over.wait()
        #expect(rig.stored(0, 4096) == block, "the write's turn came and passed")
        #expect(!peer.hasReply(within: 100), "it is held, and no error")
        rig.agent.say(.server(two, rig.server.address))
        #expect(rig.agent.heard(.connected(two)))
        rig.resume(two)
        #expect(peer.reply() == 0)
        #expect(rig.stored(0, 4096) == later)
        peer.end()
        #expect(rig.stop())
    }

    /// Far more than may be kept: the rest stays in the socket, and all is answered in the end.
    @Test(arguments: DiskEngine.allCases) func moreThanTheBoundWaitsInTheSocket(engine: DiskEngine) throws {
        let rig = try ClientRig(engine: engine)
        let peer = NBDPeer(rig.socket)
        let writes = 700
        let block = block
        Wire.thread { for place in 0..<writes { peer.write(block, at: UInt64(place) * 4096) } }
        #expect(!peer.hasReply(within: 300))
        #expect(rig.attach(one))
        rig.resume(one)
        for _ in 0..<writes { #expect(peer.reply() == 0) }
        #expect(rig.stored(699 * 4096, 4096) == block)
        peer.end()
        #expect(rig.stop())
    }

    @Test(arguments: DiskEngine.allCases) func theLongestRequestsFit(engine: DiskEngine) throws {
        let rig = try serving(engine, size: 64 << 20)
        let peer = NBDPeer(rig.socket)
        let data = (0..<8192).flatMap { [UInt8](repeating: UInt8(truncatingIfNeeded: $0 * 7), count: 4096) }
        peer.write(data, at: 16 << 20)
        peer.write(block, at: 0)
        #expect(peer.reply() == 0)
        #expect(peer.reply() == 0)
        peer.request(0, offset: 16 << 20, length: 32 << 20)
        #expect(peer.reply() == 0)
        #expect(Wire.receive(peer.descriptor, 32 << 20) == data)
        peer.end()
        #expect(rig.stop())
    }

    /// The file ends before the device that the client serves: EIO to that read, not to its neighbours.
    @Test(arguments: DiskEngine.allCases) func aDiskErrorIsThatRequestsError(engine: DiskEngine) throws {
        let rig = try serving(engine)
        #expect(truncate(rig.origin, 4 << 20) == 0)
        let peer = NBDPeer(rig.socket)
        peer.request(0, offset: 6 << 20, length: 4096)
        #expect(peer.reply() == 5)
        peer.request(0, offset: 0, length: 4096)
        #expect(peer.reply() == 0)
        #expect(Wire.receive(peer.descriptor, 4096) == [UInt8](repeating: 0, count: 4096))
        peer.end()
        #expect(rig.stop())
    }

    /// A file system of 4 MiB under an origin of 8.
    @Test(arguments: DiskEngine.allCases) func aFullDiskIsThatRequestsError(engine: DiskEngine) throws {
        let place = try ClientRig.makeDirectory("/var/tmp")
        defer { rmdir(place) }
        guard FrozenDisk.run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place) else {
            print("SKIPPED: mounting a tmpfs needs root; no full disk was tried")
            return
        }
        // The daemon may still have its origin open.
        defer { _ = FrozenDisk.run("umount", "-l", place) }
        let rig = try ClientRig(engine: engine, parent: place)
        #expect(rig.attach(one))
        rig.resume(one)
        let peer = NBDPeer(rig.socket)
        var errors: [UInt32] = []
        for index in UInt64(0)..<128 {
            peer.write([UInt8](repeating: 1, count: 65536), at: index * 65536)
            errors.append(peer.reply() ?? .max)
        }
        #expect(errors.first == 0 && errors.last == 28)
        #expect(errors.allSatisfy { $0 == 0 || $0 == 28 })
        peer.write(block, at: 0)
        #expect(peer.reply() == 0)
        peer.end()
        #expect(rig.stop())
    }

    /// A frozen file system takes a write and does not return it. The agent hears of it while the client runs, a new
    /// agent too, and hears when it is over.
    @Test(arguments: [DiskEngine.ring, .pool]) func aDiskThatHangsIsToldWhileTheClientRuns(engine: DiskEngine) throws {
        guard let disk = try FrozenDisk() else {
            print("SKIPPED: a loop mount needs root and e2fsprogs; no disk that hangs was tried")
            return
        }
        defer { disk.remove() }
        let rig = try ClientRig(engine: engine, originDirectory: disk.place)
        #expect(rig.attach(one))
        rig.resume(one)
        let peer = NBDPeer(rig.socket)
        peer.write(block, at: 0)
        #expect(peer.reply() == 0)
        #expect(disk.freeze())
        let frozen = BootClock.now()
        for index in UInt64(0)..<3 { peer.write(block, at: index * 4096) }
        #expect(eventually { rig.hanging.contains { $0.requests == 3 } })
        let told = rig.hanging.first { $0.requests > 0 }
        #expect(told.map { $0.since >= frozen && $0.since <= BootClock.now() } == true)
        #expect(BootClock.now() - frozen >= DiskWatch.bound)
        #expect(eventually { rig.log.all.contains { $0.contains("the origin's disk hangs") } })
        rig.agent.forget()
        rig.restartAgent()
        #expect(eventually { rig.hanging.contains { $0.requests == 3 } }, "a new agent hears of it, too")
        #expect(disk.unfreeze())
        for _ in 0..<3 { #expect(peer.reply() == 0) }
        #expect(eventually { rig.hanging.last?.requests == 0 })
        peer.end()
        #expect(rig.stop())
    }

    /// Writers on four connections at full speed, while the gate closes and opens: once 0 writes in flight were
    /// reported, the origin stands still until RESUME.
    @Test(arguments: DiskEngine.allCases) func suspendedAtZeroMeansNoWriteAnyMore(engine: DiskEngine) throws {
        let rig = try serving(engine)
        let writers = Writers(rig.socket)
        var violations = 0
        for epoch in UInt64(2)...60 {
            let before = writers.written
            #expect(eventually { writers.written > before + 16 })
            let tenure = ClientRig.tenure(epoch)
            #expect(rig.attach(tenure))
            let image = rig.stored(0, Int(ClientRig.size))
            usleep(3000)
            if rig.stored(0, Int(ClientRig.size)) != image { violations += 1 }
            rig.resume(tenure)
        }
        #expect(violations == 0)
        #expect(writers.end())
        #expect(writers.written > 1000)
        #expect(rig.stop())
    }

    @Test func theOriginIsLockedWhileItsClientLives() throws {
        let rig = try serving(nil)
        #expect(try OriginLock.isHeld(rig.origin, node: NodeID(1)))
        #expect(try !OriginLock.isHeld(rig.origin, node: NodeID(2)))
        #expect(rig.stop())
    }
}

/// Four peers that write different blocks, sixteen at once, until they are told to stop.
final class Writers: Sendable {
    private let running = Atomic<Int>(4)
    private let count = Atomic<Int>(0)
    private let stop = Stop()

    init(_ socket: String) {
        for number in UInt64(0)..<4 { Wire.thread { [self] in write(NBDPeer(socket), number) } }
    }

    /// Blocks that were written.
    var written: Int { count.load(ordering: .relaxed) }

    func end() -> Bool {
        stop.set()
        return eventually { running.load(ordering: .acquiring) == 0 }
    }

    private func write(_ peer: NBDPeer, _ number: UInt64) {
        var round: UInt8 = 0
        while !stop.isSet {
            round &+= 1
            let block = [UInt8](repeating: round, count: 4096)
            for place in UInt64(0)..<16 { peer.write(block, at: number << 20 + place * 4096) }
            for _ in 0..<16 where peer.reply() == 0 { count.add(1, ordering: .relaxed) }
        }
        peer.end()
        running.subtract(1, ordering: .releasing)
    }
}

extension ClientRig {
    /// What the present agent was told of the disk.
    fileprivate var hanging: [(requests: UInt32, since: Instant)] {
        agent.said.compactMap { message in
            if case .disk(let requests, let since) = message { (requests, since) } else { nil }
        }
    }
}
