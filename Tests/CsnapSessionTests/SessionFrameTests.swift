import CsnapCore
import CsnapSession
import Testing

@Suite("Session frames")
struct SessionFrameTests {
    static let tenure = Tenure(epoch: Epoch(7), round: Round(3))

    static let clientFrames: [ClientFrame] = [
        .hello(
            SessionHello(
                versions: 1...3, process: NodeBoot(node: NodeID(3), boot: Boot(9)), client: Bits128(high: 1, low: 2),
                machineID: Bits128(high: 3, low: 4), kernelBootID: Bits128(high: 5, low: 6), volume: "data",
                image: "origin", tenure: tenure)),
        .queryWrite(request: 11, epoch: Epoch(7), ranges: [ChunkRange(first: 0, count: 1)]),
        .queryWrite(
            request: .max, epoch: Epoch(7),
            ranges: (0..<4096).map { ChunkRange(first: .max - 1 - UInt64(UInt32.max) - $0, count: .max) }),
        .queryWrite(request: 12, epoch: Epoch(7), ranges: []),
        .ping(epoch: Epoch(7)), .bye,
        .queryRead(request: 13, epoch: Epoch(7), snapshot: 5, ranges: [ChunkRange(first: 2, count: 3)]),
        .endRead(request: 13, epoch: Epoch(7)),
        .barrierAck(BarrierAttempt(tenure: tenure, counter: 2), origin: 0xfeed_beef),
        .listSnapshots(request: 14, epoch: Epoch(7), after: 3),
        .command(request: 15, epoch: Epoch(7), .create(volume: "data", name: "monday", uuid: Bits128(high: 7, low: 8))),
        .command(request: 16, epoch: Epoch(7), .delete(volume: "data", name: "monday")),
        .command(request: 16, epoch: Epoch(7), .delete(volume: "data", name: "monday", uuid: Bits128(high: 1, low: 2))),
        .command(request: 17, epoch: Epoch(7), .rename(volume: "data", from: "a", to: "b")),
        .command(request: 17, epoch: Epoch(7), .rename(volume: "data", from: "a", to: "b", uuid: Bits128.zero)),
        .command(request: 17, epoch: Epoch(7), .show(volume: "data", name: "monday")),
        .openImages(epoch: Epoch(7), []), .openImages(epoch: Epoch(7), (0..<64).map { .max - $0 }),
        .command(request: 18, epoch: Epoch(7), .list(volume: "data", after: 9)),
        .command(request: 19, epoch: Epoch(7), .examine(volume: "data")),
        .command(request: 20, epoch: Epoch(7), .changes(volume: "data", ChangesQuery(from: 1, to: nil, first: 0))),
        .queryChanges(request: 21, epoch: Epoch(7), ChangesQuery(from: 1, to: 5, first: .max)),
        .command(request: 21, epoch: Epoch(7), .beginRevert(volume: "data", name: "monday", uuid: .zero)),
        .command(request: 22, epoch: Epoch(7), .moveRevert(volume: "data", uuid: .zero, cursor: 1 << 40)),
        .command(request: 23, epoch: Epoch(7), .endRevert(volume: "data", uuid: .zero)),
        .command(request: 24, epoch: Epoch(7), .beginReceive(volume: "data", uuid: .zero)),
        .command(request: 25, epoch: Epoch(7), .finishReceive(volume: "data", name: "monday", uuid: .zero)),
        .command(
            request: 20, epoch: Epoch(7),
            .createSeveral(volumes: ["data", "logs"], name: "monday", uuid: Bits128(high: 7, low: 8), priority: 4)),
        .command(request: 22, epoch: Epoch(7), .resize(volume: "data")),
        .command(request: 20, epoch: Epoch(7), .check(volume: "data", uuid: Bits128(high: 9, low: 1))),
        .command(
            request: 21, epoch: Epoch(7),
            .create(volume: "data", name: "monday", uuid: Bits128(high: 7, low: 8), priority: -3)),
        .clientGone(request: 22, epoch: Epoch(7), volume: "data", client: Bits128(high: 1, low: 2)),
        .readData(request: 23, epoch: Epoch(7), snapshot: 5, offset: 1 << 40, length: 65536),
        .writeBranch(
            request: 24, epoch: Epoch(7), BranchData(branch: 1 << 52 + 1, offset: 512, length: 3, bytes: [1, 2, 3])),
        .writeBranch(
            request: 25, epoch: Epoch(7), BranchData(branch: 1 << 52 + 1, offset: 1 << 40, length: 65536, bytes: [])),
        .command(
            request: 26, epoch: Epoch(7), .branch(volume: "data", from: "monday", name: "try", uuid: Bits128.zero)),
    ]
    static let entry = SnapshotEntry(
        number: 3, uuid: Bits128(high: 1, low: 2), name: "monday", size: 1 << 40, createdAt: 1_700_000_000,
        priority: -5, isDamaged: true, base: 2)
    static let report = {
        var report = VolumeReport(
            generation: 4, snapshots: 2, originSize: 1 << 40, storeSize: 1 << 30, storeUsed: 5, quarantined: 6,
            percent: 99, sessions: 7)
        report.waitingWrites = 8
        report.heldUp = .seconds(3)
        report.holds = [HoldReport(node: NodeID(3), reads: 1, chunks: 9)]
        report.lostWriters = [LostWriter(node: NodeID(4), boot: Boot(41), age: .seconds(720))]
        report.barrier = BarrierReport(
            name: "monday", age: .milliseconds(200), missing: [NodeID(2)], volumes: ["data"])
        report.strangersAge = .seconds(3)
        report.revertAge = .seconds(4)
        report.revert = revert
        return report
    }()
    static let revert = RevertReport(uuid: .zero, number: 3, name: "monday", node: NodeID(2), cursor: 77)
    static let changes = ChangedChunks(
        chunkSize: 65536, size: 1 << 40,
        ranges: [ChunkRange(first: 0, count: .max), ChunkRange(first: 1 << 40, count: 1)],
        next: 1 << 41)
    static let serverFrames: [ServerFrame] = [
        .welcome(
            SessionWelcome(
                session: 5, tenure: tenure, storeUUID: Bits128(high: 8, low: 9), originSize: 1 << 40,
                chunkSize: 65536, generation: 4)),
        .refused(.higherTenure, tenure: tenure), .grant(request: 1, epoch: Epoch(7), generation: 2),
        .error(request: 2, epoch: Epoch(7), code: 5), .pong(epoch: Epoch(7)), .goAway(tenure: tenure),
        .map(
            request: 3, epoch: Epoch(7),
            pieces: [
                MapPiece(count: 1, place: .origin),
                MapPiece(count: 2, place: .store(1 << 40), checksums: [7, .max]),
                MapPiece(count: .max, place: .zero),
            ]),
        .barrierBegin(BarrierAttempt(tenure: tenure, counter: 2)),
        .barrierEnd(BarrierAttempt(tenure: tenure, counter: 2), generation: 9),
        .barrierEnd(BarrierAttempt(tenure: tenure, counter: 3), generation: 9, originSize: 1 << 41),
        .snapshotsChanged(epoch: Epoch(7), from: 3),
        .snapshots(request: 4, epoch: Epoch(7), entries: [entry], hasMore: true),
        .outcome(request: 5, epoch: Epoch(7), .done), .outcome(request: 6, epoch: Epoch(7), .snapshot(entry)),
        .outcome(request: 7, epoch: Epoch(7), .snapshots([entry, entry], hasMore: false)),
        .outcome(request: 8, epoch: Epoch(7), .volume(report)),
        .outcome(request: 11, epoch: Epoch(7), .reverting(revert)),
        .outcome(request: 12, epoch: Epoch(7), .hanging(.seconds(3))),
        .outcome(
            request: 10, epoch: Epoch(7),
            .several([VolumeSnapshot(volume: "data", entry: entry), VolumeSnapshot(volume: "logs", entry: entry)])),
        .data(request: 10, epoch: Epoch(7), bytes: [1, 2, 3]),
        .outcome(request: 9, epoch: Epoch(7), .refused(.writerLost, culprit: "node 3")),
        .outcome(request: 10, epoch: Epoch(7), .changes(changes)),
        .changes(
            request: 11, epoch: Epoch(7), ChangedChunks(chunkSize: 4096, size: 0, ranges: [], next: nil)),
        .outcome(
            request: 10, epoch: Epoch(7),
            .check(
                CheckState(
                    isDone: true, entries: 5, total: 6, nodes: 7, snapshots: 8,
                    problems: [.init(code: "damagedData", text: "chunk 3")], hasMore: true))),
    ]

    @Test("every frame survives its encoding, cut at every byte")
    func roundTrip() throws {
        try expectRoundTrip(Self.clientFrames)
        try expectRoundTrip(Self.serverFrames)
    }

    private func expectRoundTrip<Frame: SessionFrame>(_ frames: [Frame]) throws {
        let stream = frames.flatMap(\.bytes)
        for step in [1, 7, 28, 1000, stream.count] {
            var reader = FrameReader<Frame>()
            var decoded: [Frame] = []
            for start in stride(from: 0, to: stream.count, by: step) {
                reader.feed(stream[start..<min(start + step, stream.count)])
                while let frame = try reader.next() { decoded.append(frame) }
            }
            #expect(decoded == frames)
            #expect(reader.buffered == 0)
        }
    }

    @Test("the longest client frame fits its bound")
    func longest() {
        for frame in Self.clientFrames {
            #expect(frame.bytes.count <= SessionWire.headerSize + ClientFrame.maximumBody)
        }
    }

    @Test("each changed bit is refused or, in a reserved optional flag, caught by the checksum")
    func everyBit() {
        for frame in Self.clientFrames where frame.bytes.count < 200 {
            let bytes = frame.bytes
            for bit in 0..<bytes.count * 8 {
                var changed = bytes
                changed[bit / 8] ^= 1 << UInt8(bit % 8)
                var reader = FrameReader<ClientFrame>()
                reader.feed(changed)
                let decoded = try? reader.next()
                #expect(decoded == nil, "bit \(bit) of \(frame)")
            }
        }
    }

    @Test("a header is refused by name before its body comes")
    func headers() {
        func failure(_ change: (inout [UInt8]) -> Void) -> SessionFrameError? {
            var header = Array(ClientFrame.ping(epoch: Epoch(7)).bytes[..<28])
            change(&header)
            var reader = FrameReader<ClientFrame>()
            reader.feed(header)
            do {
                _ = try reader.next()
                return nil
            } catch {
                return error
            }
        }
        #expect(failure { $0[0] = 0 } == .foreign)
        #expect(failure { $0[4] = 2 } == .version(2))
        #expect(failure { $0[6] = 99 } == .unknownType(99))
        #expect(failure { $0[9] = 1 } == .mandatoryFlag(256))
        #expect(failure { $0[14] = 2 } == .tooLong(131_072))
        #expect(failure { $0[23] = 0x80 } == .body(.malformed))
        #expect(failure { $0[24] ^= 1 } == .checksum)
        #expect(failure { _ in } == nil)
    }

    @Test("an error stays, and keeps no bytes")
    func errorStays() {
        var reader = FrameReader<ClientFrame>()
        reader.feed([UInt8](repeating: 1, count: 100))
        for _ in 0..<3 {
            #expect((try? reader.next()) == nil)
            reader.feed(ClientFrame.bye.bytes)
            #expect(reader.buffered == 0)
            do throws(SessionFrameError) {
                _ = try reader.next()
                Issue.record("no error")
            } catch {
                #expect(error == .foreign)
            }
        }
    }

    @Test("garbage never traps and is never taken for a frame", arguments: [1, 2, 3, 4] as [UInt64])
    func garbage(seed: UInt64) {
        var generator = Generator(seed: seed)
        let client = Self.clientFrames.map(\.bytes).filter { $0.count < 200 }
        let server = Self.serverFrames.map(\.bytes)
        for _ in 0..<25_000 {
            let models = seed % 2 == 0 ? client : server
            var bytes = models[generator.next(below: models.count)]
            for _ in 0...generator.next(below: 4) {
                bytes[generator.next(below: bytes.count)] = UInt8(truncatingIfNeeded: generator.next())
            }
            if generator.next(below: 3) == 0 { bytes.removeLast(generator.next(below: bytes.count)) }
            // With the checksum made right, so that the bodies' decoders are reached.
            if bytes.count >= 28, generator.next(below: 2) == 0 { Self.repair(&bytes) }
            feed(bytes, ClientFrame.self)
            feed(bytes, ServerFrame.self)
        }
    }

    private func feed<Frame: SessionFrame>(_ bytes: [UInt8], _: Frame.Type) {
        var reader = FrameReader<Frame>()
        reader.feed(bytes)
        // What is taken must be exactly what its encoding says.
        while let frame = try? reader.next() {
            var again = FrameReader<Frame>()
            again.feed(frame.bytes)
            #expect((try? again.next()) == frame)
        }
    }

    static func repair(_ bytes: inout [UInt8]) {
        let length = UInt32(bytes.count - 28)
        for index in 0..<4 { bytes[12 + index] = UInt8(truncatingIfNeeded: length >> (8 * UInt32(index))) }
        let checksum = Castagnoli.checksum(Array(bytes[..<24]) + bytes[28...])
        for index in 0..<4 { bytes[24 + index] = UInt8(truncatingIfNeeded: checksum >> (8 * UInt32(index))) }
    }

    @Test("CRC-32C has the published check values")
    func checksum() {
        // RFC 3720 §B.4 and the usual check string.
        #expect(Castagnoli.checksum(Array("123456789".utf8)) == 0xE306_9283)
        #expect(Castagnoli.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(Castagnoli.checksum([UInt8](repeating: 0xff, count: 32)) == 0x62A8_AB43)
        #expect(Castagnoli.checksum([]) == 0)
    }
}
