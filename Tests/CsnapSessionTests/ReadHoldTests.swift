import CsnapCore
import CsnapSession
import Testing

/// docs/data-plane.md, "Server": what a snapshot's reader holds, and what ends it.
@Suite("Read holds")
struct ReadHoldTests {
    typealias Rig = SnapshotRig

    /// Client 1 reads chunk 0 from the origin, and client 2's write of it waits.
    static func waiting() -> Rig {
        var rig = Rig()
        #expect(rig.read(5, on: 1) == [Rig.map(5, to: 1)])
        #expect(rig.write(6, on: 2) == [])
        #expect(rig.write(7, chunk: 1, on: 2) == [Rig.grant(7, to: 2)], "another chunk does not wait")
        return rig
    }

    @Test("a grant waits for the hold on its chunk until END_READ")
    func endRead() {
        var rig = Self.waiting()
        #expect(rig.endRead(5, on: 1) == [Rig.grant(6, to: 2)])
    }

    @Test("a chunk in the store, or beyond the snapshot, is not held", arguments: [MapPiece.Place.store(4096), .zero])
    func notHeld(place: MapPiece.Place) {
        var rig = Rig()
        rig.served.place = place
        #expect(rig.read(5, on: 1) == [Rig.map(5, place, to: 1)])
        #expect(rig.write(6, on: 2) == [Rig.grant(6, to: 2)])
    }

    @Test("END_READ for a hold one does not have drops nothing")
    func foreignEnd() {
        var rig = Self.waiting()
        #expect(rig.endRead(5, on: 2) == [])
        #expect(rig.endRead(5, on: 3) == [])
        #expect(rig.endRead(4, on: 1) == [])
        #expect(rig.endRead(5, on: 1) == [Rig.grant(6, to: 2)])
    }

    @Test("a broken connection drops no hold; the same client's next HELLO does")
    func brokenConnection() {
        var rig = Self.waiting()
        #expect(rig.served.closed(ConnectionID(1)) == [.sessions(Rig.nodes[0], count: 0)])
        #expect(rig.write(8, on: 3) == [], "still held")
        let back = rig.join(Rig.nodes[0], on: 11)
        #expect(back.contains(Rig.grant(6, to: 2)) && back.contains(Rig.grant(8, to: 3)))
    }

    @Test("what a killed client sent is not heard when it comes after its successor's hello")
    func lateFrames() {
        // Found by reading: a late goodbye ended the holds of the successor, a late query began one for ever.
        var rig = Rig()
        _ = rig.join(Rig.nodes[0], client: 11, on: 11)
        #expect(rig.read(5, on: 11) == [Rig.map(5, to: 11)])
        #expect(rig.write(6, on: 2) == [])
        #expect(rig.read(7, chunk: 1, on: 1) == [])
        #expect(rig.served.received(.bye, on: ConnectionID(1)) == [])
        let late = rig.join(Rig.nodes[0], on: 12)
        #expect(late.contains(.send(.refused(.succeeded, tenure: Rig.tenure), to: ConnectionID(12))))
        #expect(rig.write(8, chunk: 1, on: 3) == [Rig.grant(8, to: 3)], "nobody reads it")
        #expect(rig.endRead(5, on: 11) == [Rig.grant(6, to: 2)])
    }

    @Test("the hello of a killed client's successor ends its holds; that of another node does not")
    func successor() {
        // Found by `csnap-sim data`: they stayed until the server ended, and every write of those chunks waited.
        var rig = Self.waiting()
        _ = rig.served.closed(ConnectionID(1))
        #expect(!rig.join(Rig.nodes[1], client: 22, on: 21).contains(Rig.grant(6, to: 2)))
        var other = Self.waiting()
        _ = other.served.closed(ConnectionID(1))
        #expect(other.join(Rig.nodes[0], client: 11, on: 11).contains(Rig.grant(6, to: 2)))
    }

    @Test("a client that says goodbye in the middle of a read holds nothing any more")
    func goodbye() {
        var rig = Self.waiting()
        #expect(rig.served.received(.bye, on: ConnectionID(1)).contains(Rig.grant(6, to: 2)))
    }

    @Test("STRIKE: sessions close, waiting writes are cancelled, holds dropped, the waiters woken")
    func strike() {
        var rig = Self.waiting()
        #expect(rig.served.strike(Rig.nodes[0]).contains(Rig.grant(6, to: 2)))
        var other = Self.waiting()
        _ = other.served.strike(Rig.nodes[1])
        #expect(other.endRead(5, on: 1) == [], "its waiting write is cancelled")
    }

    @Test("a client that dies while its write waits on a hold leaves no waiter behind")
    func danglingWaiter() {
        var rig = Self.waiting()
        _ = rig.served.closed(ConnectionID(2))
        #expect(rig.endRead(5, on: 1) == [])
        #expect(rig.served.waiting.isEmpty)
    }

    @Test("a write that waited is looked at again before it is granted")
    func secondLook() {
        var rig = Self.waiting()
        rig.served.isStoreSlow = true
        #expect(rig.endRead(5, on: 1) == [])
        #expect(rig.served.waiting.map { $0.order } == [.copyOut([ChunkRange(first: 0, count: 1)])])
        #expect(rig.served.answer() == [Rig.grant(6, to: 2)])
    }

    @Test("a write that waits on a hold when a snapshot is made is not granted in the old generation")
    func snapshotMeanwhile() {
        var rig = Self.waiting()
        _ = rig.create()
        for id in 1...3 as ClosedRange<UInt64> { _ = rig.acknowledge(on: id) }
        #expect(rig.endRead(5, on: 1) == [], "it was handed back")
        #expect(rig.write(6, on: 2) == [Rig.grant(6, generation: 5, to: 2)])
    }

    @Test("a write and a new read of its chunk: the read that comes first is waited for, also in the store's queue")
    func order() {
        var rig = Rig()
        rig.served.isStoreSlow = true
        #expect(rig.read(5, on: 1) == [])
        #expect(rig.write(6, on: 2) == [])
        #expect(rig.served.answerAll() == [Rig.map(5, to: 1)])
        #expect(rig.endRead(5, on: 1) == [])
        #expect(rig.served.answerAll() == [Rig.grant(6, to: 2)])
    }

    @Test("a reader whose connection went before its map came holds nothing")
    func goneBeforeMap() {
        var rig = Rig()
        rig.served.isStoreSlow = true
        _ = rig.read(5, on: 1)
        _ = rig.served.closed(ConnectionID(1))
        _ = rig.served.answerAll()
        rig.served.isStoreSlow = false
        #expect(rig.write(6, on: 2) == [Rig.grant(6, to: 2)])
    }

    static func reused(_ served: ServedTable) -> [StoreOrder] {
        served.orders.filter { if case .reuse = $0 { true } else { false } }
    }

    @Test("what was deleted under earlier servers is freed when all are back, not before")
    func reuseAfterActivation() {
        var served = SessionTableTests.table()
        _ = served.freed(1)
        #expect(Self.reused(served) == [])
        _ = served.activate(SessionTableTests.tenure)
        #expect(Self.reused(served) == [.reuse(upTo: 1)])
    }

    @Test("what a deletion leaves is freed only when no read runs that was asked for before")
    func reuse() {
        var rig = Rig()
        rig.served.place = .store(4096)
        rig.served.orders = []
        func reused() -> [StoreOrder] { Self.reused(rig.served) }
        _ = rig.read(5, on: 1)
        _ = rig.served.freed(1)
        _ = rig.read(6, on: 1)
        _ = rig.served.freed(2)
        #expect(reused() == [])
        _ = rig.endRead(6, on: 1)
        #expect(reused() == [])
        _ = rig.endRead(5, on: 1)
        #expect(reused() == [.reuse(upTo: 2)])
        _ = rig.served.freed(3)
        #expect(reused() == [.reuse(upTo: 2), .reuse(upTo: 3)])
    }

    @Test("reads are bounded: in length, in place, in number")
    func bounds() {
        var limits = SessionLimits()
        limits.reads = 2
        limits.waitingQueries = 0
        var rig = Rig(limits: limits)
        let long = ClientFrame.queryRead(
            request: 1, epoch: Rig.tenure.epoch, snapshot: 3,
            ranges: (0..<4097).map { _ in ChunkRange(first: 0, count: 1) })
        let tooLong = ServerFrame.error(
            request: 1, epoch: Rig.tenure.epoch, code: SessionQueryError.tooLong.rawValue)
        #expect(rig.served.received(long, on: ConnectionID(1)) == [.send(tooLong, to: ConnectionID(1))])
        #expect(rig.read(2, chunk: 11, on: 1).count == 1)
        for request in 3...4 as ClosedRange<UInt64> { #expect(rig.read(request, on: 1).count == 1) }
        #expect(rig.read(5, on: 1).first == .close(ConnectionID(1), .tooManyQueries))
    }

    @Test("an error of the store is an error to that query alone, never a grant")
    func storeError() {
        var rig = Rig()
        rig.served.isStoreSlow = true
        for (order, error) in [
            (rig.write(1, on: 1), SessionQueryError.originFailed), (rig.write(2, on: 1), .storeFull),
            (rig.read(3, on: 1), .unknownSnapshot), (rig.read(4, on: 1), .storeDamaged),
        ] {
            #expect(order == [])
            let answer = rig.served.answer(.failed(error))
            #expect(answer.count == 1)
            guard case .send(.error(_, _, let code), _)? = answer.first else {
                Issue.record("not an error: \(answer)")
                continue
            }
            #expect(code == error.rawValue)
        }
        #expect(rig.write(5, on: 1) == [])
        #expect(rig.served.answer() == [Rig.grant(5, to: 1)])
    }

    @Test("a write that finds the store full waits, and is tried again; a snapshot hands it back")
    func full() {
        var rig = Rig()
        rig.served.isStoreSlow = true
        #expect(rig.write(1, on: 1) == [])
        #expect(rig.served.answer(.full) == [])
        #expect(rig.served.pass(.milliseconds(99)) == [])
        #expect(rig.served.waiting.isEmpty)
        #expect(rig.served.pass(.milliseconds(1)) == [])
        #expect(rig.served.answer() == [Rig.grant(1, to: 1)])
        #expect(rig.write(2, on: 1) == [])
        #expect(rig.served.answer(.full) == [])
        #expect(rig.create() == [])
        #expect(rig.served.answer() == Rig.begins())
        #expect(rig.served.pass(.milliseconds(500)) == [])
        #expect(rig.served.waiting.isEmpty, "it is asked for again after END")
    }
}
