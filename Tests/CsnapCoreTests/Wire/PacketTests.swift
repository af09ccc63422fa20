import CsnapCore
import Testing

@Suite struct PacketTests {
    @Test(arguments: UInt64(1)...20) func headerComesBack(seed: UInt64) throws {
        var samples = Samples(seed: seed)
        let header = samples.header()
        let bytes = header.encode(flags: 0x00ff)
        #expect(bytes.count == PacketHeader.encodedSize)
        #expect(try PacketHeader.decode(bytes + [1, 2]) == header)
        for length in 0..<bytes.count {
            #expect(throws: WireError.truncated) { _ = try PacketHeader.decode(Array(bytes.prefix(length))) }
        }
    }

    @Test func foreignVersionAndMandatoryFlag() {
        var samples = Samples(seed: 3)
        let header = samples.header()
        var foreign = header.encode()
        foreign[0] ^= 1
        #expect(throws: WireError.foreign) { _ = try PacketHeader.decode(foreign) }
        var later = header.encode()
        later[4] = 9
        #expect(throws: WireError.version(9)) { _ = try PacketHeader.decode(later) }
        #expect(throws: WireError.mandatoryFlag(0x0100)) { _ = try PacketHeader.decode(header.encode(flags: 0x0103)) }
    }

    @Test func randomHeadersNeverTrap() {
        var samples = Samples(seed: 4)
        for _ in 0..<20_000 {
            var bytes = samples.bytes(PacketHeader.encodedSize)
            bytes.replaceSubrange(0..<5, with: [0x43, 0x53, 0x4e, 0x50, PacketHeader.wireVersion])
            _ = try? PacketHeader.decode(bytes)
        }
    }

    @Test func noAnswerIsLargerThanItsJoin() {
        var samples = Samples(seed: 5)
        #expect(MessageCodec.encodedSize(.join(samples.join())) == Limits.payload)
        let answer = Packing.pack([.joinAck(samples.joinAck(records: 400))])
        #expect(answer.oversized.isEmpty && answer.payloads.count == 1)
        #expect(answer.payloads.allSatisfy { $0.count <= Limits.payload && $0.count > Limits.payload / 2 })
    }

    @Test(arguments: UInt64(1)...10) func packingKeepsEverythingInOrder(seed: UInt64) throws {
        var samples = Samples(seed: seed)
        let messages = samples.messages() + samples.messages()
        let packed = Packing.pack(messages)
        #expect(packed.oversized.isEmpty)
        #expect(packed.payloads.allSatisfy { $0.count <= Limits.payload })
        #expect(try packed.payloads.flatMap { try MessageCodec.decode($0) } == messages)
        #expect(packed.payloads.count < messages.count / 2)
    }

    @Test func longListsAreDivided() throws {
        var samples = Samples(seed: 6)
        let items = (0..<300).map { _ in samples.gossipItem() }
        let ping = Ping(
            sequence: 1, target: samples.process(), incarnation: Incarnation(1), localHealth: 0,
            sentAt: Instant(nanoseconds: 0), gossip: items)
        let records = (0..<200).map { _ in samples.record() }
        let page = SyncPage(records: records, claim: samples.claim(), configuration: nil, wantsAnswer: true)
        let packed = Packing.pack([.ping(ping), .syncPage(page)])
        #expect(packed.oversized.isEmpty)
        #expect(packed.payloads.allSatisfy { $0.count <= Limits.payload })
        var seenItems: [GossipItem] = []
        var pages: [SyncPage] = []
        for message in try packed.payloads.flatMap({ try MessageCodec.decode($0) }) {
            if case .news(let news) = message { seenItems += news }
            if case .syncPage(let part) = message { pages.append(part) }
        }
        #expect(seenItems == items)
        #expect(pages.flatMap(\.records) == records)
        #expect(pages.map(\.wantsAnswer) == [true] + pages.dropFirst().map { _ in false })
        #expect(pages.first?.claim == page.claim)
    }

    @Test func whatCannotBeSentIsNamed() {
        var samples = Samples(seed: 7)
        let entries = (0..<200).map { _ in samples.entry() }
        let ack = Message.tableAck(TableAck(epoch: Epoch(1), sequence: 2))
        let packed = Packing.pack([.table(Table(epoch: Epoch(1), sequence: 2, entries: entries)), ack])
        #expect(packed.oversized == [.table])
        #expect(packed.payloads == [MessageCodec.encode([ack])])
    }

    /// docs/protocol.md §3: every control message fits one datagram up to 64 members.
    @Test func sixtyFourMembersFit() {
        let entries = (0..<64).map { index in
            AdmissionEntry(
                process: NodeBoot(node: NodeID(UInt32(1000 + index)), boot: Boot(1 << 20)), epoch: Epoch(1 << 34),
                status: .evicted(.left))
        }
        let voters = VoterSet(version: 1 << 34, voters: (0..<7).map { NodeID(1000 + $0) })
        let grant = Grant(
            epoch: Epoch(1 << 34), nonce: .max, promiseWas: .same, sinceRelease: .seconds(1), admissions: entries,
            committed: voters, pending: PendingVoterSet(epoch: Epoch(1 << 34), set: voters))
        #expect(MessageCodec.encodedSize(.grant(grant)) <= Limits.payload)
    }
}

@Suite struct PacketPreambleTests {
    @Test(arguments: [
        Address.ipv4(192, 0, 2, 7, port: 7411), Address(bits: Bits128(high: 1, low: 2), port: 3, isIPv4: false),
    ])
    func comesBack(address: Address) throws {
        let bits = Bits128(high: 5, low: 6)
        let preamble = PacketPreamble(echo: PacketPreamble.echo(of: bits), advertised: address, timing: 77)
        var writer = ByteWriter()
        preamble.encode(to: &writer)
        #expect(writer.count == (address.isIPv4 ? PacketPreamble.leastSize : PacketPreamble.mostSize))
        var reader = ByteReader(writer.bytes)
        let decoded = try PacketPreamble(from: &reader)
        #expect(decoded == preamble)
        for length in 0..<writer.count {
            var reader = ByteReader(Array(writer.bytes.prefix(length)))
            #expect((try? PacketPreamble(from: &reader)) == nil)
        }
    }

    @Test func fullDatagramsAreKnownByTheirSize() {
        let join = PacketHeader.encodedSize + Limits.payload + Limits.sealTag
        #expect(join + PacketPreamble.mostSize == Limits.datagram)
        #expect(join + PacketPreamble.leastSize == Limits.fullDatagram)
    }
}
