import CsnapCore
import CsnapRuntime
import Testing

/// One process of a node, with both halves of its transport.
final class SealedPeer {
    static let keys = KeyRing(ClusterKey(id: 1, bytes: [UInt8](repeating: 7, count: 32)) ?? .generate())
    static let group = Bits128(high: 0xc1, low: 0xc2)

    let process: NodeBoot
    let startBits: Bits128
    let address: Address
    var sealer: Sealer
    var opener: Opener

    init(
        node: UInt32, boot: UInt64 = 1, startBits: UInt64? = nil, name: String = "lab", keys: KeyRing = keys,
        cluster: Bits128 = group, timing: Timing = .lan
    ) {
        process = NodeBoot(node: NodeID(node), boot: Boot(boot))
        let bits = startBits ?? UInt64(node) << 32 | boot
        self.startBits = Bits128(high: bits, low: ~bits)
        address = .ipv4(127, 0, 0, UInt8(node), port: 7411)
        let identity = TransportIdentity(
            clusterName: name, keys: keys, process: process, startBits: self.startBits, advertised: address,
            timing: timing.digest)
        sealer = Sealer(identity, cluster: cluster)
        opener = Opener(identity, cluster: cluster)
    }

    func seal(_ messages: [Message], echo: Bits128 = .zero) throws -> [UInt8] {
        let datagram = sealer.seal(MessageCodec.encode(messages), echo: echo)
        return try #require(datagram)
    }

    func use(_ keys: KeyRing) {
        sealer.use(keys)
        opener.use(keys)
    }

    func open(_ datagram: [UInt8], from peer: SealedPeer) -> OpenedPacket? {
        opener.open(datagram, from: peer.address)
    }
}

func makeRenew(_ nonce: UInt64) -> Message {
    .renew(Renew(epoch: Epoch(3), nonce: nonce, phase: .active, configurationHash: 9))
}

func makePing(_ sequence: UInt64) -> Message {
    .ping(
        Ping(
            sequence: sequence, target: NodeBoot(node: NodeID(2), boot: Boot(1)), incarnation: Incarnation(1),
            localHealth: 0, sentAt: Instant(nanoseconds: 5), gossip: []))
}

func makeJoin(_ peer: SealedPeer) -> Message {
    let record = MemberRecord(
        process: peer.process, incarnation: Incarnation(1), state: .alive, address: peer.address, eligible: true,
        hasVolumes: true, localHealth: 0)
    return .join(
        Join(
            nonce: 77, record: record, machineID: .zero, kernelBootID: .zero, configurationVersion: 0,
            highestEpoch: .none))
}

@Suite struct TransportSealTests {
    private let alice = SealedPeer(node: 1)
    private let bob = SealedPeer(node: 2)

    @Test func roundTrip() throws {
        let datagram = try alice.seal([makeRenew(1), makePing(2)], echo: bob.startBits)
        let packet = try #require(bob.open(datagram, from: alice))
        #expect(packet.messages == [makeRenew(1), makePing(2)])
        let expected = Sender(
            process: alice.process, startBits: alice.startBits, cluster: SealedPeer.group, source: alice.address)
        #expect(packet.sender == expected)
        #expect(packet.advertised == alice.address && packet.mayBeEchoed && !packet.wantsProof)
        #expect(bob.opener.drops.total == 0)
    }

    @Test func fullDatagram() throws {
        let datagram = try alice.seal([makeJoin(alice)])
        #expect(datagram.count == Limits.fullDatagram)
        #expect(bob.open(datagram, from: alice)?.messages == [makeJoin(alice)])
    }

    @Test func wrongKeyAndWrongName() throws {
        let other = KeyRing(.generate())
        let stranger = SealedPeer(node: 3, keys: other)
        #expect(try bob.open(stranger.seal([makePing(1)]), from: stranger) == nil)
        let namesake = SealedPeer(node: 3, name: "laboratory")
        #expect(try bob.open(namesake.seal([makePing(1)]), from: namesake) == nil)
        let insecure = SealedPeer(node: 3, keys: .insecure)
        #expect(try bob.open(insecure.seal([makePing(1)]), from: insecure) == nil)
        #expect(bob.opener.drops[.stranger] == 3)
    }

    /// A stranger that knows the tag, which is on the wire for all to see, still cannot seal.
    @Test func forgedTag() throws {
        let forged = SealedPeer(node: 3, keys: KeyRing(.generate()))
        var datagram = try forged.seal([makePing(1)])
        datagram.replaceSubrange(8..<16, with: try alice.seal([makePing(1)])[8..<16])
        #expect(bob.open(datagram, from: forged) == nil)
        #expect(bob.opener.drops[.unauthenticated] == 1)
    }

    /// Every order in which two nodes may take the steps of a change of key.
    @Test func aChangeOfKeyLosesNoPacket() throws {
        let old = KeyRing(.generate(id: 1))
        let begun = try #require(KeyRotation.begin.next(old))
        let switched = try #require(KeyRotation.switch.next(begun))
        let finished = try #require(KeyRotation.finish.next(switched))
        let alice = SealedPeer(node: 1, keys: old)
        let bob = SealedPeer(node: 2, keys: old)
        var nonce: UInt64 = 0
        func talk() throws {
            for (from, to) in [(true, false), (false, true)] {
                nonce += 1
                let renew = makeRenew(nonce)
                if from && !to {
                    #expect(bob.open(try alice.seal([renew], echo: bob.startBits), from: alice)?.messages == [renew])
                } else {
                    #expect(alice.open(try bob.seal([renew], echo: alice.startBits), from: bob)?.messages == [renew])
                }
            }
        }
        try talk()
        for ring in [begun, switched, finished] {
            alice.use(ring)
            try talk()
            bob.use(ring)
            try talk()
        }
        #expect(alice.opener.drops.total == 0 && bob.opener.drops.total == 0)
    }

    @Test func replayAndReordering() throws {
        var datagrams: [[UInt8]] = []
        for nonce in 1...4200 { datagrams.append(try alice.seal([makeRenew(UInt64(nonce))], echo: bob.startBits)) }
        // The first of all came late, but within the window; then out of order.
        for index in [10, 5, 4000, 3999, 9, 4104] { #expect(bob.open(datagrams[index], from: alice) != nil) }
        for index in [10, 5, 4000, 3999, 9, 4104] { #expect(bob.open(datagrams[index], from: alice) == nil) }
        #expect(bob.opener.drops[.replayed] == 6)
        // 4096 behind the newest is too old to tell; 4095 behind it is not.
        #expect(bob.open(datagrams[4104 - 4096], from: alice) == nil)
        #expect(bob.opener.drops[.replayed] == 7)
        #expect(bob.open(datagrams[4199], from: alice) != nil)
        #expect(bob.open(datagrams[4199 - 4095], from: alice) != nil)
        #expect(bob.open(datagrams[4199 - 4096], from: alice) == nil)
    }

    /// Each packet of a random order is opened once, however far the window jumps.
    @Test(arguments: UInt64(1)...4) func eachPacketOnce(seed: UInt64) throws {
        var generator = Generator(seed: seed)
        var datagrams: [[UInt8]] = []
        for nonce in 1...1500 { datagrams.append(try alice.seal([makeRenew(UInt64(nonce))], echo: bob.startBits)) }
        var opened = [Int](repeating: 0, count: datagrams.count)
        for _ in 0..<6000 {
            let index = generator.next(below: datagrams.count)
            if bob.open(datagrams[index], from: alice) != nil { opened[index] += 1 }
        }
        #expect(opened.allSatisfy { $0 <= 1 })
        #expect(opened.count { $0 == 1 } > 1400)
    }

    @Test func everyFlippedBitIsRefused() throws {
        let datagram = try alice.seal([makeRenew(1)], echo: bob.startBits)
        for index in datagram.indices {
            for bit in 0..<8 {
                var flipped = datagram
                flipped[index] ^= UInt8(1 << bit)
                #expect(bob.open(flipped, from: alice) == nil)
            }
        }
        for length in 0..<datagram.count { #expect(bob.open(Array(datagram.prefix(length)), from: alice) == nil) }
        #expect(bob.open(datagram + [0], from: alice) == nil)
        // None of them moved the window.
        #expect(bob.open(datagram, from: alice) != nil)
    }

    @Test func reflectedPacket() throws {
        let datagram = try alice.seal([makePing(1)])
        #expect(alice.opener.open(datagram, from: bob.address) == nil)
        #expect(alice.opener.drops[.reflected] == 1)
    }

    @Test func randomBytes() {
        var generator = Generator(seed: 3)
        for _ in 0..<20_000 {
            var bytes = (0..<generator.next(below: 200)).map { _ in UInt8(generator.next() & 0xff) }
            if bytes.count > 5, generator.next(below: 2) == 0 {
                bytes.replaceSubrange(0..<5, with: [0x43, 0x53, 0x4e, 0x50, PacketHeader.wireVersion])
            }
            #expect(bob.open(bytes, from: alice) == nil)
        }
        #expect(bob.opener.drops.total == 20_000)
    }
}
